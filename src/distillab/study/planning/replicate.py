"""A condition under a seed, as the planner meets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from distillab.canonical import Canonical
from distillab.data.class_map import ClassMap, class_map
from distillab.data.examples import Examples
from distillab.study.design import CheckRecord, ConditionRecord
from distillab.study.job_parts import ConditionSpec, RunSeeds, SetDigests
from distillab.study.planning.conditions import Condition, Roles

if TYPE_CHECKING:
    from distillab.study.planning.planner import Planner


@dataclass(frozen=True, eq=False)
class Replicate:
    """A condition under a seed: what does not depend on teacher, student and method."""

    planner: Planner
    condition: Condition
    roles: Roles
    replicate: int

    def record(self) -> ConditionRecord:
        """Return the condition with its manipulation checks, and what conclusions need to know of it."""
        return ConditionRecord(
            self.where,
            self.levels,
            self.labelled,
            self._own_tests,
            self._unequal,
            tuple(
                CheckRecord(
                    check.factor,
                    check.measure,
                    check.requested,
                    check.measured,
                    check.tolerance,
                    check.passed,
                    check.note,
                )
                for check in self.roles.checks
            ),
        )

    @cached_property
    def labelled(self) -> int:
        """Transfer images with labels."""
        return int(self.roles.transfer.labelled.sum())

    @property
    def unlabelled(self) -> int:
        return len(self.roles.transfer) - self.labelled

    @property
    def _own_tests(self) -> bool:
        """Whether the test sets differ from those that were read."""
        read, mine = self.planner.dataset.eval, self.roles.eval
        return mine.keys() != read.keys() or any(mine[name] is not images for name, images in read.items())

    @property
    def _unequal(self) -> tuple[int, ...] | None:
        """Transfer images by class, where ``imbalance`` set how unequal they are, or another factor made them
        more than twice as unequal."""
        counts, before = self.roles.transfer.counts, self.planner.dataset.train.counts
        ratio, was = (each.max() / max(each.min(), 1) for each in (counts, before))
        least = 1 if "imbalance" in self.condition.levels else 2 * was
        return tuple(counts.tolist()) if ratio > least else None

    @cached_property
    def where(self) -> ConditionSpec:
        return self.condition.written()

    @cached_property
    def levels(self) -> Canonical:
        return Canonical(self.condition.levels)

    @cached_property
    def excluded(self) -> str | None:
        """Why no conclusion may be drawn from this condition, or None."""
        if not self.roles.failed_checks:
            return None
        worst = self.roles.failed_checks[0]
        return f"{worst.factor}: requested {worst.measure} {worst.requested:g}, measured {worst.measured:g}"

    def class_map(self, theirs: Sequence[str]) -> ClassMap | None:
        """From a teacher's classes to the student's. Raises RequestError."""
        key = tuple(theirs), self.roles.transfer.classes
        known = self.planner.class_maps
        if key not in known:
            names = self.planner.spec.teacher.class_map
            known[key] = class_map(*key, self.planner.dataset.train, names)
        return known[key]

    @cached_property
    def student_seeds(self) -> RunSeeds:
        seed, study = self.planner.seed, self.planner.spec.seed
        if self.planner.spec.order == "shared":
            order = seed("student order", study, "shared")
        else:
            order = seed("student order", study, "", self.condition.seed)
        init = seed("student init", study, "", self.condition.seed)
        return RunSeeds(init, order, self.planner.view_seed)

    @cached_property
    def student_sets(self) -> SetDigests:
        return self.sets(self.roles.transfer, self.roles.val, self.roles.eval)

    def sets(self, train: Examples, val: Examples, evals: Mapping[str, Examples]) -> SetDigests:
        """Return the content of what a run reads."""
        tests = {name: images.digest for name, images in evals.items()}
        return SetDigests(train.digest, val.digest, tests, self.planner.normalisation)
