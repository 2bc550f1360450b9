"""Making the evidence base: contexts one after the other, in slices of any length.

A context is a study, run in this process. What it leaves are two small Parquet files, written last and
together by one rename; its folder is then deleted. A process that is killed at any moment leaves the folder,
in which the next slice goes on. Several processes share the work by a lock per context.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from distillab.base.contexts import DrawnContext, draw_context
from distillab.base.design import Design
from distillab.base.evidence_base import CONTEXTS, RUNS
from distillab.base.pretrained import prepare_weights
from distillab.base.rows import ContextRows, refused_rows, rows_of
from distillab.base.schema import (
    contexts_schema,
    profile_keys,
    read_part,
    runs_schema,
    table_of,
    write_part,
)
from distillab.base.sets import BaseSet, OnSet, prepare_sets
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.running.tuning import choose_settings
from distillab.study.running.worker import work

CPU = "cpu"
SETS, PARTS, WORK = "sets", "parts", "work"


@dataclass(frozen=True)
class OutFolder:
    """The folder in which an evidence base is made.

    Attributes:
        path: The folder.

    Example:
        >>> OutFolder(Path("base")).part("r-0001").as_posix()
        'base/parts/r-0001'
    """

    path: Path

    @property
    def sets(self) -> Path:
        """The folder of the prepared base sets, for which ``${DISTILLAB_EVIDENCE}`` stands."""
        return self.path / SETS

    def part(self, context: str) -> Path:
        """Return the folder with the rows of a context; it exists once the context is made."""
        return self.path / PARTS / context

    def work(self, context: str) -> Path:
        """Return the folder of a context that is being made, with a folder for each version of its study."""
        return self.path / WORK / context

    def is_made(self, context: str) -> bool:
        """Return True if a context has been made."""
        return self.part(context).is_dir()

    def parts(self) -> list[Path]:
        """Return the folders of the contexts that have been made, by name."""
        return sorted(path for path in (self.path / PARTS).glob("*-*") if not path.name.startswith("."))

    def prepare(self, design: Design, on_set: OnSet | None = None) -> dict[str, BaseSet]:
        """Prepare the base sets and the pretrained weights of a design, and return the facts of the sets.

        Raises:
            RequestError: A base set cannot be read, or a context was made by another version of the design.
        """
        for name in (PARTS, WORK):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "sets.lock"):
            sets = prepare_sets(design.base_sets, self.sets, on_set)
            contexts = [draw_context(design, index, sets) for index in range(design.file.contexts)]
            for context in contexts:
                self._check(context)
            prepare_weights(contexts, self.sets, on_set)
        return sets

    def _check(self, context: DrawnContext) -> None:
        """Raise RequestError if a context that is made is another one than that of the design."""
        if not self.is_made(context.name):
            return
        made = read_part(self.part(context.name) / CONTEXTS, "contexts").column("study_yaml").to_pylist()
        if made != [context.study_yaml]:
            raise RequestError(
                f"{context.name} was made by another version of its design",
                where=str(self.part(context.name)),
                allowed="another folder, or the design files that it was made with",
            )


@dataclass
class Slice:
    """A stretch of the making, by one process.

    Attributes:
        design: The design.
        out: Where it is made.
        sets: The facts of the base sets.
        until: When it ends, on ``clock``.
        clock: Seconds.
        on_context: Called with the name of each context that is begun, and of each that is made.
        stopped: Whether to end after the current job, whatever the time.
        skipped: Names of contexts that are not tried.
        made: The contexts that this slice has made.
    """

    design: Design
    out: OutFolder
    sets: Mapping[str, BaseSet]
    until: float
    clock: Callable[[], float] = time.monotonic
    on_context: Callable[[str, bool], None] = lambda name, made: None
    stopped: Callable[[], bool] = lambda: False
    skipped: frozenset[str] = frozenset()
    made: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Make contexts until none is left or the time has come; a context is put off between two jobs."""
        for index in self._open():
            if self._is_over():
                return
            name = self.design.name(index)
            try:
                with FileLock(self.out.path / WORK / f"{name}.lock", timeout=0):
                    if not self.out.is_made(name) and self._make(index):
                        self.made.append(name)
            except Timeout:
                continue  # another process makes it

    def _is_over(self) -> bool:
        return self.stopped() or self.clock() >= self.until

    def _open(self) -> Iterator[int]:
        for index in range(self.design.file.contexts):
            name = self.design.name(index)
            if name not in self.skipped and not self.out.is_made(name):
                yield index

    def _make(self, index: int) -> bool:
        """Make a context or go on making it; return True if it is made now."""
        context = draw_context(self.design, index, self.sets)
        self.on_context(context.name, False)
        rows = self._rows(context)
        if rows is None:
            return False
        write_rows(rows, self.out.part(context.name))
        shutil.rmtree(self.out.work(context.name), ignore_errors=True)
        self.on_context(context.name, True)
        return True

    def _rows(self, context: DrawnContext) -> ContextRows | None:
        """Return the rows of a context; None if the time came first."""
        started = time.process_time()
        try:
            spec = context.spec(self.out.sets)
            place = self.out.work(context.name) / spec.identity
            folder = StudyFolder.begin(place, spec, torch.device(CPU))
        except RequestError as error:
            return refused_rows(context, f"refused: {error}", time.process_time() - started)
        with folder.ledger() as ledger:
            ledger.reclaim()
        while True:
            work(folder, CPU, stop=self._is_over)
            with folder.ledger() as ledger:
                if ledger.open_jobs():
                    _add_seconds(place, time.process_time() - started)
                    return None
            if not choose_settings(folder):
                break
        return rows_of(context, folder, _seconds_before(place) + time.process_time() - started)


def write_rows(rows: ContextRows, part: Path) -> None:
    """Write the rows of a context, both files or none.

    Args:
        rows: The rows.
        part: The folder; it appears when both files are complete.
    """
    draft = part.with_name(f".{part.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    schema = contexts_schema(profile_keys(rows.context))
    write_part(table_of([rows.context], schema), draft / CONTEXTS)
    write_part(table_of(rows.runs, runs_schema()), draft / RUNS)
    draft.rename(part)


def _seconds_before(place: Path) -> float:
    """Return the processor seconds of earlier slices on a context."""
    file = place / "seconds.txt"
    return float(file.read_text()) if file.is_file() else 0.0


def _add_seconds(place: Path, seconds: float) -> None:
    (place / "seconds.txt").write_text(str(_seconds_before(place) + seconds))
