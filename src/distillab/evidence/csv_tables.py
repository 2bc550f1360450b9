"""The tables of a study as CSV, for spreadsheets and R."""

from __future__ import annotations

from pathlib import Path

from distillab.artefacts import write_atomically
from distillab.evidence.schema import read_rows
from distillab.parquet_files import read_parquet
from distillab.study.folder import StudyFolder


def write_csv(folder: StudyFolder) -> list[Path]:
    """Write ``results.csv`` and ``effects.csv`` from the Parquet files beside them, and return their paths.

    Columns and rows are those of the Parquet files; what is missing is empty.

    Args:
        folder: The study, whose tables were written.

    Raises:
        OSError: A file cannot be written.

    Example:
        >>> import tempfile
        >>> write_csv(StudyFolder(Path(tempfile.mkdtemp())))
        []
    """
    import pyarrow.csv

    written = []
    for table in (folder.results_file, folder.effects_file):
        if table.exists():
            path = table.with_suffix(".csv")
            with write_atomically(path) as draft:
                read_rows(table)  # is refused if it is damaged
                pyarrow.csv.write_csv(read_parquet(table), draft)
            written.append(path)
    return written
