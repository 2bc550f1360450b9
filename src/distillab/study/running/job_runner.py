"""Running jobs: from their specification to the artifact in the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import torch

from distillab.artefacts import WEIGHTS, OutputsRecord, RunRecord
from distillab.data.examples import Examples
from distillab.integrity import check_file
from distillab.methods import MethodSpec
from distillab.modalities import Normalization, normalization_of
from distillab.models.object_files import located
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, OutputsJob, StudentJob, TeacherJob
from distillab.study.job_parts import (
    ConditionSpec,
    DistilledOrigin,
    EnsembleOrigin,
    PlannedStart,
    RunStart,
    WeightsOrigin,
)
from distillab.study.planning.conditions import Condition, Roles
from distillab.study.planning.costs import file_digest
from distillab.study.store import Store
from distillab.tasks import Task
from distillab.training.loop.initial_weights import InitialWeights
from distillab.training.loop.member import Seeds
from distillab.training.loop.results import DivergenceError
from distillab.training.loop.snapshots import Snapshots, snapshot_seconds
from distillab.training.numerics.device import compute_clock
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages import (
    DistilledFrom,
    ExternalWeights,
    KeptCurve,
    OutputsToStore,
    RoleSets,
    StudentSpec,
    ensemble_teacher,
    fixed_teacher,
    teacher_outputs,
    train_students,
    train_teacher,
)

CONDITIONS_KEPT = 8  # their examples are index arrays, so a few conditions need little memory


class JobRunner:
    """Runs jobs of one study in this process.

    Args:
        folder: The study.
        device: Where to compute.
        networks: The number of teachers and students in the plan; by default as the ledger has it.
    """

    def __init__(self, folder: StudyFolder, device: torch.device, *, networks: int | None = None) -> None:
        self.folder, self.device, self._networks = folder, device, networks
        self._roles: OrderedDict[str, Roles] = OrderedDict()

    def run(self, jobs: Sequence[Job]) -> dict[str, float | DivergenceError]:
        """Run a job, or a cohort of students in step, and publish the artifacts that the store lacks.

        Args:
            jobs: One job, or the students of a cohort.

        Returns:
            By id, the seconds that the job took, or the error if it diverged.

        Raises:
            DiskFullError: An artifact could not be written.
        """
        store = self.folder.store
        missing = [job for job in jobs if not store.is_sound(job.kind, job.id)]
        for job in missing:
            store.discard(job.kind, job.id)
        results: dict[str, float | DivergenceError] = {job.id: 0.0 for job in jobs}
        if not missing:
            return results
        timer = compute_clock(self.device)
        started = timer()
        snapshots = self._snapshots(missing)
        with store.drafts() as drafts:
            for job, made in zip(missing, self.make(missing, drafts, snapshots), strict=True):
                if isinstance(made, DivergenceError):
                    results[job.id] = made
                    continue
                store.publish(drafts / job.id, job.kind, job.id)
                results[job.id] = (timer() - started) / len(missing)
        snapshots.remove()
        return results

    def make(
        self, jobs: Sequence[Job], drafts: Path, snapshots: Snapshots | None = None
    ) -> list[RunRecord | OutputsRecord | DivergenceError]:
        """Run a job, or a cohort of students in step, without publishing the artifacts.

        Args:
            jobs: One job, or the students of a cohort.
            drafts: Where each job's artifact is written, in a folder named after its id.
            snapshots: Where a training goes on from after an interruption.

        Returns:
            The record of each job, or the error if it diverged.
        """
        for job in jobs:
            (drafts / job.id).mkdir()
        if students := [job for job in jobs if isinstance(job, StudentJob)]:
            return list(self._students(students, drafts, snapshots))
        [job] = jobs
        try:
            if isinstance(job, TeacherJob):
                return [self._teacher(job, self._sets(job), drafts / job.id, snapshots)]
            assert isinstance(job, OutputsJob)
            return [self._outputs(job, self._sets(job), drafts / job.id)]
        except DivergenceError as error:
            return [error]

    # -- stages ---------------------------------------------------------------------------------------------

    def _snapshots(self, jobs: Sequence[Job]) -> Snapshots:
        ids = [job.id for job in jobs]
        return Snapshots(self.folder.snapshots, ids, seconds=snapshot_seconds())

    def _teacher(
        self, job: TeacherJob, sets: RoleSets, draft: Path, snapshots: Snapshots | None
    ) -> RunRecord:
        model, origin = job.model, job.origin
        recipe, seeds = ResolvedRecipe.from_dict(dict(job.recipe)), _seeds(job)
        start = initial_weights(job.start, job.id, self.folder.store)
        if isinstance(origin, WeightsOrigin):
            path = located(Path(job.inputs.weights)) if job.inputs.weights else None
            if path and file_digest(path) != origin.digest:
                raise RuntimeError(f"{path} does not hold the weights that job {job.id} was planned with")
            scaling = origin.scaling.as_dict() if origin.scaling else None
            external = ExternalWeights(path, origin.classes, origin.class_map, scaling, origin.entry)
            return fixed_teacher(draft, model, sets, recipe, seeds, external=external, device=self.device)
        folder = partial(self.folder.store.folder, "teacher")
        train = partial(train_teacher, keep=self._kept_curve, device=self.device, snapshots=snapshots)
        if isinstance(origin, EnsembleOrigin):
            members = [folder(name) for name in origin.members]
            return ensemble_teacher(draft, model, sets, recipe, seeds, members=members, device=self.device)
        if isinstance(origin, DistilledOrigin):
            method = MethodSpec.from_dict(origin.method, job.inputs.code)
            distilled = DistilledFrom(method, folder(origin.by), origin.class_map)
            return train(draft, model, sets, recipe, seeds, distilled=distilled, start=start)
        return train(draft, model, sets, recipe, seeds, start=start)

    def _outputs(self, job: OutputsJob, sets: RoleSets, draft: Path) -> OutputsRecord:
        store = self.folder.store
        return teacher_outputs(
            draft,
            store.folder("teacher", job.teacher),
            sets,
            ResolvedRecipe.from_dict(dict(job.inputs.recipe)),
            view_seed=job.view_seed,
            keep=OutputsToStore(store.caches, frozenset(job.inputs.keep), job.top_k, job.inputs.strong),
            device=self.device,
            class_map=job.class_map,
        )

    def _students(
        self, jobs: Sequence[StudentJob], drafts: Path, snapshots: Snapshots | None
    ) -> list[RunRecord | DivergenceError]:
        store, teacher = self.folder.store, jobs[0].teacher
        students = [
            StudentSpec(
                drafts / job.id,
                job.model,
                method_of(job),
                self._sets(job),
                ResolvedRecipe.from_dict(dict(job.recipe)),
                _seeds(job),
                job.class_map,
                initial_weights(job.start, job.id, self.folder.store),
                self._kept_curve,
            )
            for job in jobs
        ]
        return train_students(
            students,
            outputs_folder=store.folder("outputs", teacher.job) if teacher and not teacher.live else None,
            teacher_folder=store.folder("teacher", teacher.job) if teacher and teacher.live else None,
            device=self.device,
            caches=store.caches,
            snapshots=snapshots,
        )

    @cached_property
    def _kept_curve(self) -> KeptCurve:
        """What each network keeps of its curve: an equal share of the budget, whichever jobs run first."""
        curves = self.folder.spec.curves
        networks = count_networks(self.folder) if self._networks is None else self._networks
        return KeptCurve(curves.test, curves.logits // max(networks, 1))

    # -- examples -----------------------------------------------------------------------------------------

    @cached_property
    def _normalize(self) -> Normalization:
        return normalization_of(self.folder.dataset)

    @cached_property
    def _task(self) -> Task:
        return self.folder.spec.task_config()

    def _sets(self, job: Job) -> RoleSets:
        roles = self._roles_of(job.condition)
        train = roles.transfer
        if isinstance(job, TeacherJob) and job.inputs.train != "transfer":
            train = roles.teacher[job.inputs.train]
        elif isinstance(job, StudentJob) and job.inputs.train == "labelled":
            train = roles.labelled
        val, tests = roles.val, roles.eval
        if job.kind == "teacher":
            val, tests = roles.tests_of_teacher(train)
        _check_planned(job, train)
        planned = job.eval if isinstance(job, OutputsJob) else job.sets.eval
        tests = {name: images for name, images in tests.items() if name in planned}  # none in tuning
        sets = RoleSets(train, val, tests, self._normalize, self._task)
        return sets.without_student_transform() if job.kind == "outputs" else sets

    def _roles_of(self, condition: ConditionSpec) -> Roles:
        key = condition.canonical.text
        if key not in self._roles:
            self._roles[key] = self.folder.roles(Condition.read(condition))
            if len(self._roles) > CONDITIONS_KEPT:
                self._roles.popitem(last=False)
        self._roles.move_to_end(key)
        return self._roles[key]


def count_networks(folder: StudyFolder) -> int:
    """Return the number of teachers and students in the plan of a study."""
    with folder.ledger() as ledger:
        tally = ledger.tally()
    return sum(sum(tally.get(kind, {}).values()) for kind in ("teacher", "student"))


def method_of(job: StudentJob) -> MethodSpec:
    """Return the method of a student job.

    Raises:
        RequestError: It is a user's method whose code has changed.
    """
    return MethodSpec.from_dict(job.method, job.inputs.code)


def initial_weights(start: PlannedStart | None, job: str, store: Store) -> InitialWeights | None:
    """Return the trained weights that a job starts from. Raises RuntimeError if their file has changed."""
    if start is None:
        return None
    if isinstance(start, RunStart):
        record = store.run_record(start.kind, start.job)
        weights = store.folder(start.kind, start.job) / WEIGHTS
        check_file(weights)
        return InitialWeights(
            weights,
            start.job,
            inputs=record.inputs,
            interpolation=record.interpolation,
            run=start.kind,
            fresh_classifier=start.fresh_classifier,
            keep=start.keep,
        )
    path = located(Path(start.path))
    if file_digest(path) != start.digest:
        raise RuntimeError(f"{path} does not hold the weights that job {job} was planned with")
    scaling = start.scaling.as_dict() if start.scaling else None
    facts = path, start.digest, start.pretrained, scaling, start.interpolation
    return InitialWeights(*facts, keep=start.keep)


def _seeds(job: TeacherJob | StudentJob) -> Seeds:
    return Seeds(job.seeds.init, job.seeds.order, job.seeds.views)


def _check_planned(job: Job, train: Examples) -> None:
    """Raise RuntimeError unless the examples, derived again in every worker, are those of the job's id."""
    planned = job.images if isinstance(job, OutputsJob) else job.sets.train
    made = train.input_digest if isinstance(job, OutputsJob) else train.digest
    if planned != made:
        raise RuntimeError(f"the examples of job {job.id} are not those it was planned with")
