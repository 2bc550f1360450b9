"""Stage 1: a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from distillab.artefacts import WEIGHTS, RunRecord, load_state
from distillab.data.class_map import ClassMap
from distillab.methods import MethodSpec, parse_method
from distillab.models import Ensemble
from distillab.models.inputs import rescaling
from distillab.training.loop.trainee import Seeds, Trained, new_model
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages.artefacts import RoleSets, Student, write_trained
from distillab.training.stages.students import OnStep, train_student
from distillab.training.teachers.ensembles import member_weights

Inputs = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class DistilledFrom:
    """How a teacher was taught itself: the method, the stage 1 folder of its own teacher, and the way from
    its teacher's classes to its own, if they differ."""

    method: MethodSpec
    by: Path
    class_map: ClassMap | None = None


def train_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    device: torch.device,
    taught: DistilledFrom | None = None,
    on_step: OnStep | None = None,
) -> RunRecord:
    """Stage 1: train a teacher on ``sets.train`` with plain cross-entropy, unless it is ``taught``; weights,
    logits and record in ``folder``. Its last epoch is the teacher: a choice on val would tie its quality to
    val's size."""
    method = taught.method if taught else parse_method("ce", "teacher")
    return train_student(
        Student(folder, model, method, sets, recipe, seeds, taught.class_map if taught else None),
        outputs_folder=None,
        teacher_folder=taught.by if taught else None,
        device=device,
        on_step=on_step,
        keep_selected=False,
    )


@dataclass(frozen=True)
class ExternalWeights:
    """What is known of a teacher that is not trained here.

    Attributes:
        weights: a safetensors file, or None for initial weights.
        classes: how many classes it knows, if not those of the data.
        class_map: from its classes to those of the data, if they differ.
        inputs: ``scale`` and ``shift`` by channel that make of the study's normalised images what the weights
            were trained on.
    """

    weights: Path | None = None
    classes: int | None = None
    class_map: ClassMap | None = None
    inputs: Inputs | None = None


def fixed_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    given: ExternalWeights,
    device: torch.device,
) -> RunRecord:
    """Stage 1 without training: a teacher with given weights, or with its initial ones (a control)."""
    network = new_model(model, sets.train, seeds.init, device, classes=given.classes)
    if given.weights is not None:
        load_state(network, given.weights)
    network = rescaling(network, **given.inputs) if given.inputs else network
    return _as_it_is(folder, model, network, sets, recipe, seeds, device, given.class_map, given.inputs)


def joint_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    members: Sequence[Path],
    device: torch.device,
) -> RunRecord:
    """Stage 1 of several networks that teach together: those of the stage 1 folders ``members``, weighed as
    the ensemble called ``model`` says. Their accuracies are those on val at the end of training."""
    network = new_model(model, sets.train, seeds.init, torch.device("cpu"))
    assert isinstance(network, Ensemble)
    for member, place in zip(network.members, members, strict=True):
        load_state(member, place / WEIGHTS)
    accuracies = [RunRecord.read(place).curve[-1].val_accuracy for place in members]
    network.weights.copy_(member_weights(network.combine, accuracies))
    return _as_it_is(folder, model, network, sets, recipe, seeds, device)


def _as_it_is(
    folder: Path,
    model: str,
    network: nn.Module,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    device: torch.device,
    class_map: ClassMap | None = None,
    inputs: Inputs | None = None,
) -> RunRecord:
    network.to(device)
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    trained = Trained(network, state, state, selected_epoch=0, curve=(), seconds=0.0, phases={})
    student = Student(folder, model, parse_method("ce", "teacher"), sets, recipe, seeds)
    return write_trained(student, trained, device, keep_selected=False, as_teacher=class_map, inputs=inputs)
