"""The outline: a study expanded on its data, from which its jobs are planned."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from distillab.data.dataset import Dataset
from distillab.data.raw import Progress
from distillab.models import InputSpec, ensemble_parts, stem_change
from distillab.study.design import Cell
from distillab.study.planning.context import PlanContext, must_have_targets
from distillab.study.planning.dense_tasks import must_suit_dense
from distillab.study.planning.external_teacher import open_given_teachers
from distillab.study.planning.numerics import choose_numerics
from distillab.study.planning.pairing import pairings_of, with_stages
from distillab.study.planning.plan import Plan, TunedPart
from distillab.study.planning.planner import Planner
from distillab.study.planning.probes import default_probes, tuned_probes
from distillab.study.planning.replicate import Replicate, expand
from distillab.study.planning.splits import SeedSplits
from distillab.study.planning.storage import Storage, choose_storage
from distillab.study.planning.teacher_draws import TeacherDraws, draw_teachers
from distillab.study.planning.teacher_trial import TeacherTrial, try_given_teacher
from distillab.study.planning.tuning import Tuning, pairings_to_store
from distillab.study.planning.workloads import Workloads
from distillab.study.spec.choices import with_replicates, with_teacher
from distillab.study.spec.draws import Replicates
from distillab.study.spec.student import student_entry
from distillab.study.spec.study import StudySpec
from distillab.study.trial import DEFAULT, Choice, GroupKey, Trial
from distillab.training.numerics.config import NumericsConfig
from distillab.training.numerics.device import single_threaded
from distillab.training.numerics.selection import NumericsChoice, default_numerics


@dataclass(frozen=True, eq=False)
class Outline:
    """A study expanded on its data, before any job is planned.

    Attributes:
        context: What all conditions share.
        replicates: The conditions under each seed.
        storage: Which teacher outputs are stored.
        draws: How many ``full`` teachers there are.
        teacher_trials: What each given teacher is worth on the data; empty if the teacher is trained.
        tuning: What the study tunes; None for nothing.

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
    teacher_trials: tuple[TeacherTrial, ...] = ()
    tuning: Tuning | None = None

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
        must_suit_dense(spec, task)
        task.check_val(dataset.val.targets)
        for name, test in dataset.eval.items():
            task.check_test(test.targets, test.classes, name)
        given = open_given_teachers(spec, dataset)
        trials = tuple(
            try_given_teacher(each, task.on_logits, device or torch.device("cpu")) for each in given
        )
        if given:
            files = tuple(file for each in given for file in each.spec.teacher.files)
            spec = with_teacher(given[0].spec, weights=files if len(files) > 1 else files[0])
        with single_threaded():
            context, replicates, draws = _expanded(spec, dataset, progress)
            tuning = Tuning(context) if spec.tune else None
            storage = choose_storage(context, lambda: pairings_to_store(context, tuning, replicates))
        return cls(context, replicates, storage, draws, trials, tuning)

    def workloads(self) -> Workloads:
        """Return what each network of the study computes."""
        return Workloads.of_study(self.storage, with_stages(pairings_of(self.context, self.replicates)))

    def plan(self, numerics: Mapping[str, NumericsChoice], device: torch.device) -> Plan:
        """Return the plan.

        Args:
            numerics: How networks compute; others use the default numerics.
            device: The device that the default numerics are those of.
        """
        usual, configs = default_numerics(device), dict[str, NumericsConfig]()
        # Without a benchmark, the recipe or the default decides.
        if any(choice.rates and choice.numerics != usual for choice in numerics.values()):
            configs = {model: choice.numerics for model, choice in numerics.items()}
        return self.plan_under({**configs, "": usual}, numerics)

    def plan_under(
        self,
        used: Mapping[str, NumericsConfig],
        numerics: Mapping[str, NumericsChoice] | None = None,
    ) -> Plan:
        """Return the plan under given numerics.

        Args:
            used: The numerics by network; the entry "" is that of all others.
            numerics: How they were chosen.
        """
        planner = self._planner(used)
        trials, cells = self._first_part(planner)
        jobs, stored = MappingProxyType(dict(planner.jobs)), planner.stored_bytes
        return Plan(
            jobs=jobs,
            conditions=tuple(replicate.record for replicate in self.replicates),
            cells=cells,
            numerics=numerics or {},
            stored_bytes=stored,
            starts=tuple(self.context.starts.notes),
            notes=tuple(self._notes()),
            trial=self.teacher_trials[0] if self.teacher_trials else None,
            trials=trials,
            most_tuned=self._tuned_part(planner, cells, None) if self.tuning else None,
            numerics_used=used,
            draws=self.draws,
            split_drawn=SeedSplits(self.context.spec, self.context.dataset).is_drawn,
        )

    def tuned(
        self,
        chosen: Mapping[GroupKey, Choice | None] | None,
        numerics: Mapping[str, NumericsConfig],
    ) -> TunedPart:
        """Return the part of the plan that follows tuning, with the probes of all students.

        Args:
            chosen: The choice of each group; by default what would cost most.
            numerics: The numerics by network; the entry "" is that of all others.

        Raises:
            ValueError: The study tunes nothing.
        """
        planner = self._planner(numerics)
        _, cells = self._first_part(planner)
        return self._tuned_part(planner, cells, chosen)

    def _planner(self, numerics: Mapping[str, NumericsConfig]) -> Planner:
        usual = numerics[""]
        return Planner(self.context, self.storage, defaultdict(lambda: usual, numerics))

    def _first_part(self, planner: Planner) -> tuple[tuple[Trial, ...], tuple[Cell, ...]]:
        """Add what is planned before anything has run: all without tuning, else trials and default runs."""
        if self.tuning is None:
            cells = planner.add(self.replicates)
            return (), planner.add_probes(cells, default_probes(self.context, self.replicates, ""))
        trials = planner.add_trials(self.tuning)
        runs = self.replicates if self.tuning.tune.default_runs else ()
        return trials, planner.add(runs, setting=DEFAULT)

    def _tuned_part(
        self, planner: Planner, cells: tuple[Cell, ...], chosen: Mapping[GroupKey, Choice | None] | None
    ) -> TunedPart:
        """Add what follows tuning: runs at chosen settings, and the probes of these and of default runs."""
        if self.tuning is None:
            raise ValueError("the study tunes nothing")
        every = (*cells, *planner.add_tuned(self.tuning, self.replicates, chosen))
        probes = tuned_probes(self.context, self.replicates, self.tuning, chosen)
        if self.tuning.tune.default_runs:
            probes = itertools.chain(default_probes(self.context, self.replicates, DEFAULT), probes)
        every = planner.add_probes(every, probes)
        return TunedPart(MappingProxyType(planner.jobs), every, planner.stored_bytes)

    def _notes(self) -> Iterator[str]:
        """Go through what was found about networks, one sentence each."""
        for trial in self.teacher_trials:
            yield from trial.sentences
        if len(self.teacher_trials) > 1:
            yield f"The {len(self.teacher_trials)} given teachers are used by the seeds in turn."
        yield from self._stem_notes()
        yield from self.context.pair_notes()
        teacher = self.context.spec.teacher
        if teacher.replicates not in (1, "each") and "full" not in teacher.provenance:
            yield (
                f"`teacher.replicates: {teacher.replicates}` has no effect: it is the number of teachers of "
                "provenance full, of which the study has none."
            )

    def _stem_notes(self) -> list[str]:
        """Return a sentence for each network that the study trains whose stem is changed for these images."""
        spec, inputs = self.context.spec, InputSpec(*self.context.dataset.train.shape)
        own = () if spec.teacher.provenance == ("external",) else (*spec.teacher.members, spec.teacher.whole)
        own = tuple(each.whole for each in self.context.teachers.values()) or own
        students = (student_entry(student).model for student in spec.students)
        names = dict.fromkeys((*own, *spec.teacher.assistants, *students))
        changes = {name: stem_change(name, inputs) for name in names if not ensemble_parts(name)}
        return [
            f"The stem of {name} is changed for {inputs.size} inputs: {change}."
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
    draws = draw_teachers(written, with_stages(pairings_of(context, first)), len(spec.seed_list))
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
    spec: StudySpec,
    dataset: Dataset,
    device: torch.device,
    progress: Progress | None = None,
    *,
    used: Mapping[str, NumericsConfig] | None = None,
) -> Plan:
    """Return the plan of a study in which each network uses the numerics that are fastest on a device.

    A study that takes minutes is benchmarked for some seconds per network, and for a minute where compiling
    may pay. Results of earlier benchmarks are reused.

    Args:
        spec: The study.
        dataset: Its data.
        device: Where it will run.
        progress: Called with (stage, done, total).
        used: The numerics of each network, if they were chosen before.

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
    if used is not None:
        return outline.plan_under(used)
    numerics = choose_numerics(outline.context, outline.workloads(), device, progress)
    return outline.plan(numerics, device)


def _reported(replicates: Iterable[Replicate], total: int, progress: Progress | None) -> Iterator[Replicate]:
    """Go through replicates while they are made, and report how many are."""
    for done, replicate in enumerate(replicates, 1):
        if progress:
            progress("applying factors", done, total)
        yield replicate
