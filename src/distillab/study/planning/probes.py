"""Probes: students of the first seeds over twice the steps, to see what more training changes.

A probe has the teacher, the examples, the initial weights, the order and the views of the student that it
is a probe of, and its setting if the study tunes. It is no cell of the design: it is compared with that
student on the validation set, and no effect rests on it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from distillab.study.design import Cell
from distillab.study.planning.context import PlanContext
from distillab.study.planning.pairing import Pairing, pairings_of
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.study.planning.replicate import Replicate
from distillab.study.planning.tuning import Tuning
from distillab.study.spec.study import StudySpec
from distillab.study.trial import TUNED, Choice, GroupKey

PROBED = "probed"
"""The fact of a ledger that is the number of seeds whose students have probes."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A student over twice the steps.

    Attributes:
        student: What names the student that it is a probe of; see :func:`student_of`.
        pairing: The pairing, whose recipe is that of the probe.
        method: The method under the setting of the student.
    """

    student: Hashable
    pairing: Pairing
    method: PlannedMethod


def default_probes(context: PlanContext, replicates: Iterable[Replicate], setting: str) -> Iterator[Probe]:
    """Go through the probes of the students at default settings.

    They are those of the first seeds. Conditions that are excluded have none, nor have students that are
    longer than the others to match the compute of distillation. Teachers keep their length, those that are
    copies of the student included.

    Args:
        context: The study on its data.
        replicates: The replicates of the study.
        setting: What the cells of the students are called in a study with tuning.
    """
    double = _Doubled()
    for pairing in pairings_of(context, _probed(context, replicates)):
        twice = double.pairing(pairing)
        for method in pairing.methods:
            if _is_probed(context, method):
                yield Probe(_name(pairing, method, setting), twice, method)


def tuned_probes(
    context: PlanContext,
    replicates: Iterable[Replicate],
    tuning: Tuning,
    chosen: Mapping[GroupKey, Choice | None] | None,
) -> Iterator[Probe]:
    """Go through the probes of the students at chosen settings; see :func:`default_probes`.

    Args:
        context: The study on its data.
        replicates: The replicates of the study.
        tuning: The settings of the study.
        chosen: The choice of each group; see :meth:`Planner.add_tuned`.
    """
    double = _Doubled()
    for pairing in pairings_of(context, _probed(context, replicates)):
        twice: dict[PlannedRecipe, Pairing] = {}
        for method in pairing.methods:
            choice = tuning.choice(pairing, method, chosen)
            if choice is not None and _is_probed(context, method):
                under, changed = tuning.under(pairing, method, choice.number, choice.setting)
                if under.recipe not in twice:
                    twice[under.recipe] = double.pairing(under)
                yield Probe(_name(pairing, method, TUNED), twice[under.recipe], changed)


def probed_seeds(spec: StudySpec) -> int:
    """Return the number of seeds of a study, the first ones, whose students have probes."""
    return spec.evidence.probed_seeds(spec.looks[0] if spec.looks else len(spec.seed_list))


class _Doubled:
    """Makes recipes of twice the steps; the same one for the same recipe."""

    def __init__(self) -> None:
        self._made: dict[PlannedRecipe, PlannedRecipe] = {}

    def pairing(self, pairing: Pairing) -> Pairing:
        return pairing.with_recipes(self._recipe(pairing.recipe), self._recipe(pairing.labelled_recipe))

    def _recipe(self, recipe: PlannedRecipe) -> PlannedRecipe:
        if recipe not in self._made:
            self._made[recipe] = recipe.with_steps(2 * recipe.resolved.steps)
        return self._made[recipe]


def _is_probed(context: PlanContext, method: PlannedMethod) -> bool:
    longer = method.matches_compute or method.throughout
    return not longer and context.spec.evidence.is_probed(method.label)


def _probed(context: PlanContext, replicates: Iterable[Replicate]) -> Iterator[Replicate]:
    seeds = probed_seeds(context.spec)
    return (each for each in replicates if each.number < seeds and each.sets is not None)


def _name(pairing: Pairing, method: PlannedMethod, setting: str) -> Hashable:
    record = pairing.replicate.record
    levels = tuple(record.levels.items())
    return levels, pairing.provenance, pairing.label, method.label, record.seed, setting


def student_of(cell: Cell) -> Hashable:
    """Return what names the student of a cell."""
    levels = tuple(cell.levels.items())
    return levels, cell.provenance, cell.student, cell.method, cell.seed, cell.setting


def with_probes(cells: Iterable[Cell], runs: Mapping[Hashable, str | None]) -> tuple[Cell, ...]:
    """Return cells with the runs that are the probes of their students.

    Args:
        cells: Rows of the design.
        runs: The run of each probe by what names its student.
    """
    return tuple(replace(cell, doubled=runs.get(student_of(cell), cell.doubled)) for cell in cells)


def probe_runs(cells: Iterable[Cell]) -> list[str]:
    """Return the ids of the probes that are no runs of the design themselves."""
    every = list(cells)
    runs = {cell.run for cell in every}
    doubled = (cell.doubled for cell in every if cell.doubled)
    return list(dict.fromkeys(run for run in doubled if run not in runs))
