"""The curves of training of a study, from the records of its networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from distillab.artefacts import VAL
from distillab.evidence.pairs import Row
from distillab.evidence.schema import curves_schema, write_table
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.store import TrainedKind


def write_curves(folder: StudyFolder) -> None:
    """Write ``curves.parquet``: the points of the curves of every network that has been trained.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from distillab.evidence.schema import read_rows
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> write_curves(folder)
        >>> read_rows(folder.curves_file)
        []
    """
    write_table(list(curve_rows(folder)), curves_schema(), folder.curves_file)


def curve_rows(folder: StudyFolder) -> Iterator[Row]:
    """Yield a row per point and split, networks in the order of the plan."""
    kinds = get_args(TrainedKind)
    with folder.ledger() as ledger:
        done = [name for name, status in ledger.states().items() if status.state is JobState.DONE]
    for name in done:
        for kind in kinds:
            if folder.store.has(kind, name):
                yield from _rows_of(folder, kind, name)


def _rows_of(folder: StudyFolder, kind: TrainedKind, name: str) -> Iterator[Row]:
    record = folder.store.run_record(kind, name)
    for point in record.curve:
        at = {"epoch": point.epoch, "step": point.step, "seconds": point.seconds}
        for split, score in {VAL: point.val_accuracy, **point.test}.items():
            yield {"run_id": name, "kind": kind, "model": record.model, **at, "split": split, "score": score}
