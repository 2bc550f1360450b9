"""The plan: a study expanded into content-addressed jobs and the cells of its design."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch

from distillab.data.dataset import Dataset
from distillab.data.raw import Progress
from distillab.models import InputSpec, ensemble_parts, stem_change
from distillab.notebook import html_table
from distillab.printable import counted
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job, Kind, OutputsJob, StudentJob, TeacherJob
from distillab.study.planning.context import PlanContext, must_have_targets
from distillab.study.planning.external_teacher import open_given_teachers
from distillab.study.planning.numerics import choose_numerics
from distillab.study.planning.pairing import pairings_of
from distillab.study.planning.planner import Planner
from distillab.study.planning.replicate import Replicate, expand
from distillab.study.planning.splits import SeedSplits
from distillab.study.planning.storage import Storage, choose_storage
from distillab.study.planning.teacher_draws import TeacherDraws, draw_teachers
from distillab.study.planning.teacher_trial import TeacherTrial, try_given_teacher
from distillab.study.planning.tuning import Tuning, pairings_to_store
from distillab.study.planning.workloads import Workloads
from distillab.study.spec.choices import with_replicates
from distillab.study.spec.draws import Replicates
from distillab.study.spec.student import student_entry
from distillab.study.spec.study import StudySpec
from distillab.study.trial import DEFAULT, Choice, GroupKey, Trial, trial_runs
from distillab.training.numerics.config import NumericsConfig
from distillab.training.numerics.device import single_threaded
from distillab.training.numerics.selection import NumericsChoice, default_numerics


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
        jobs = MappingProxyType({**self.jobs, **self.most_tuned.jobs})
        cells = (*self.cells, *self.most_tuned.cells)
        return replace(self, jobs=jobs, cells=cells, most_tuned=None)


@dataclass(frozen=True, eq=False)
class TunedPart:
    """The part of a plan that follows tuning.

    Attributes:
        jobs: Jobs by id, each after those it needs; some of them are in the first part as well.
        cells: Rows of the design under chosen settings.

    Example:
        >>> TunedPart(jobs={}, cells=()).cells
        ()
    """

    jobs: Mapping[str, Job]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, eq=False)
class Outline:
    """A study expanded on its data, before any job is planned.

    Attributes:
        context: What all conditions share.
        replicates: The conditions under each seed.
        storage: Which teacher outputs are stored.
        draws: How many ``full`` teachers there are.
        trials: What each given teacher is worth on the data; empty if the teacher is trained.
        tuning: What the study tunes; None for nothing.
        tuning_replicates: The conditions under each seed of tuning.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["ce", "kd"], seeds=1,
        ... )
        >>> dataset = load_dataset(spec.source())
        >>> len(Outline.of(spec, dataset).replicates)
        1
    """

    context: PlanContext
    replicates: tuple[Replicate, ...]
    storage: Storage
    draws: TeacherDraws
    trials: tuple[TeacherTrial, ...] = ()
    tuning: Tuning | None = None
    tuning_replicates: tuple[Replicate, ...] = ()

    @classmethod
    def of(
        cls,
        spec: StudySpec,
        dataset: Dataset,
        *,
        device: torch.device | None = None,
        progress: Progress | None = None,
    ) -> Outline:
        """Expand a study on its data. A given teacher is tried first.

        Args:
            spec: The study.
            dataset: Its data.
            device: Where a given teacher is tried; the CPU if None.
            progress: Called with (stage, done, total).

        Raises:
            RequestError: The data cannot reach a level, or a network or method cannot serve the data.
        """
        task = spec.task_config()
        must_have_targets(dataset, task)
        given = open_given_teachers(spec, dataset)
        trials = tuple(try_given_teacher(each, task, device or torch.device("cpu")) for each in given)
        if given:
            spec = given[0].spec.model_copy(
                update={"teacher": given[0].spec.teacher.model_copy(update={"weights": spec.teacher.weights})}
            )
        with single_threaded():
            context, replicates, draws = _expanded(spec, dataset, progress)
            tuning = Tuning(context) if spec.tune else None
            tried = tuple(tuning.replicates()) if tuning else ()
            storage = choose_storage(context, lambda: pairings_to_store(context, tuning, replicates, tried))
        return cls(context, replicates, storage, draws, trials, tuning, tried)

    def workloads(self) -> Workloads:
        """Return what each network of the study computes."""
        return Workloads.of_study(self.storage, pairings_of(self.context, self.replicates))

    def plan(self, numerics: Mapping[str, NumericsChoice], device: torch.device) -> Plan:
        """Return the plan.

        Args:
            numerics: How networks compute; others use the default numerics.
            device: The device that the default numerics are those of.
        """
        usual, configs = default_numerics(device), dict[str, NumericsConfig]()
        # A choice without a benchmark is that of the recipe, or the default one.
        if any(choice.rates and choice.numerics != usual for choice in numerics.values()):
            configs = {model: choice.numerics for model, choice in numerics.items()}
        planner = Planner(self.context, self.storage, defaultdict(lambda: usual, configs))
        tuning, trials, most = self.tuning, tuple[Trial, ...](), None
        if tuning:
            trials = planner.add_trials(tuning, self.tuning_replicates)
            most = self.tuned(None, {**configs, "": usual})
        setting, runs = (DEFAULT, tuning.tune.default_runs) if tuning else ("", True)
        cells = planner.add(self.replicates, setting=setting) if runs else ()
        conditions = tuple(replicate.record for replicate in self.replicates)
        return Plan(
            MappingProxyType(planner.jobs),
            conditions,
            cells,
            numerics,
            planner.stored_bytes,
            tuple(self.context.starts.notes),
            (*self._given_notes(), *self._stem_notes(), *self.context.pair_notes()),
            self.trials[0] if self.trials else None,
            trials,
            most,
            {**configs, "": usual},
            self.draws,
            SeedSplits(self.context.spec, self.context.dataset).is_drawn,
        )

    def tuned(
        self,
        chosen: Mapping[GroupKey, Choice | None] | None,
        numerics: Mapping[str, NumericsConfig],
    ) -> TunedPart:
        """Return the part of the plan that follows tuning.

        Args:
            chosen: The choice of each group; by default what would cost most.
            numerics: How networks compute; others as the one of the name "".

        Raises:
            ValueError: The study tunes nothing.
        """
        if self.tuning is None:
            raise ValueError("the study tunes nothing")
        usual = numerics[""]
        planner = Planner(self.context, self.storage, defaultdict(lambda: usual, numerics))
        cells = planner.add_tuned(self.tuning, self.replicates, chosen)
        return TunedPart(MappingProxyType(planner.jobs), cells)

    def _given_notes(self) -> list[str]:
        """Return what was found about given teachers, and how seeds share them if there are several."""
        found = [sentence for trial in self.trials for sentence in trial.sentences]
        if len(self.trials) > 1:
            found.append(f"The {len(self.trials)} given teachers are used by the seeds in turn.")
        return found

    def _stem_notes(self) -> list[str]:
        """Return a sentence for each network that the study trains whose stem is changed for small images."""
        spec, inputs = self.context.spec, InputSpec(*self.context.dataset.train.shape)
        own = () if spec.teacher.provenance == ("external",) else (*spec.teacher.members, spec.teacher.whole)
        students = (student_entry(student).model for student in spec.students)
        names = dict.fromkeys((*own, *spec.teacher.assistants, *students))
        changes = {name: stem_change(name, inputs) for name in names if not ensemble_parts(name)}
        return [
            f"The stem of {name} is changed for {inputs.size} images: {change}."
            for name, change in changes.items()
            if change
        ]


def _expanded(
    spec: StudySpec, dataset: Dataset, progress: Progress | None
) -> tuple[PlanContext, tuple[Replicate, ...], TeacherDraws]:
    """Return the context and the replicates of a study with the number of its ``full`` teachers."""
    written = spec.teacher.replicates

    def expanded(replicates: Replicates) -> tuple[PlanContext, tuple[Replicate, ...]]:
        context = PlanContext(with_replicates(spec, replicates), dataset)
        return context, tuple(_reported(expand(context), context.replicate_count, progress))

    context, replicates = expanded("each" if written == "auto" else written)
    first = (each for each in replicates if each.number == 0)
    draws = draw_teachers(written, pairings_of(context, first), len(spec.seed_list))
    if draws.replicates != context.spec.teacher.replicates:  # the splits may be others
        context, replicates = expanded(draws.replicates)
    return context, replicates, draws


def make_plan(spec: StudySpec, dataset: Dataset, device: torch.device) -> Plan:
    """Return the plan of a study under the default numerics of a device.

    Args:
        spec: The study.
        dataset: Its data.
        device: Where it will run.

    Raises:
        RequestError: The data cannot reach a level, or a network or method cannot serve the data.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["ce", "kd"], seeds=1,
        ... )
        >>> dataset = load_dataset(spec.source())
        >>> plan = make_plan(spec, dataset, torch.device("cpu"))
        >>> [plan.count(kind) for kind in ("teacher", "outputs", "student")]
        [1, 1, 2]
    """
    return Outline.of(spec, dataset, device=device).plan({}, device)


def tuned_plan(
    spec: StudySpec, dataset: Dataset, device: torch.device, progress: Progress | None = None
) -> Plan:
    """Return the plan of a study in which each network uses the numerics that are fastest on a device.

    A study that takes minutes is benchmarked for some seconds per network, and for a minute where compiling
    may pay. Results of earlier benchmarks are reused.

    Args:
        spec: The study.
        dataset: Its data.
        device: Where it will run.
        progress: Called with (stage, done, total).

    Raises:
        RequestError: The data cannot reach a level, or a network or method cannot serve the data.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["ce", "kd"], seeds=1,
        ... )
        >>> dataset = load_dataset(spec.source())
        >>> plan = tuned_plan(spec, dataset, torch.device("cpu"))
        >>> {model: str(choice.numerics) for model, choice in plan.numerics.items()}
        {'resnet8': 'fp32 channels_last eager'}
    """
    outline = Outline.of(spec, dataset, device=device, progress=progress)
    numerics = choose_numerics(outline.context, outline.workloads(), device, progress)
    return outline.plan(numerics, device)


def _reported(replicates: Iterable[Replicate], total: int, progress: Progress | None) -> Iterator[Replicate]:
    """Go through replicates while they are made, and report how many are."""
    for done, replicate in enumerate(replicates, 1):
        if progress:
            progress("applying factors", done, total)
        yield replicate
