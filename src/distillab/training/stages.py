"""The three stages of a distillation, each runnable on its own: teacher, its outputs, student.

Each stage reads image sets and files and writes a folder; none knows of studies or ledgers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from distillab.data.imageset import ImageSet
from distillab.methods import MethodSpec, methods, parse_method
from distillab.models import OutputShapes, count_macs, count_parameters, output_shapes
from distillab.training.checkpoints import load_state, same_state, save_logits, save_state
from distillab.training.evaluation import Logits, accuracy, predict
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stream import Normalisation
from distillab.training.teacher import LiveTeacher, StoredTeacher, TeacherFeed, write_stream
from distillab.training.trainer import Seeds, Trained, new_model, train

WEIGHTS = "weights.safetensors"
SELECTED_WEIGHTS = "selected.safetensors"
LOGITS = "logits.safetensors"
STREAM = "stream.npy"
RECORD = "record.json"

OnStep = Callable[[int], None]


@dataclass(frozen=True)
class RoleSets:
    """The image sets of one condition, by role, and the normalisation that all networks share."""

    train: ImageSet
    val: ImageSet
    eval: Mapping[str, ImageSet]
    normalise: Normalisation


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
        folder,
        model,
        parse_method("ce", "teacher"),
        sets,
        recipe,
        seeds,
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
) -> dict[str, Any]:
    """Stage 1 without training: a teacher with given weights, or with its initial ones (a control)."""
    network = new_model(model, sets.train, seeds.init, device)
    if weights is not None:
        load_state(network, weights)
    network.to(device)
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    trained = Trained(network, state, state, selected_epoch=0, curve=(), seconds=0.0)
    return _write_trained(folder, model, trained, sets, recipe, device, keep_selected=False)


def open_teacher(folder: Path, images: ImageSet, device: torch.device) -> nn.Module:
    """The teacher that a stage 1 folder holds."""
    record = json.loads((folder / RECORD).read_text())
    network = new_model(record["model"], images, 0, device)
    load_state(network, folder / WEIGHTS)
    return network.to(device).eval()


def teacher_outputs(
    folder: Path,
    teacher_folder: Path,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    *,
    view_seed: int,
    with_stream: bool,
    device: torch.device,
) -> dict[str, Any]:
    """Stage 2: what the teacher says about the transfer images under every view of ``recipe`` (if
    ``with_stream``), and about each test set as it is."""
    started = time.perf_counter()
    teacher = open_teacher(teacher_folder, sets.train, device)
    forwards = 0
    if with_stream:
        forwards = write_stream(
            folder / STREAM, teacher, sets.train, recipe, sets.normalise, view_seed=view_seed, device=device
        )
    logits = {
        name: predict(teacher, images, sets.normalise, device, recipe.precision)
        for name, images in sets.eval.items()
    }
    save_logits(logits, folder / LOGITS)
    record = {
        "forwards": forwards + sum(len(images) for images in sets.eval.values()),
        "seconds": time.perf_counter() - started,
    }
    _write_record(folder, record)
    return record


def train_student(
    folder: Path,
    model: str,
    method: MethodSpec,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    device: torch.device,
    on_step: OnStep | None = None,
    keep_selected: bool = True,
) -> dict[str, Any]:
    """Stage 3: train a student with ``method``, and keep its last weights and those chosen on val.

    The teacher speaks through the stored stream of ``outputs_folder`` if there is one and the method needs
    no more than logits, else live from ``teacher_folder``. What is written is the bare student: nothing that
    the method owns leaves with it.
    """
    feed, shapes = _teacher_feed(method, sets, recipe, outputs_folder, teacher_folder, device)
    trained = train(
        model,
        method,
        sets.train,
        sets.val,
        sets.normalise,
        recipe,
        seeds,
        device=device,
        teacher=feed,
        teacher_shapes=shapes,
        on_step=on_step,
    )
    return _write_trained(folder, model, trained, sets, recipe, device, keep_selected=keep_selected)


def _teacher_feed(
    method: MethodSpec,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    device: torch.device,
) -> tuple[TeacherFeed | None, OutputShapes | None]:
    kind = methods[method.name]
    classes = len(sets.train.classes)
    if kind.teacher == "none":
        return None, None
    logits_do = not kind.needs & {"embedding", "maps"}
    if logits_do and outputs_folder is not None and (outputs_folder / STREAM).exists():
        stored = np.load(outputs_folder / STREAM, mmap_mode="r")
        return StoredTeacher(stored, device), OutputShapes(classes)
    if teacher_folder is None:
        raise ValueError(f"method {method.name} needs a teacher: give its folder or its stored outputs")
    teacher = open_teacher(teacher_folder, sets.train, device)
    channels, height, _ = sets.train.shape
    shapes = output_shapes(teacher, channels=channels, resolution=height, classes=classes)
    return LiveTeacher(teacher, kind.needs, device, recipe.precision), shapes


def _write_trained(
    folder: Path,
    model: str,
    trained: Trained,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    device: torch.device,
    *,
    keep_selected: bool,
) -> dict[str, Any]:
    """Test the last (and the selected) weights, once each, and write weights, logits and record."""
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
    channels, height, width = sets.train.shape
    record = {
        "model": model,
        "params": count_parameters(network),
        "macs": count_macs(network, (channels, height, width)),
        "epochs": recipe.epochs,
        "steps": recipe.steps if trained.curve else 0,
        "n_train": len(sets.train),
        "selected_epoch": trained.selected_epoch,
        "curve": [asdict(point) for point in trained.curve],
        "seconds": trained.seconds,
        "accuracy": {name: accuracy(logits[f"{name}.last"], images) for name, images in sets.eval.items()},
    }
    _write_record(folder, record)
    return record


def _test(
    network: nn.Module, sets: RoleSets, recipe: ResolvedRecipe, device: torch.device, which: str
) -> dict[str, Logits]:
    return {
        f"{name}.{which}": predict(network, images, sets.normalise, device, recipe.precision)
        for name, images in sets.eval.items()
    }


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    (folder / RECORD).write_text(json.dumps(record, indent=1))
