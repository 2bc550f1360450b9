"""The explanations that a study lacks, computed by several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from distillab.explain.study_maps import StudyExplanations
from distillab.forkserver import MainModule, main_module, without_main, workers_context
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.user_code import code_rule, set_code_rule

OnExplain = Callable[[str, int, int], None]


@dataclass(frozen=True)
class WantedMaps:
    """The maps of one network by one attribution.

    Attributes:
        cell: A cell of the student that is explained, or whose teacher is.
        teacher: The run of the teacher.
        attribution: The attribution.
        of_teacher: Whether the teacher is explained.
    """

    cell: Cell
    teacher: str
    attribution: str
    of_teacher: bool = False

    def address(self, source: StudyExplanations) -> str:
        """Return their name in the store."""
        network = self.teacher if self.of_teacher else self.cell.run_id
        return source.address(self.cell, self.attribution, network, self.teacher)

    def compute(self, source: StudyExplanations) -> None:
        """Compute them into the store."""
        explain = source.teacher if self.of_teacher else source.student
        explain(self.cell, self.teacher, self.attribution)


def compute_maps(
    source: StudyExplanations,
    wanted: Sequence[WantedMaps],
    *,
    workers: int = 1,
    on_progress: OnExplain | None = None,
) -> None:
    """Compute the explanations that the store lacks.

    Each network is explained by one process. Each of several processes has the threads of a worker.

    Args:
        source: The explanations of the study.
        wanted: The maps, of which those that the store holds are not computed again.
        workers: Number of processes; with 1, this one computes.
        on_progress: Called with (stage, done, total).

    Raises:
        RequestError: A network lacks what an attribution reads.
        DiskFullError: There is no space left.
    """
    addressed = {each.address(source): each for each in wanted}
    missing = [each for address, each in addressed.items() if not source.has(address)]
    number = min(workers, len(missing))
    steps = _in_processes(source, missing, number) if number > 1 else _here(source, missing)
    for done, _ in enumerate(steps):
        if on_progress:
            on_progress("explaining networks", done, len(missing))
    if on_progress:
        on_progress("explaining networks", len(missing), len(missing))


def _here(source: StudyExplanations, missing: Sequence[WantedMaps]) -> Iterator[None]:
    for each in missing:
        yield
        each.compute(source)


def _in_processes(source: StudyExplanations, missing: Sequence[WantedMaps], number: int) -> Iterator[None]:
    folder, images, main = str(source.folder.path.absolute()), source.count, main_module()
    pool = ProcessPoolExecutor(number, workers_context(), initializer=set_code_rule, initargs=(code_rule(),))
    try:
        with without_main():
            futures = [pool.submit(_compute, main, folder, images, each) for each in missing]
        yield
        for place, future in enumerate(as_completed(futures), start=1):
            future.result()
            if place < len(missing):
                yield
    finally:
        pool.shutdown(cancel_futures=True)


def _compute(main: MainModule | None, folder: str, images: int, wanted: WantedMaps) -> None:
    """Compute maps in a worker process."""
    wanted.compute(_source(main, folder, images))


@cache
def _source(main: MainModule | None, folder: str, images: int) -> StudyExplanations:
    """Return the explanations of a study in a worker process, which explains several networks with them."""
    if main is not None:
        main.load()
    found = StudyExplanations(StudyFolder(Path(folder)), images)
    torch.set_num_threads(found.folder.spec.worker_threads)
    return found
