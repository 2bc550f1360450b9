"""Doing jobs: from their specification to the artefact in the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distillab.artefacts import OutputsRecord, RunRecord
from distillab.canonical import canonical_json
from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.methods import MethodSpec
from distillab.study.folder import StudyFolder
from distillab.study.ledger.ledger import Job
from distillab.study.planning.conditions import Condition, Roles
from distillab.study.planning.costs import file_digest
from distillab.training.loop.stream import Normalize
from distillab.training.loop.trainee import DivergenceError, Seeds
from distillab.training.numerics.device import clock
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages import (
    DistilledFrom,
    ExternalWeights,
    OutputsToStore,
    RoleSets,
    Student,
    fixed_teacher,
    joint_teacher,
    teacher_outputs,
    train_students,
    train_teacher,
)

ROLES_KEPT = 8  # image sets are index arrays, so a few conditions cost little memory


class JobRunner:
    """Runs jobs of one study folder in this process."""

    def __init__(self, folder: StudyFolder, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self._roles: OrderedDict[str, Roles] = OrderedDict()
        self._normalise = Normalize(*folder.dataset.normalization())

    def run(self, jobs: Sequence[Job]) -> dict[str, float | DivergenceError]:
        """Do a job, or a cohort of students in step, unless the artefacts are there already. For each, the
        seconds it took, or why it has no result.

        Raises:
            DiskFullError: an artefact could not be written.
        """
        store = self.folder.store
        missing = [job for job in jobs if not store.has(job.kind, job.id)]
        ended: dict[str, float | DivergenceError] = {job.id: 0.0 for job in jobs}
        if not missing:
            return ended
        timer = clock(self.device)
        started = timer()
        with store.drafts() as drafts:
            for job, made in zip(missing, self.make(missing, drafts), strict=True):
                if isinstance(made, DivergenceError):
                    ended[job.id] = made
                    continue
                store.publish(drafts / job.id, job.kind, job.id)
                ended[job.id] = (timer() - started) / len(missing)
        return ended

    def make(self, jobs: Sequence[Job], drafts: Path) -> list[RunRecord | OutputsRecord | DivergenceError]:
        """Fill a folder in ``drafts`` with what each job makes; their records. Several jobs are a cohort."""
        for job in jobs:
            (drafts / job.id).mkdir()
        if jobs[0].kind == "student":
            return list(self._students(jobs, drafts))
        [job] = jobs
        stage = self._teacher if job.kind == "teacher" else self._outputs
        try:
            return [stage(job, self._sets(job), drafts / job.id)]
        except DivergenceError as error:
            return [error]

    # -- stages ---------------------------------------------------------------------------------------------

    def _teacher(self, job: Job, sets: RoleSets, draft: Path) -> RunRecord:
        spec = job.spec
        recipe, seeds = ResolvedRecipe.from_dict(spec["recipe"]), Seeds(**spec["seeds"])
        if "fixed" in spec:
            weights = job.condition.get("weights", spec["fixed"]["weights"])
            path = Path(weights) if weights else None
            if path and file_digest(path) != spec["fixed"]["digest"]:
                raise RuntimeError(f"{path} does not hold the weights that job {job.id} was planned with")
            given = ExternalWeights(
                path,
                spec["fixed"].get("classes"),
                class_map_of(spec["fixed"]),
                spec["fixed"].get("inputs"),
            )
            return fixed_teacher(draft, spec["model"], sets, recipe, seeds, given=given, device=self.device)
        folder = partial(self.folder.store.folder, "teacher")
        if "members" in spec:
            members = [folder(name) for name in spec["members"]]
            return joint_teacher(
                draft, spec["model"], sets, recipe, seeds, members=members, device=self.device
            )
        if "taught" in spec:
            method = MethodSpec.from_dict(spec["taught"]["method"], job.condition.get("code"))
            taught = DistilledFrom(method, folder(spec["taught"]["by"]), class_map_of(spec["taught"]))
            return train_teacher(draft, spec["model"], sets, recipe, seeds, taught=taught, device=self.device)
        return train_teacher(draft, spec["model"], sets, recipe, seeds, device=self.device)

    def _outputs(self, job: Job, sets: RoleSets, draft: Path) -> OutputsRecord:
        spec, store = job.spec, self.folder.store
        needs = frozenset(job.condition.get("keep", ["logits"])) if spec["views"] is not None else frozenset()
        return teacher_outputs(
            draft,
            store.folder("teacher", spec["teacher"]),
            sets,
            ResolvedRecipe.from_dict(job.condition["recipe"]),
            view_seed=spec["view_seed"],
            keep=OutputsToStore(store.caches, needs, spec.get("top_k")),
            device=self.device,
            class_map=class_map_of(spec),
        )

    def _students(self, jobs: Sequence[Job], drafts: Path) -> list[RunRecord | DivergenceError]:
        store = self.folder.store
        teacher = jobs[0].spec["teacher"] or {}
        outputs, live = teacher.get("outputs"), teacher.get("live")
        students = [
            Student(
                drafts / job.id,
                job.spec["model"],
                method_of(job),
                self._sets(job),
                ResolvedRecipe.from_dict(job.spec["recipe"]),
                Seeds(**job.spec["seeds"]),
                class_map_of(job.spec),
            )
            for job in jobs
        ]
        return train_students(
            students,
            outputs_folder=store.folder("outputs", outputs) if outputs else None,
            teacher_folder=store.folder("teacher", live) if live else None,
            device=self.device,
            caches=store.caches,
        )

    # -- image sets -----------------------------------------------------------------------------------------

    def _sets(self, job: Job) -> RoleSets:
        roles = self._roles_of(job.condition)
        which = job.condition["train"]
        train = roles.transfer if which == "transfer" else roles.teacher[which]
        val, tests = roles.val, roles.eval
        if job.kind == "teacher":
            val, tests = roles.tests_of_teacher(self.folder.dataset, train)
        _must_be_planned(job, train)
        sets = RoleSets(train, val, tests, self._normalise)
        return sets.without_student_transform() if job.kind == "outputs" else sets

    def _roles_of(self, condition: Mapping[str, Any]) -> Roles:
        key = canonical_json([condition["chain"], condition["seed"]])
        if key not in self._roles:
            self._roles[key] = self.folder.roles(Condition.from_dict(condition))
            if len(self._roles) > ROLES_KEPT:
                self._roles.popitem(last=False)
        self._roles.move_to_end(key)
        return self._roles[key]


def class_map_of(spec: Mapping[str, Any]) -> ClassMap | None:
    """From the teacher's classes to the student's, if a specification says that they differ."""
    return tuple(spec["class_map"]) if spec.get("class_map") else None


def method_of(job: Job) -> MethodSpec:
    """The method of a student job. Raises RequestError if it is one's own and its code has changed."""
    return MethodSpec.from_dict(job.spec["method"], job.condition.get("code"))


def _must_be_planned(job: Job, train: Examples) -> None:
    """The images are made anew in every worker; they must be those that the job's id stands for."""
    planned = job.spec["images"] if job.kind == "outputs" else job.spec["sets"]["train"]
    made = train.input_digest if job.kind == "outputs" else train.digest
    if planned != made:
        raise RuntimeError(f"the images of job {job.id} are not those it was planned with")
