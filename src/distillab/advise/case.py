"""The case: the data that advice is wanted on, with what the cheap stages measure of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from distillab.advise.pilot_data import FEW_JUDGED, PilotData
from distillab.advise.request import AdviceRequest
from distillab.base.predictors import teacher_predictors
from distillab.canonical import JsonObject
from distillab.data.boxes import refuse_boxes
from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.raw import Progress, RawImage
from distillab.data.targets import refuse_identities
from distillab.errors import RequestError
from distillab.evidence.pairs import Row
from distillab.models import InputSpec, build_model, count_parameters
from distillab.profile import FAMILIES, Family, ProfiledDataset, load_teacher
from distillab.profile.measure import measures_by_key
from distillab.sources.file_facts import FileFacts
from distillab.sources.ingest import load_dataset
from distillab.study.running.deadline import SecondsClock
from distillab.study.spec.study import StudySpec
from distillab.tasks import Task
from distillab.training.numerics.selection import default_numerics
from distillab.training.recipe import ResolvedRecipe

SKIPPED_FAMILIES = ("distance", "teacher", "duplicates")  # of other data, of the teacher, of other splits
_NOTHING = DataReport()
PROFILE_SHARE = 0.2  # of the budget, after which no further family of measures is begun
FREE_PROFILE_SECONDS = 20.0  # that a profile may take whatever the budget is
CHANCE_LEAD = 0.03  # by which a plain student must beat the largest class before it counts as trained


@dataclass(frozen=True, eq=False)
class Case:
    """The data, the networks, and what is known of them before a race.

    Attributes:
        request: What advice is wanted on.
        pilot: The data without their test set.
        transfer: The train examples of the data, which a student would learn from.
        study: A study of the data, for its names and defaults.
        task: The task.
        recipe: The recipe of a full training.
        files: Facts about the files; None if there are none.
        families: The profile, family by family; empty where data cannot be profiled.
        notes: What was left out or is assumed, one sentence each.
        predictors: Predictors computed from the teacher's outputs, by name.
        student_params: Parameters of the student.
        teacher_params: Parameters of the teacher.
    """

    request: AdviceRequest
    pilot: PilotData
    transfer: Examples
    study: StudySpec
    task: Task
    recipe: ResolvedRecipe
    files: FileFacts | None
    families: tuple[Family, ...] = ()
    notes: tuple[str, ...] = ()
    predictors: Mapping[str, float] = field(default_factory=dict)
    student_params: int = 0
    teacher_params: int = 0

    @classmethod
    def read(cls, request: AdviceRequest, progress: Progress | None = None) -> Case:
        """Read the data and check everything that can be checked before training.

        Raises:
            RequestError: The data, the student or the teacher cannot be used as they are.
        """
        read: list[FileFacts] = []
        is_image = request.source.modality == IMAGE

        def on_files(items: list[RawImage], names: list[str], ids: Indices) -> None:
            read.append(FileFacts.of(items, names, ids))

        dataset = load_dataset(request.source, progress, on_files if is_image else None)  # type: ignore[arg-type]
        refuse_boxes(dataset.train.targets, "advice")
        refuse_identities((test.targets for test in dataset.eval.values()), "advice")
        pilot = PilotData.of(dataset, request.source)
        study = request.study(dataset)
        numerics = default_numerics(torch.device("cuda" if request.device.startswith("cuda") else "cpu"))
        recipe = study.recipe.resolve(pilot.dataset.train, numerics)
        task = study.task_config()
        case = cls(request, pilot, dataset.train, study, task, recipe, read[0] if read else None)
        return replace(
            case,
            student_params=case.parameters(case.student_model, "--student"),
            teacher_params=case.parameters(study.teacher.last_model, "--teacher"),
            notes=case._notes_of_data(dataset),
        )

    @property
    def student_model(self) -> str:
        """The network of the student."""
        return self.study.student_entries[0].model

    @property
    def inputs(self) -> InputSpec:
        """The shape of one input."""
        return InputSpec(*self.pilot.dataset.train.shape)

    @property
    def head_width(self) -> int:
        """Width of the classifiers."""
        return self.task.head_width(len(self.pilot.dataset.classes))

    @property
    def alarms(self) -> tuple[str, ...]:
        """The alarms of the profile."""
        return tuple(m.alarm for m in measures_by_key(self.families).values() if m.alarm)

    @property
    def chance(self) -> float:
        """Accuracy of always predicting the most frequent judged class; NaN for label sets."""
        if not self.pilot.is_labelled:
            return math.nan
        counts = self.pilot.dataset.eval["test"].counts
        return float(counts.max() / max(counts.sum(), 1))

    def parameters(self, model: str, where: str) -> int:
        """Return the number of parameters of a network for these data.

        Args:
            model: The network.
            where: The option that names it, for messages.

        Raises:
            RequestError: There is no such network, or it cannot be built for inputs of this shape.
        """
        try:
            with torch.random.fork_rng(devices=[]):
                return count_parameters(build_model(model, classes=self.head_width, inputs=self.inputs))
        except RequestError as error:
            raise error.within(where) from error

    def profiled(
        self, budget: float, progress: Progress | None, clock: SecondsClock = time.monotonic
    ) -> Case:
        """Return the case with a profile of its data, without their test set.

        Args:
            budget: Seconds of the whole advice: a profile takes a fifth of it, or 20 seconds if that is more;
                what is not begun by then is left out and named.
            progress: Called with (stage, done, total).
            clock: Returns seconds.
        """
        if self.pilot.dataset.modality != IMAGE or not self.pilot.is_labelled:
            return self._noting("The data were not profiled: a profile needs images with one label each.")
        limit = clock() + max(PROFILE_SHARE * budget, FREE_PROFILE_SECONDS)
        # As in the evidence base: the examples that a student would learn from, and no others.
        read = Dataset(
            self.pilot.dataset.name, self.transfer, self.transfer, {"test": self.transfer}, _NOTHING
        )
        data = ProfiledDataset.of(read, self.files)
        found, left = [], []
        names = [name for name in FAMILIES if name not in SKIPPED_FAMILIES]
        for place, name in enumerate(names):
            if clock() >= limit:
                left.append(name)
                continue
            if progress:
                progress(f"measuring {name}", place, len(names))
            family = FAMILIES[name](data)
            if family is not None:
                found.append(family)
        case = replace(self, families=tuple(found))
        if left:
            case = case._noting(f"Of the profile, {', '.join(left)} were left out to keep to the budget.")
        return case

    def with_predictors(self, model_or_study: str, weights: Any = None) -> Case:
        """Return the case with predictors from one pass of the teacher over views.

        Args:
            model_or_study: The teacher's model, or the folder of a study with a finished teacher.
            weights: The file of its weights, for a model.

        Raises:
            RequestError: The teacher does not fit the data.
        """
        if not self.pilot.is_labelled or self.pilot.dataset.modality != IMAGE:
            return self
        data = self.pilot.dataset
        teacher = load_teacher(model_or_study, weights, data, torch.device("cpu"))
        return replace(self, predictors=teacher_predictors(teacher, data.val, data.train).as_dict())

    def facts(self) -> JsonObject:
        """Return the facts of the case by the names of the columns of an evidence base."""
        data, recipe = self.pilot.dataset, self.recipe
        entry = self.study.student_entries[0]
        pretrained = bool(entry.pretrained or entry.weights)
        facts: Row = {
            "n_classes": len(data.classes),
            "n_train": len(self.transfer),
            "resolution": max(self.inputs.height, self.inputs.width),
            "channels": self.inputs.channels,
            "provenance": self.provenance,
            "teacher_params": self.teacher_params or None,  # those of a black box are not known
            "student_params": self.student_params,
            "teacher_steps": recipe.steps if self.request.is_trained_here else None,
            "initialisation": "pretrained" if pretrained else "scratch",
            "steps": recipe.steps,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
        }
        measures = measures_by_key(self.families)
        facts |= {f"profile.{key}": measure.value for key, measure in measures.items()}
        return facts | {f"predictor.{name}": value for name, value in self.predictors.items()}

    @property
    def provenance(self) -> str:
        """``full`` for a teacher that is trained on the data, or ``external``."""
        return self.study.teacher.provenance[0]

    def _noting(self, note: str) -> Case:
        return replace(self, notes=(*self.notes, note))

    def _notes_of_data(self, dataset: Dataset) -> tuple[str, ...]:
        notes = [self.request.note] if self.request.note else []
        notes += dataset.report.notes
        judged = self.pilot.judged
        if judged < FEW_JUDGED:
            notes.append(f"Students are judged on {judged} examples only, so that intervals are wide.")
        empty = int((np.asarray(self.pilot.dataset.eval["test"].counts) == 0).sum())
        if empty:
            notes.append(f"{empty} of {len(dataset.classes)} classes have no example to judge students on.")
        return tuple(notes)
