"""What a stage reads and writes: image sets by role, and the files of an artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from distillab.artefacts import (
    LOGITS,
    SELECTED_WEIGHTS,
    WEIGHTS,
    RunRecord,
    StoredLogits,
    save_logits,
    save_state,
)
from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.methods import MethodSpec
from distillab.modalities import Normalization
from distillab.models import InputSpec, count_macs, count_parameters
from distillab.training.checkpoints import same_state
from distillab.training.loop.evaluation import accuracy, predict
from distillab.training.loop.trainee import Seeds, Trained
from distillab.training.recipe import ResolvedRecipe
from distillab.training.teachers.class_mapping import to_student_classes


@dataclass(frozen=True)
class RoleSets:
    """The image sets of one condition, by role, and the normalisation that all networks share."""

    train: Examples
    val: Examples
    eval: Mapping[str, Examples]
    normalise: Normalization

    def without_student_transform(self) -> RoleSets:
        """The same images as a teacher sees them."""
        whole = {name: replace(images, student_transform=None) for name, images in self.eval.items()}
        return replace(
            self,
            train=replace(self.train, student_transform=None),
            val=replace(self.val, student_transform=None),
            eval=whole,
        )


@dataclass(frozen=True, eq=False)
class Student:
    """What stage 3 makes a student from, and the folder it goes to. ``class_map`` leads from its teacher's
    classes to its own, if they differ."""

    folder: Path
    model: str
    method: MethodSpec
    sets: RoleSets
    recipe: ResolvedRecipe
    seeds: Seeds
    class_map: ClassMap | None = None


def write_trained(
    student: Student,
    trained: Trained,
    device: torch.device,
    *,
    keep_selected: bool,
    as_teacher: ClassMap | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    teacher_images: int = 0,
    teacher_forwards: int = 0,
    cohort: int = 1,
) -> RunRecord:
    """Test the last (and the selected) weights, once each, and write weights, logits and record.

    ``as_teacher`` leads from the network's classes to those of the data, if they differ. The last four are
    entered in the record as they are.
    """
    folder, sets, recipe = student.folder, student.sets, student.recipe
    network = trained.model
    logits = _test(network, sets, recipe, device, "last")
    save_state(trained.last, folder / WEIGHTS)
    if keep_selected:
        if same_state(trained.last, trained.selected):
            logits |= {name.replace(".last", ".selected"): value for name, value in logits.items()}
        else:
            save_state(trained.selected, folder / SELECTED_WEIGHTS)
            network.load_state_dict(trained.selected)
            logits |= _test(network, sets, recipe, device, "selected")
    save_logits(logits, folder / LOGITS)
    record = RunRecord(
        model=student.model,
        classes=logits[f"{next(iter(sets.eval))}.last"].shape[1],
        params=count_parameters(network),
        macs=count_macs(network, InputSpec(*sets.train.student_shape)),
        epochs=recipe.epochs,
        steps=recipe.steps if trained.curve else 0,
        n_train=int(sets.train.labelled.sum()),
        selected_epoch=trained.selected_epoch,
        curve=trained.curve,
        seconds=trained.seconds,
        phases=trained.phases,
        tested={name: (images.input_digest, recipe.precision) for name, images in sets.eval.items()},
        accuracy={
            name: accuracy(to_student_classes(logits[f"{name}.last"], as_teacher), images)
            for name, images in sets.eval.items()
        },
        inputs=inputs,
        teacher_images=teacher_images,
        teacher_forwards=teacher_forwards,
        cohort=cohort,
    )
    record.write(folder)
    return record


def _test(
    network: nn.Module, sets: RoleSets, recipe: ResolvedRecipe, device: torch.device, which: str
) -> dict[str, StoredLogits]:
    return {
        f"{name}.{which}": predict(network, images, sets.normalise, device, recipe.precision)
        for name, images in sets.eval.items()
    }
