"""From the parts of single contexts to the two files that ship with the package, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from distillab.base.evidence_base import CONTEXTS, RUNS
from distillab.base.making import OutFolder, write_rows
from distillab.base.rows import ContextRows
from distillab.base.schema import (
    PROFILE,
    contexts_schema,
    most_bytes,
    profile_keys,
    read_part,
    runs_schema,
    table_of,
    write_part,
)
from distillab.errors import RequestError


@dataclass(frozen=True)
class Packed:
    """What was written.

    Attributes:
        contexts: Number of contexts.
        usable: Contexts that may serve advice.
        runs: Runs that are compared, probes and trials not counted.
        rows: Rows of ``runs.parquet``.
        failed: Runs that failed or diverged.
        size: Bytes of both files.

    Example:
        >>> print(Packed(contexts=160, usable=140, runs=4800, rows=9000, failed=3, size=2_100_000))
        160 contexts (140 usable), 4,800 runs of 9,000 rows, 3 failed or diverged, 2.1 MB
    """

    contexts: int
    usable: int
    runs: int
    rows: int
    failed: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.contexts:,} contexts ({self.usable:,} usable), {self.runs:,} runs of {self.rows:,} rows, "
            f"{self.failed:,} failed or diverged, {self.size / 1e6:.1f} MB"
        )


def pack(out: OutFolder, folder: Path) -> Packed:
    """Merge the parts of all contexts that are made into the two files of a folder.

    Contexts are in the order of their names, so that the same contexts give the same files.

    Args:
        out: Where contexts were made.
        folder: Where the files are written.

    Raises:
        RequestError: No context is made, or the files are larger than they may be.
    """
    parts = out.parts()
    if not parts:
        raise RequestError("no context is made yet", where=str(out.path))
    contexts = [row for part in parts for row in read_part(part / CONTEXTS, "contexts").to_pylist()]
    keys = list(dict.fromkeys(key for row in contexts for key in profile_keys(row)))
    runs = pa.concat_tables([read_part(part / RUNS, "runs") for part in parts])
    folder.mkdir(parents=True, exist_ok=True)
    write_part(table_of(contexts, contexts_schema(keys)), folder / CONTEXTS)
    write_part(runs.cast(runs_schema()), folder / RUNS)
    size = sum((folder / name).stat().st_size for name in (CONTEXTS, RUNS))
    kinds, states = runs.column("kind").to_pylist(), runs.column("status").to_pylist()
    compared = kinds.count("run")
    if size > most_bytes(compared):
        raise RequestError(
            f"the files take {size / 1e6:.1f} MB",
            where=str(folder),
            allowed=f"{most_bytes(compared) / 1e6:.1f} MB for {compared:,} runs",
        )
    return Packed(
        contexts=len(contexts),
        usable=sum(row["excluded_because"] is None for row in contexts),
        runs=compared,
        rows=runs.num_rows,
        failed=states.count("failed") + states.count("diverged"),
        size=size,
    )


def unpack(folder: Path, out: OutFolder) -> int:
    """Write the parts of the contexts in two packed files, so that making goes on where they end.

    Parts that exist stay as they are. :func:`pack` of the parts gives the same two files again.

    Args:
        folder: Where the files are. If there are none, nothing is written.
        out: Where contexts are made.

    Returns:
        The number of parts that were written.

    Raises:
        RequestError: A file is not the table that it should be.
    """
    if not (folder / CONTEXTS).is_file():
        return 0
    contexts = read_part(folder / CONTEXTS, "contexts").to_pylist()
    missing = [row for row in contexts if not out.is_made(row["context"])]
    runs = read_part(folder / RUNS, "runs")
    for row in missing:
        known = {key: value for key, value in row.items() if value is not None or not key.startswith(PROFILE)}
        of_context = runs.filter(pc.equal(runs.column("context"), row["context"])).to_pylist()
        write_rows(ContextRows(known, of_context), out.part(row["context"]))
    return len(missing)
