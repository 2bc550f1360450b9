"""Which students of a study are shown side by side: those of the first condition and seed that has some."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.evidence.tuning import headline_cells
from distillab.report.collect.question import conditions_text
from distillab.study.design import Cell, Levels
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import Condition
from distillab.study.spec.evidence import PLAIN

_MOST_METHODS = 3  # distilled students beside the plain one


@dataclass(frozen=True)
class ShownStudents:
    """A plain student and distilled ones of one condition and seed.

    Attributes:
        plain: The plain student.
        distilled: The distilled ones: that of the first contrast that the study declares comes first.
        condition: Their condition.
        seeds: The finished students of their condition and place over all seeds and methods.

    Example:
        >>> plain = Cell({}, "full", "resnet20", "resnet8", "ce", 0, 100)
        >>> ShownStudents(plain, (), Condition((), seed=0), (plain,)).title
        'resnet8, seed 0'
    """

    plain: Cell
    distilled: tuple[Cell, ...]
    condition: Condition
    seeds: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """The student, its condition and its seed in words."""
        place = f"{conditions_text(self.plain.levels)}, " if self.plain.levels else ""
        return f"{self.plain.student}, {place}seed {self.plain.seed}"


def shown_students(folder: StudyFolder) -> ShownStudents | None:
    """Return the first plain student beside which a distilled one is done; None before there is one."""
    with folder.ledger() as ledger:
        every, states = ledger.cells(), ledger.states()
        conditions = {_key(each.levels, each.seed): each.condition for each in ledger.conditions()}
    done = [cell for cell in every if cell.run and states[cell.run].state == JobState.DONE]
    done = list(headline_cells(done))
    declared = dict.fromkeys(each.method for each in folder.spec.evidence.contrasts)
    distilling = [each.label for each in folder.spec.method_specs() if each.distils]
    distilling = [*declared, *(label for label in distilling if label not in declared)]
    for plain in done:
        if plain.method != PLAIN:
            continue
        seeds = [cell for cell in done if is_beside(cell, plain, seed=False)]
        beside = {cell.method: cell for cell in seeds if cell.seed == plain.seed}
        chosen = [beside[method] for method in distilling if method in beside][:_MOST_METHODS]
        if chosen:
            condition = Condition.read(conditions[_key(plain.levels, plain.seed)])
            return ShownStudents(plain, tuple(chosen), condition, tuple(seeds))
    return None


def is_beside(cell: Cell, other: Cell, *, seed: bool = True) -> bool:
    """Return True for cells of one condition, pair of networks and seed, or of any seed."""
    names = ("levels", "provenance", "teacher", "student", "setting", *(["seed"] if seed else []))
    return all(getattr(cell, name) == getattr(other, name) for name in names)


def network_text(method: str) -> str:
    """Return how the student of a method is called beside others."""
    return "plain student (ce)" if method == PLAIN else method


def _key(levels: Levels, seed: int) -> str:
    return f"{sorted(levels.items())}/{seed}"
