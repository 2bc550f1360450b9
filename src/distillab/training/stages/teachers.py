"""Stage 1: a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from distillab.data.class_map import ClassMap
from distillab.methods import parse_method
from distillab.training.checkpoints import load_state
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages.artefacts import RoleSets, Student, write_trained
from distillab.training.stages.students import OnStep, train_student
from distillab.training.trainee import Seeds, Trained, new_model


def train_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    device: torch.device,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Stage 1: train a teacher on ``sets.train`` with plain cross-entropy; weights, logits and record in
    ``folder``. Its last epoch is the teacher: a choice on val would tie its quality to val's size."""
    return train_student(
        Student(folder, model, parse_method("ce", "teacher"), sets, recipe, seeds),
        outputs_folder=None,
        teacher_folder=None,
        device=device,
        on_step=on_step,
        keep_selected=False,
    )


def fixed_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    weights: Path | None,
    device: torch.device,
    classes: int | None = None,
    class_map: ClassMap | None = None,
) -> dict[str, Any]:
    """Stage 1 without training: a teacher with given weights, or with its initial ones (a control).

    ``classes`` is how many it knows, and ``class_map`` leads from them to those of ``sets``, if they differ.
    """
    network = new_model(model, sets.train, seeds.init, device, classes=classes)
    if weights is not None:
        load_state(network, weights)
    network.to(device)
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    trained = Trained(network, state, state, selected_epoch=0, curve=(), seconds=0.0, phases={})
    student = Student(folder, model, parse_method("ce", "teacher"), sets, recipe, seeds)
    return write_trained(student, trained, device, {}, keep_selected=False, as_teacher=class_map)
