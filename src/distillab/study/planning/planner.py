"""Planner: makes the jobs of a study and the cells of its design."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping

from distillab.canonical import JsonObject
from distillab.study.design import Cell
from distillab.study.job import Job
from distillab.study.planning.context import PlanContext
from distillab.study.planning.pairing import Pairing, pairings_of
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.planned_recipe import PlannedRecipe, RecipeWriter
from distillab.study.planning.probes import Probe, with_probes
from distillab.study.planning.replicate import Replicate
from distillab.study.planning.stages import StageJobs
from distillab.study.planning.storage import Storage, choose_storage
from distillab.study.planning.student_jobs import PairingJobs
from distillab.study.planning.teacher_jobs import TeacherJobs
from distillab.study.planning.tuning import Tuning
from distillab.study.spec.student import StudentEntry
from distillab.study.spec.teacher import Provenance
from distillab.study.trial import TUNED, Choice, GroupKey, Setting, Trial
from distillab.training.numerics.config import NumericsConfig


class Planner:
    """Makes the jobs of a study: it alone adds them to a plan.

    Attributes:
        jobs: The jobs added so far, by id, each after those it needs.
        stored_bytes: The most that stored outputs can take.
    """

    def __init__(
        self, context: PlanContext, storage: Storage, numerics: Mapping[str, NumericsConfig]
    ) -> None:
        self.context, self.storage = context, storage
        self.teachers = TeacherJobs(context, storage, RecipeWriter(numerics))
        self.stages = StageJobs(self.teachers, self.supply, self._add)
        self.jobs: dict[str, Job] = {}
        self._stream_bytes: dict[str, int] = {}

    @property
    def stored_bytes(self) -> int:
        return sum(self._stream_bytes.values())

    def add(self, replicates: Iterable[Replicate], *, setting: str = "") -> tuple[Cell, ...]:
        """Add the jobs of replicates; return their cells by condition, then arm, then seed.

        Args:
            replicates: The conditions under each seed.
            setting: What the cells are called in a study with tuning.
        """

        def cells(pairing: Pairing) -> Iterator[Cell]:
            jobs = self._pairing_jobs(pairing)
            for method in pairing.methods:
                run = self._add(jobs.student_jobs(method))
                yield _cell(pairing, method, jobs, run=run, setting=setting)

        return self._in_order(replicates, cells, setting)

    def add_probes(self, cells: tuple[Cell, ...], probes: Iterable[Probe]) -> tuple[Cell, ...]:
        """Add the jobs of probes; return the cells with those that are their probes.

        The outputs of teachers for probes may take what is left of the budget.
        """
        by_pairing = defaultdict[Pairing, list[Probe]](list)
        for probe in probes:
            by_pairing[probe.pairing].append(probe)
        if not by_pairing:
            return cells
        left = choose_storage(self.context, lambda: by_pairing, self.stored_bytes)
        usual = self.storage, self.teachers
        self.storage, self.teachers = left, TeacherJobs(self.context, left, self.teachers.recipes)
        runs: dict[Hashable, str | None] = {}
        for pairing, group in by_pairing.items():
            jobs = PairingJobs(self.stages.begin(pairing), self.teachers)
            self.supply(jobs, {probe.method.teacher for probe in group})
            for probe in group:
                runs[probe.student] = self._add(jobs.student_jobs(probe.method))
        self.storage, self.teachers = usual
        return with_probes(cells, runs)

    def add_tuned(
        self,
        tuning: Tuning,
        replicates: Iterable[Replicate],
        chosen: Mapping[GroupKey, Choice | None] | None = None,
    ) -> tuple[Cell, ...]:
        """Add the jobs of replicates under chosen settings; return their cells, in the same order.

        Args:
            tuning: The settings of the study.
            replicates: The conditions under each seed.
            chosen: The choice of each group; None where there is none yet, which leaves its cells out. A
                group that is missing has no trials, and the default setting. By default the choices are those
                that would cost most.
        """

        def cells(pairing: Pairing) -> Iterator[Cell]:
            jobs = _JobsUnder(self, tuning, pairing)
            under = []
            for method in pairing.methods:
                choice = tuning.choice(pairing, method, chosen)
                if choice is not None:
                    under.append((method, choice, *jobs.of(method, choice.number, choice.setting)))
            # A student without a teacher is compared with that of the others, whatever its own length.
            teaching = next((made for method, _, _, made in under if method.teacher == "study"), None)
            for method, choice, changed, made in under:
                run = self._add(made.student_jobs(changed))
                tuned = {**choice.as_dict(), "steps": made.pairing.recipe_of(changed).resolved.steps}
                beside = made if method.teacher == "study" else teaching
                yield _cell(pairing, method, beside, run=run, setting=TUNED, tuned=tuned)

        return self._in_order(replicates, cells, TUNED)

    def add_trials(self, tuning: Tuning) -> tuple[Trial, ...]:
        """Add the jobs of trials; return the trials, seeds in the outer loop.

        Raises:
            RequestError: The default setting is the only one under every condition.
        """
        pairings = pairings_of(self.context, tuning.replicates)
        trials = tuple(trial for pairing in pairings for trial in self._trials(tuning, pairing))
        planned = next(pairings_of(self.context, tuning.replicates), None)
        if planned and not trials:
            raise tuning.nothing_to_choose(planned)
        return trials

    def _trials(self, tuning: Tuning, pairing: Pairing) -> Iterator[Trial]:
        """Go through the trials of a pairing; there are none where only the default setting can be chosen."""
        jobs, record = _JobsUnder(self, tuning, pairing), pairing.replicate.record
        for method in pairing.methods:
            settings = tuning.settings(pairing, method)
            for number, setting in enumerate(settings if len(settings) > 1 else ()):
                changed, made = jobs.of(method, number, setting)
                yield Trial(
                    levels=record.levels,
                    provenance=pairing.provenance,
                    teacher=self.context.teacher_label,
                    student=pairing.label,
                    method=method.label,
                    number=number,
                    setting=setting,
                    steps=made.pairing.recipe_of(changed).resolved.steps,
                    seed=record.seed,
                    run=self._add(made.student_jobs(changed)),
                )

    def _in_order(
        self, replicates: Iterable[Replicate], cells: Callable[[Pairing], Iterator[Cell]], setting: str
    ) -> tuple[Cell, ...]:
        """Return the cells of replicates by condition, then arm, then seed."""
        spec, table = self.context.spec, dict[tuple[int, int], list[Cell]]()
        conditions = math.prod(len(levels) for levels in self.context.levels)
        for place, replicate in enumerate(replicates):
            made = itertools.chain.from_iterable(map(cells, pairings_of(self.context, [replicate])))
            if replicate.sets is None:
                made = itertools.chain.from_iterable(
                    _excluded(self.context, replicate, setting, *pair)
                    for pair in itertools.product(spec.teacher.provenance, spec.student_entries)
                )
            for row, cell in enumerate(made):
                table.setdefault((place % conditions, row), []).append(cell)
        return tuple(cell for row in sorted(table) for cell in table[row])

    def _pairing_jobs(self, pairing: Pairing) -> PairingJobs:
        jobs = PairingJobs(self.stages.begin(pairing), self.teachers)
        self.supply(jobs)
        return jobs

    def supply(self, jobs: PairingJobs, kinds: Container[str] | None = None) -> None:
        """Add the jobs of the study's teacher and its outputs for a pairing, and count what is stored.

        Args:
            jobs: The jobs of the pairing.
            kinds: The kinds of teachers that are needed; by default all of the study.
        """
        pairing = jobs.pairing
        if kinds is None or "study" in kinds:
            self._add(jobs.teacher_jobs())
        for kind, stream in self.storage.streams(pairing).items():
            if kinds is None or kind in kinds:
                self._stream_bytes[self.teachers.outputs(pairing, kind).id] = stream.bytes

    def _add(self, jobs: list[Job]) -> str | None:
        """Add jobs unless the same ones are planned already; return the id of the last."""
        for job in jobs:
            self.jobs.setdefault(job.id, job)
        return jobs[-1].id if jobs else None


class _JobsUnder:
    """The jobs of a pairing under one setting after the other. Methods with the same recipe share them."""

    def __init__(self, planner: Planner, tuning: Tuning, pairing: Pairing) -> None:
        self._planner, self._tuning = planner, tuning
        self._pairing = planner.stages.begin(pairing)
        self._made: dict[PlannedRecipe, PairingJobs] = {}

    def of(self, method: PlannedMethod, number: int, setting: Setting) -> tuple[PlannedMethod, PairingJobs]:
        """Return a method under a setting, and the jobs of the pairing under it."""
        under, changed = self._tuning.under(self._pairing, method, number, setting)
        if under.recipe not in self._made:
            self._made[under.recipe] = PairingJobs(under, self._planner.teachers)
        made = self._made[under.recipe]
        if method.teacher == "study":
            self._planner.supply(made)
        return changed, made


def _cell(
    pairing: Pairing,
    method: PlannedMethod,
    jobs: PairingJobs | None,
    *,
    run: str | None,
    setting: str,
    tuned: JsonObject | None = None,
) -> Cell:
    replicate = pairing.replicate
    return Cell(
        levels=replicate.record.levels,
        provenance=pairing.provenance,
        teacher=pairing.context.teacher_label,
        student=pairing.label,
        method=method.label,
        seed=replicate.record.seed,
        n_train=replicate.record.n_train,
        n_unlabelled=replicate.n_unlabelled,
        run=run,
        outputs=jobs.study_outputs.id if jobs and jobs.study_outputs else None,
        teacher_run=jobs.study_teacher.id if jobs and jobs.study_teacher else None,
        setting=setting,
        tuned=tuned,
    )


def _excluded(
    context: PlanContext, replicate: Replicate, setting: str, provenance: Provenance, student: StudentEntry
) -> Iterator[Cell]:
    for method in context.methods_of(student):
        yield Cell(
            levels=replicate.record.levels,
            provenance=provenance,
            teacher=context.teacher_label,
            student=student.label,
            method=method.label,
            seed=replicate.record.seed,
            n_train=replicate.record.n_train,
            n_unlabelled=replicate.n_unlabelled,
            excluded=replicate.excluded,
            setting=setting,
        )
