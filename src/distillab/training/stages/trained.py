"""Evaluate a trained network, once, and write its artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from distillab.artefacts import (
    LOGITS,
    SELECTED_WEIGHTS,
    VAL,
    WEIGHTS,
    RunRecord,
    StoredLogits,
    save_logits,
    save_state,
)
from distillab.data.class_map import ClassMap
from distillab.models import (
    InputSpec,
    NetworkWithExits,
    count_macs,
    count_parameters,
    inspect_network,
    stem_change,
)
from distillab.models.exits import exits_name
from distillab.training.checkpoints import same_state
from distillab.training.evaluation import EvaluatedOutputs, evaluation_digest
from distillab.training.loop.results import TrainedNetwork
from distillab.training.numerics.device import compute_clock
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages.curves import CurveOnTestSets
from distillab.training.stages.exits import exit_records
from distillab.training.stages.nearest import save_nearest
from distillab.training.stages.roles import RoleSets, StudentSpec
from distillab.training.teachers.class_mapping import to_student_classes


def write_trained(
    student: StudentSpec,
    trained: TrainedNetwork,
    device: torch.device,
    *,
    keep_selected: bool,
    curve: CurveOnTestSets | None = None,
    as_teacher: ClassMap | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    teacher_images: int = 0,
    teacher_forwards: int = 0,
    cohort: int = 1,
) -> RunRecord:
    """Evaluate a network on each test set and write weights, logits and record into the student's folder.

    Without test sets, as in tuning, the logits are those for the validation set.

    Args:
        student: What it was trained from.
        trained: The network.
        device: Where it is evaluated.
        keep_selected: Whether the selected weights are evaluated and written as well.
        curve: Its curve on the test sets, if one was taken.
        as_teacher: The data's class of each of the network's classes, if they differ.
        inputs: Entered in the record, like the arguments below (:class:`~distillab.artefacts.RunRecord`);
            those of the weights that the student started from, if it did.
        teacher_images: Entered in the record.
        teacher_forwards: Entered in the record.
        cohort: Entered in the record.
    """
    sets, recipe, network = student.sets, student.recipe, trained.model
    logits, seconds = _write_logits(student, trained, device, keep_selected)
    overhead = {"building": trained.building, **seconds}
    if curve:
        curve.write(student.folder)
        overhead["test_curve"] = curve.seconds
    start = student.start
    scaling = start.inputs if start else inputs
    exits = exit_records(network, sets, recipe, device, trained.last)
    record = RunRecord(
        model=exits_name(student.model, vote=network.vote)
        if isinstance(network, NetworkWithExits)
        else student.model,
        classes=_class_count(student, network, next(iter(logits.values()))),
        class_names=sets.train.classes if trained.curve and as_teacher is None else None,
        params=count_parameters(network),
        macs=count_macs(network, InputSpec(*sets.train.student_shape)),
        epochs=recipe.epochs,
        steps=recipe.steps if trained.curve else 0,
        n_train=int(sets.train.labelled.sum()),
        selected_epoch=trained.selected_epoch,
        curve=curve.on(trained.curve) if curve else trained.curve,
        seconds=trained.seconds,
        phases=trained.phases,
        overhead=overhead,
        tested=_tested(sets, recipe),
        accuracy={
            name: sets.task.score(
                to_student_classes(logits[f"{name}.last"], as_teacher, sets.task),
                images.targets,
            )
            for name, images in sets.eval.items()
        },
        stem=stem_change(student.model, InputSpec(*sets.train.student_shape)) or None,
        inputs=scaling,
        interpolation=start.interpolation if start else None,
        normalization=_normalization(sets, scaling),
        start=start.as_record(network) if start else None,
        teacher_images=teacher_images,
        teacher_forwards=teacher_forwards,
        cohort=cohort,
        resumed_at=trained.resumed_at,
        exits=exits,
    )
    record.write(student.folder)
    return record


def _class_count(student: StudentSpec, network: nn.Module, stored: StoredLogits) -> int:
    """Return how many logits a network gives, of which some outputs are stored."""
    task, train = student.sets.task, student.sets.train
    if task.stores_logits:
        return task.network_classes(stored, len(train.classes))
    return inspect_network(network, InputSpec(*train.student_shape)).shapes.classes


def _tested(sets: RoleSets, recipe: ResolvedRecipe) -> dict[str, tuple[str, str]]:
    """Return what decides the stored outputs for each test set, and the precision they were computed in."""
    return {
        name: (evaluation_digest(sets.task, images, sets.train), recipe.precision)
        for name, images in sets.eval.items()
    }


def _normalization(
    sets: RoleSets, scaling: Mapping[str, Sequence[float]] | None
) -> dict[str, list[float]] | None:
    """Return the mean and the standard deviation that a network's images are normalized with, in all."""
    mean, std = sets.normalize.mean.astype(np.float64), sets.normalize.std.astype(np.float64)
    if sets.train.modality != "image":
        return None
    if scaling:
        scale, shift = np.array(scaling["scale"]), np.array(scaling["shift"])
        mean, std = mean - shift * std / scale, std / scale
    return {"mean": mean.round(6).tolist(), "std": std.round(6).tolist()}


def _write_logits(
    student: StudentSpec,
    trained: TrainedNetwork,
    device: torch.device,
    keep_selected: bool,
) -> tuple[dict[str, StoredLogits], dict[str, float]]:
    """Write the weights and their logits for each test set.

    Args:
        student: What the network was trained from.
        trained: The network.
        device: Where it is evaluated.
        keep_selected: Whether the selected weights are evaluated and written as well.

    Returns:
        The logits, and the seconds of ``testing`` and ``writing``.
    """
    folder, sets, recipe, network = student.folder, student.sets, student.recipe, trained.model
    clock = compute_clock(device)
    started = clock()
    outputs = _test(network, sets, recipe, device)
    logits = {f"{name}.last": each for name, each in outputs.stored.items()}
    same = same_state(trained.last, trained.selected)
    if keep_selected and same:
        logits |= {name.replace(".last", ".selected"): value for name, value in logits.items()}
    elif keep_selected:
        network.load_state_dict(trained.selected)
        of_selected = _test(network, sets, recipe, device).stored
        logits |= {f"{name}.selected": each for name, each in of_selected.items()}
    tested = clock()
    save_state(trained.last, folder / WEIGHTS)
    if keep_selected and not same:
        save_state(trained.selected, folder / SELECTED_WEIGHTS)
    save_logits(logits, folder / LOGITS)
    if outputs.nearest:
        save_nearest(folder, outputs.nearest)
    return logits, {"testing": tested - started, "writing": clock() - tested}


def _test(
    network: nn.Module, sets: RoleSets, recipe: ResolvedRecipe, device: torch.device
) -> EvaluatedOutputs:
    wanted = sets.task.has_thresholds or not sets.eval
    thresholds = {VAL: sets.val} if wanted and len(sets.val) else {}
    return sets.evaluator(device, recipe.precision).outputs(network, {**thresholds, **sets.eval})
