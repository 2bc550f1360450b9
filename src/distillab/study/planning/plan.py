"""The plan: the content-addressed jobs of a study and the cells of its design."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from distillab.notebook import html_table
from distillab.printable import counted
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job, Kind, OutputsJob, StudentJob, TeacherJob
from distillab.study.planning.teacher_draws import TeacherDraws
from distillab.study.planning.teacher_trial import TeacherTrial
from distillab.study.trial import Trial, trial_runs
from distillab.training.numerics.config import NumericsConfig
from distillab.training.numerics.selection import NumericsChoice


@dataclass(frozen=True, repr=False)
class Plan:
    """A study as it will be run.

    Attributes:
        jobs: Jobs by id, each after those it needs.
        conditions: Conditions of the design, seeds in the outer loop.
        cells: Rows of the design, by condition, then method, then seed.
        numerics: How each network computes, if it was chosen.
        stored_bytes: Most bytes that stored teacher outputs can take.
        starts: The trained weights that networks start from, one sentence each.
        notes: What was found about the networks, one sentence each.
        trial: What a given teacher, the first of several, is worth on the data; None if it is trained.
        trials: The trials of tuning; empty without it.
        most_tuned: The part of the plan that follows tuning, under the settings that would cost most; None
            without tuning. It is planned anew once the settings are chosen.
        numerics_used: The numerics of each network; of networks without a choice under the name "".
        draws: How many ``full`` teachers there are, and why; None if that was not considered.
        split_drawn: Whether seeds have different train/val splits.

    Example:
        >>> plan = Plan(jobs={}, conditions=(), cells=(), numerics={})
        >>> plan.count("student"), plan.reused_outputs
        (0, 0)
        >>> plan
        Plan(0 students, 0 teachers, 0 sets of teacher outputs, 0 cells)
    """

    jobs: Mapping[str, Job]
    conditions: tuple[ConditionRecord, ...]
    cells: tuple[Cell, ...]
    numerics: Mapping[str, NumericsChoice]
    stored_bytes: int = 0
    starts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trial: TeacherTrial | None = None
    trials: tuple[Trial, ...] = ()
    most_tuned: TunedPart | None = None
    numerics_used: Mapping[str, NumericsConfig] = field(default_factory=dict)
    draws: TeacherDraws | None = None
    split_drawn: bool = False

    def __repr__(self) -> str:
        students, teachers = counted(len(self.students), "student"), counted(len(self.teachers), "teacher")
        outputs = counted(len(self.outputs), "set")
        cells = counted(len(self.cells), "cell")
        return f"Plan({students}, {teachers}, {outputs} of teacher outputs, {cells})"

    def count(self, kind: Kind) -> int:
        """Return the number of jobs of a kind."""
        return sum(job.kind == kind for job in self.jobs.values())

    def _repr_html_(self) -> str:
        """Return the size of the plan, as notebooks show it."""
        runs = ", ".join(f"{self.count(kind):,} {kind} runs" for kind in ("student", "teacher"))
        excluded = sum(cell.excluded is not None for cell in self.cells)
        rows = [
            ("runs", runs),
            ("conditions", f"{len(self.conditions):,}, each under one seed"),
            ("excluded", f"{excluded:,} of {len(self.cells):,} cells"),
            ("teacher outputs", f"{self.stored_bytes / 1e6:,.1f} MB at most"),
            *((f"numerics of {model}", str(choice)) for model, choice in self.numerics.items()),
            *(("start", start) for start in self.starts),
        ]
        return html_table("Plan", rows)

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
        """How many student runs share the teacher outputs of another one."""
        users = Counter(need for job in self.students for need in job.needs)
        return sum(users.values()) - len(users)

    @property
    def trial_runs(self) -> tuple[str, ...]:
        """The distinct runs of the trials."""
        return tuple(trial_runs(self.trials))

    @property
    def at_most(self) -> Plan:
        """The plan with the runs that follow tuning, under the settings that would cost most; the plan itself
        without tuning."""
        if self.most_tuned is None:
            return self
        most = self.most_tuned
        jobs = MappingProxyType({**self.jobs, **most.jobs})
        return replace(self, jobs=jobs, cells=most.cells, stored_bytes=most.stored_bytes, most_tuned=None)


@dataclass(frozen=True, eq=False)
class TunedPart:
    """The part of a plan that follows tuning.

    Attributes:
        jobs: Jobs by id, each after those it needs, with those of the first part.
        cells: All rows of the design: those at default settings, if they are run, then those at chosen ones.
        stored_bytes: Most bytes that stored teacher outputs can take, those of the first part included.

    Example:
        >>> TunedPart(jobs={}, cells=()).cells
        ()
    """

    jobs: Mapping[str, Job]
    cells: tuple[Cell, ...]
    stored_bytes: int = 0
