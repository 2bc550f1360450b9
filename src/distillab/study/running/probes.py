"""Probes that a study gets after it was planned: its file states a larger number than before."""

from __future__ import annotations

from collections.abc import Iterable

from distillab.errors import RequestError
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob, TeacherJob
from distillab.study.ledger import Ledger
from distillab.study.planning.outline import Outline
from distillab.study.planning.probes import PROBED, probed_seeds, student_of, with_probes
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.config import NumericsConfig


def add_probes(folder: StudyFolder) -> int:
    """Plan the probes that the file of a study states and its ledger lacks.

    Probes belong to no identity of a study, so their number can be raised in a folder that has one. Those of
    a study with tuning are planned with the runs at chosen settings instead. The default number, ``auto``,
    adds none.

    Returns:
        The number of probes that were added.

    Raises:
        RequestError: The version that planned the study planned other runs for it.
        sqlite3.OperationalError: The ledger cannot be written.
    """
    with folder.ledger() as ledger:
        if folder.spec.tune is not None or not needs_more_probes(folder.spec, ledger):
            return 0
        before, used = ledger.cells(), _numerics_of(ledger)
    plan = Outline.of(folder.spec, folder.dataset).plan_under(used)
    after = with_probes_of(before, plan.cells)
    known = {cell.doubled for cell in before}
    fresh = {cell.doubled for cell in plan.cells if cell.doubled} - known
    if fresh - {cell.doubled for cell in after}:
        raise RequestError(
            "probes cannot be added: another version of distillab planned this folder",
            where=f"{folder.path}: evidence.probes",
            allowed="the number that the folder was made with, or a new folder",
        )
    with folder.ledger() as ledger:
        wanted = {run for run in fresh if run}
        ledger.add(plan.jobs.values(), after, wanted, {PROBED: str(probed_seeds(folder.spec))})
    return len(fresh)


def needs_more_probes(spec: StudySpec, ledger: Ledger) -> bool:
    """Return True if a study states a number of probes that is larger than what its ledger has."""
    if spec.evidence.probes == "auto":
        return False
    planned = ledger.meta(PROBED)
    seeds = {cell.seed for cell in ledger.cells() if cell.doubled} if planned is None else ()
    return probed_seeds(spec) > (len(seeds) if planned is None else int(planned))


def with_probes_of(cells: Iterable[Cell], planned: Iterable[Cell]) -> tuple[Cell, ...]:
    """Return cells with the probes of planned ones that have the same run."""
    every = list(cells)
    runs = {student_of(cell): cell.run for cell in every}
    return with_probes(
        every,
        {
            student_of(cell): cell.doubled
            for cell in planned
            if cell.doubled and runs.get(student_of(cell)) == cell.run
        },
    )


def _numerics_of(ledger: Ledger) -> dict[str, NumericsConfig]:
    """Return how each network computes by the jobs of a ledger; that of a student under the name ""."""
    found: dict[str, NumericsConfig] = {}
    for job in map(ledger.job, ledger.states()):
        if isinstance(job, StudentJob | TeacherJob) and job.recipe:
            recipe = job.recipe
            used = NumericsConfig(
                recipe["precision"],
                recipe.get("memory_format", "channels_last"),
                recipe.get("compile", False),
            )
            found[job.model] = used
            if isinstance(job, StudentJob):
                found[""] = used
    return found
