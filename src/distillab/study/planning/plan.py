"""The plan: a study expanded into content-addressed jobs and the cells of its design."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from distillab.data.dataset import Dataset
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job, Kind, OutputsJob, StudentJob, TeacherJob
from distillab.study.planning.context import PlanContext
from distillab.study.planning.numerics import choose_numerics
from distillab.study.planning.planner import Planner, pairings_of
from distillab.study.planning.replicate import Replicate, expand
from distillab.study.planning.storage import Storage, choose_storage
from distillab.study.planning.workloads import Workloads
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.config import NumericsConfig
from distillab.training.numerics.device import single_threaded
from distillab.training.numerics.selection import NumericsChoice, default_numerics


@dataclass(frozen=True)
class Plan:
    """A study as it will be run.

    Attributes:
        jobs: the jobs by id, each after those it needs.
        conditions: the conditions of the design, seeds in the outer loop.
        cells: the rows of the design, by condition, then arm, then seed.
        numerics: how each network computes, if it was chosen.
        stored_bytes: the most that the stored outputs of teachers can take.
    """

    jobs: Mapping[str, Job]
    conditions: tuple[ConditionRecord, ...]
    cells: tuple[Cell, ...]
    numerics: Mapping[str, NumericsChoice]
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

    @property
    def reused_outputs(self) -> int:
        """How many students read teacher outputs that another student needs anyway."""
        users = Counter(need for job in self.students for need in job.needs)
        return sum(users.values()) - len(users)


@dataclass(frozen=True, eq=False)
class Outline:
    """A study expanded on its data, before any job: its replicates, and which outputs it stores."""

    context: PlanContext
    replicates: tuple[Replicate, ...]
    storage: Storage

    @classmethod
    def of(cls, spec: StudySpec, dataset: Dataset) -> Outline:
        """Expand a study. Raises RequestError for what the data, or the models, cannot give."""
        context = PlanContext(spec, dataset)
        with single_threaded():
            replicates = tuple(expand(context))
            storage = choose_storage(context, lambda: pairings_of(context, replicates))
        return cls(context, replicates, storage)

    def workloads(self) -> Workloads:
        """Return what each network of the study does."""
        return Workloads.of_study(self.storage, pairings_of(self.context, self.replicates))

    def plan(self, numerics: Mapping[str, NumericsChoice], device: torch.device) -> Plan:
        """Return the plan in which each network computes as chosen, or else as is usual on a device."""
        usual, configs = default_numerics(device), dict[str, NumericsConfig]()
        # Choices that no timing has made are those of the recipes, or usual.
        if any(choice.rates and choice.numerics != usual for choice in numerics.values()):
            configs = {model: choice.numerics for model, choice in numerics.items()}
        planner = Planner(self.context, self.storage, defaultdict(lambda: usual, configs))
        cells = planner.add(self.replicates)
        conditions = tuple(replicate.record for replicate in self.replicates)
        return Plan(MappingProxyType(planner.jobs), conditions, cells, numerics, planner.stored_bytes)


def make_plan(spec: StudySpec, dataset: Dataset, device: torch.device) -> Plan:
    """Return the plan of a study on its data, every network under the usual numerics of a device.

    Raises:
        RequestError: a level that the data cannot reach, or a model that cannot serve these images.
    """
    return Outline.of(spec, dataset).plan({}, device)


def tuned_plan(spec: StudySpec, dataset: Dataset, device: torch.device) -> Plan:
    """Return the plan of a study on its data, each network under the numerics that are fastest for it here.

    A study that takes minutes is timed for some seconds per network, and for a minute where compiling is
    worth a trial; what was timed once is remembered.

    Raises:
        RequestError: a level that the data cannot reach, or a model that cannot serve these images.
    """
    outline = Outline.of(spec, dataset)
    return outline.plan(choose_numerics(outline.context, outline.workloads(), device), device)
