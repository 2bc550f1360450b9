"""Doing a job: from its specification to the artefact in the store."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from distillab.canonical import canonical_json
from distillab.data.imageset import ImageSet
from distillab.methods import MethodSpec, parse_method
from distillab.study.condition import Condition, Roles
from distillab.study.costing import file_digest
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Job
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages import (
    RoleSets,
    fixed_teacher,
    teacher_outputs,
    train_student,
    train_teacher,
)
from distillab.training.stream import Normalisation
from distillab.training.trainer import Seeds

ROLES_KEPT = 8  # image sets are index arrays, so a few conditions cost little memory


class JobRunner:
    """Runs jobs of one study folder in this process."""

    def __init__(self, folder: StudyFolder, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self._roles: OrderedDict[str, Roles] = OrderedDict()
        self._normalise = Normalisation(*folder.dataset.normalisation())

    def run(self, job: Job) -> float:
        """Do a job unless its artefact is there already; the seconds it took.

        Raises:
            DiskFullError: the artefact could not be written.
            DivergenceError: training failed.
        """
        started = time.perf_counter()
        store = self.folder.store
        if not store.has(job.kind, job.id):
            with store.writing(job.kind, job.id) as draft:
                self.make(job, draft)
        return time.perf_counter() - started

    def make(self, job: Job, draft: Path) -> dict[str, Any]:
        """Fill a folder with what the job makes; its record."""
        stage = {"teacher": self._teacher, "outputs": self._outputs, "student": self._student}[job.kind]
        return stage(job, self._sets(job), draft)

    # -- stages ---------------------------------------------------------------------------------------------

    def _teacher(self, job: Job, sets: RoleSets, draft: Path) -> dict[str, Any]:
        spec = job.spec
        recipe, seeds = ResolvedRecipe.from_dict(spec["recipe"]), Seeds(**spec["seeds"])
        if "fixed" in spec:
            weights = spec["fixed"]["weights"]
            path = Path(weights) if weights else None
            if path and file_digest(path) != spec["fixed"]["digest"]:
                raise RuntimeError(f"{path} does not hold the weights that job {job.id} was planned with")
            return fixed_teacher(draft, spec["model"], sets, recipe, seeds, weights=path, device=self.device)
        return train_teacher(draft, spec["model"], sets, recipe, seeds, device=self.device)

    def _outputs(self, job: Job, sets: RoleSets, draft: Path) -> dict[str, Any]:
        return teacher_outputs(
            draft,
            self.folder.store.folder("teacher", job.spec["teacher"]),
            sets,
            ResolvedRecipe.from_dict(job.condition["recipe"]),
            view_seed=job.spec["view_seed"],
            with_stream=job.spec["views"] is not None,
            device=self.device,
        )

    def _student(self, job: Job, sets: RoleSets, draft: Path) -> dict[str, Any]:
        spec, store = job.spec, self.folder.store
        teacher = spec["teacher"] or {}
        outputs, live = teacher.get("outputs"), teacher.get("live")
        return train_student(
            draft,
            spec["model"],
            method_of(spec),
            sets,
            ResolvedRecipe.from_dict(spec["recipe"]),
            Seeds(**spec["seeds"]),
            outputs_folder=store.folder("outputs", outputs) if outputs else None,
            teacher_folder=store.folder("teacher", live) if live else None,
            device=self.device,
        )

    # -- image sets -----------------------------------------------------------------------------------------

    def _sets(self, job: Job) -> RoleSets:
        roles = self._roles_of(job.condition)
        which = job.condition["train"]
        train = roles.transfer if which == "transfer" else roles.teacher[which]
        dataset = self.folder.dataset
        as_read = job.kind == "teacher"
        sets = RoleSets(
            train,
            dataset.val if as_read else roles.val,
            dataset.eval if as_read else roles.eval,
            self._normalise,
        )
        _must_be_planned(job, train)
        return sets

    def _roles_of(self, condition: Mapping[str, Any]) -> Roles:
        key = canonical_json([condition["chain"], condition["seed"]])
        if key not in self._roles:
            self._roles[key] = self.folder.roles(Condition.from_dict(condition))
            if len(self._roles) > ROLES_KEPT:
                self._roles.popitem(last=False)
        self._roles.move_to_end(key)
        return self._roles[key]


def method_of(spec: Mapping[str, Any]) -> MethodSpec:
    """The method of a student job."""
    return parse_method({spec["method"]["name"]: dict(spec["method"]["config"])}, "method")


def _must_be_planned(job: Job, train: ImageSet) -> None:
    """The images are made anew in every worker; they must be those that the job's id stands for."""
    planned = job.spec["images"] if job.kind == "outputs" else job.spec["sets"]["train"]
    made = train.image_digest if job.kind == "outputs" else train.digest
    if planned != made:
        raise RuntimeError(f"the images of job {job.id} are not those it was planned with")
