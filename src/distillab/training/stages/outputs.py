"""Stage 2: what the teacher says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from distillab.artefacts import (
    CACHE,
    LOGITS,
    WEIGHTS,
    OutputsRecord,
    RunRecord,
    StoredLogits,
    load_logits,
    load_state,
    save_logits,
    weights_digest,
)
from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.models import Ensemble, InputSpec, NetworkInfo, inspect_network
from distillab.models.inputs import rescaling
from distillab.training.loop.evaluation import predict
from distillab.training.loop.trainee import new_model
from distillab.training.numerics.device import clock, forward_batch
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages.artefacts import RoleSets
from distillab.training.teachers.cache import Kept, TeacherCache
from distillab.training.teachers.class_mapping import to_student_classes
from distillab.training.teachers.feed import LiveTeacher


def open_teacher(folder: Path, images: Examples, device: torch.device) -> nn.Module:
    """The teacher that a stage 1 folder holds."""
    record, classes = RunRecord.read(folder), teacher_class_count(folder, images)
    network = new_model(record.model, images, 0, device, classes=classes)
    load_state(network, folder / WEIGHTS)
    if record.inputs:
        rescaling(network, **record.inputs)
    return network.to(device).eval()


def teacher_class_count(folder: Path, images: Examples) -> int:
    """How many classes the teacher of a stage 1 folder knows."""
    return RunRecord.read(folder).classes or len(images.classes)


def set_apart(network: nn.Module, *, apart: bool = True) -> int:
    """Have teachers that are weighed by their correctness speak side by side, or not; how many then do."""
    if not isinstance(network, Ensemble) or network.combine != "correctness":
        return 1
    network.apart = apart
    return len(network.members)


@dataclass(frozen=True)
class OutputsToStore:
    """What stage 2 keeps of a teacher: outputs by need (empty: none), of the logits the ``top_k`` likeliest
    or all, in the folder ``caches`` that all teachers of a study share."""

    caches: Path
    needs: frozenset[str]
    top_k: int | None = None


def teacher_outputs(
    folder: Path,
    teacher_folder: Path,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    *,
    view_seed: int,
    keep: OutputsToStore,
    device: torch.device,
    class_map: ClassMap | None = None,
) -> OutputsRecord:
    """Stage 2: what the teacher says about the transfer images under every view of ``recipe``, of which the
    cache may hold a part already; and about each test set as it is, which stage 1 may have asked before.

    The cache holds the teacher's classes; what it says about test sets is written in the student's, to which
    ``class_map`` leads if they differ. The sets have no lens: a teacher sees images whole.
    """
    timer = clock(device)
    started = timer()
    network = open_teacher(teacher_folder, sets.train, device)
    queries, forwards, name = 0, 0, None
    if keep.needs:
        facts = _cache_facts(teacher_folder, sets, recipe, view_seed, device)
        info = inspect_teacher(network, sets, teacher_class_count(teacher_folder, sets.train))
        members = set_apart(network)
        stored = replace(info.shapes, classes=info.shapes.classes * members)
        kept = Kept.of(keep.needs, stored, keep.top_k)
        teacher = LiveTeacher(network, info.taps, kept.needs, device, recipe.precision)
        cache = TeacherCache(keep.caches, facts, kept, rows=len(sets.train.pool.items))
        filled = cache.fill(
            sets.train,
            recipe.view_spec,
            view_seed,
            recipe.epochs,
            lambda pixels: teacher.about(pixels, sets.normalise),
            batch=forward_batch(device),
            device=device,
        )
        queries, forwards, name = filled.asked, filled.computed, cache.folder.name
        held = {"facts": facts, "kept": kept.as_dict(), "view_seed": view_seed}
        held |= {"members": members} if members > 1 else {}
        (folder / CACHE).write_text(json.dumps(held))
        set_apart(network, apart=False)
    logits, eval_forwards = _eval_logits(network, teacher_folder, sets, recipe, device)
    save_logits({name: to_student_classes(said, class_map) for name, said in logits.items()}, folder / LOGITS)
    record = OutputsRecord(
        queries=queries,
        forwards=forwards,
        eval_forwards=eval_forwards,
        seconds=timer() - started,
        cache=name,
    )
    record.write(folder)
    return record


def _cache_facts(
    teacher_folder: Path, sets: RoleSets, recipe: ResolvedRecipe, view_seed: int, device: torch.device
) -> dict[str, Any]:
    """All that decides what a teacher says about a view."""
    views, record = recipe.view_spec, RunRecord.read(teacher_folder)
    inputs = {"inputs": record.inputs} if record.inputs else {}
    return {
        **inputs,
        "weights": weights_digest(teacher_folder / WEIGHTS),
        "model": record.model,
        "pixels": sets.train.pool.digest,
        "normalisation": [sets.normalise.mean.tolist(), sets.normalise.std.tolist()],
        "views": [recipe.views, recipe.pad],
        # Views without end are known by what they are drawn from, so the seed tells them apart; mixed ones
        # hold other images of the set as well.
        **({"views known by": ["row", "id", "epoch"]} if views.count is None else {}),
        "view_seed": view_seed if views.count is None else None,
        "images": sets.train.input_digest if views.mixes else None,
        "arithmetic": [device.type, recipe.precision],
    }


def _eval_logits(
    teacher: nn.Module, teacher_folder: Path, sets: RoleSets, recipe: ResolvedRecipe, device: torch.device
) -> tuple[dict[str, StoredLogits], int]:
    """The teacher's logits for the test sets, and how many images it was asked about now."""
    tested = RunRecord.read(teacher_folder).tested
    before = load_logits(teacher_folder / LOGITS)
    logits, forwards = {}, 0
    for name, images in sets.eval.items():
        if tested.get(name) == (images.input_digest, recipe.precision):
            logits[name] = before[f"{name}.last"]
        else:
            logits[name] = predict(teacher, images, sets.normalise, device, recipe.precision)
            forwards += len(images)
    return logits, forwards


def inspect_teacher(teacher: nn.Module, sets: RoleSets, classes: int) -> NetworkInfo:
    """Dry-run a teacher on these images: shapes of its outputs, in its own classes, and its taps."""
    return inspect_network(teacher, InputSpec(*sets.train.shape), classes=classes)
