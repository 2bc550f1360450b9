"""The plan: a study expanded into content-addressed jobs and the cells of its design."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import torch

from distillab.data.dataset import Dataset
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job, Kind, OutputsJob, StudentJob, TeacherJob
from distillab.study.planning.costs import CostsOf, ModelCosts
from distillab.study.planning.planner import Planner
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.device import single_threaded
from distillab.training.numerics.selection import NumericsChoice, default_numerics


@dataclass
class Plan:
    """Jobs in an order in which each comes after what it needs; the design's conditions and cells; for each
    network, if it was chosen, in which arithmetic it is trained. ``stored_bytes`` is the most that the stored
    outputs of teachers can take."""

    jobs: dict[str, Job] = field(default_factory=dict)
    conditions: list[ConditionRecord] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    numerics: dict[str, NumericsChoice] = field(default_factory=dict)
    stored_bytes: int = 0

    def count(self, kind: Kind) -> int:
        """Return the number of jobs of a kind."""
        return sum(job.kind == kind for job in self.jobs.values())

    @property
    def teachers(self) -> list[TeacherJob]:
        """The jobs of teachers, in planned order."""
        return [job for job in self.jobs.values() if isinstance(job, TeacherJob)]

    @property
    def outputs(self) -> list[OutputsJob]:
        """The jobs of teachers' outputs, in planned order."""
        return [job for job in self.jobs.values() if isinstance(job, OutputsJob)]

    @property
    def students(self) -> list[StudentJob]:
        """The jobs of students, in planned order."""
        return [job for job in self.jobs.values() if isinstance(job, StudentJob)]


def make_plan(
    spec: StudySpec,
    dataset: Dataset,
    device: torch.device,
    chosen: Mapping[str, NumericsChoice] | None = None,
    costs_of: CostsOf | None = None,
) -> Plan:
    """Expand a study on its data, with no more stored of teachers' outputs than its budget allows.

    ``chosen``: for networks that compute otherwise than is usual on the device, how. ``costs_of``: what is
    known of networks by an earlier plan, which would otherwise be built anew.

    Raises:
        RequestError: a level that the data cannot reach, or a model that cannot serve these images.
    """
    usual = default_numerics(device)
    chosen, costs_of = chosen or {}, costs_of or cache(ModelCosts)
    numerics = defaultdict(lambda: usual, {model: each.numerics for model, each in chosen.items()})
    largest = budget = spec.teacher.outputs.budget
    while True:
        planner = Planner(spec, dataset, numerics, largest, costs_of)
        with single_threaded():
            planner.expand()
        if sum(planner.stored_bytes.values()) <= budget:
            stored = sum(planner.stored_bytes.values())
            return Plan(planner.jobs, planner.conditions, planner.cells, dict(chosen), stored)
        # Together they do not fit: the largest streams are asked live instead.
        sizes = sorted(planner.stored_bytes.values())
        together = zip(sizes, itertools.accumulate(sizes), strict=True)
        largest = next(size for size, total in together if total > budget) - 1


def shared_teachers(plan: Plan) -> int:
    """How many student runs each stored teacher output saves from asking the teacher: used by ``plan``."""
    users = Counter(need for job in plan.students for need in job.needs)
    return sum(users.values()) - len(users)
