"""Stage 3: students, alone or as a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from distillab.artefacts import CACHE, RunRecord
from distillab.integrity import was_written
from distillab.models import OutputShapes
from distillab.models.outputs import LIVE, STORABLE
from distillab.training.loop.cohort import StepCallback, train_cohort
from distillab.training.loop.member import CohortMember
from distillab.training.loop.results import DivergenceError, TrainedNetwork
from distillab.training.loop.snapshots import Snapshots
from distillab.training.stages.curves import CurveOnTestSets
from distillab.training.stages.outputs import (
    STRONG_CACHE,
    CacheReference,
    inspect_teacher,
    open_network,
    set_side_by_side,
    teacher_class_count,
)
from distillab.training.stages.roles import StudentSpec
from distillab.training.stages.trained import write_trained
from distillab.training.strong_views import original_recipe, strong_recipe
from distillab.training.teachers.budget import BudgetedTeacher
from distillab.training.teachers.class_mapping import MappedTeacher, map_classifier
from distillab.training.teachers.feed import CachedTeacher, LiveTeacher, TeacherFeed


def train_students(
    students: Sequence[StudentSpec],
    *,
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    device: torch.device,
    caches: Path | None = None,
    on_step: StepCallback | None = None,
    snapshots: Snapshots | None = None,
    keep_selected: bool = True,
) -> list[RunRecord | DivergenceError]:
    """Train students in step, each with its method, and write the bare students: nothing that a method owns.

    The teacher's outputs come from the cache to which ``outputs_folder`` refers if that holds all that the
    methods need. Otherwise the teacher is live, with one forward pass per batch for all students.

    Args:
        students: What each student is trained from; they share inputs, order, views and steps.
        outputs_folder: The stage 2 folder of the teacher.
        teacher_folder: The stage 1 folder of the teacher.
        device: Where they are trained.
        caches: The folder of all caches.
        on_step: Called after each step.
        snapshots: Where they go on from after an interruption.
        keep_selected: Whether the weights selected on the validation set are written besides the last ones.

    Returns:
        The record of each student, in order, or the error of one that diverged.

    Raises:
        ValueError: The students do not share their stream of batches, or a method needs a teacher and there
            is none.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.methods import parse_method
        >>> from distillab.training.loop.member import Seeds
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> from distillab.training.stages.roles import RoleSets
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> recipe = Recipe(steps=1, precision="fp32").resolve(images)
        >>> seeds, cpu, folder = Seeds(1, 2, 3), torch.device("cpu"), Path(tempfile.mkdtemp())
        >>> student = StudentSpec(folder, "resnet8", parse_method("ce", "methods"), sets, recipe, seeds)
        >>> [record] = train_students([student], outputs_folder=None, teacher_folder=None, device=cpu)
        >>> record.cohort
        1
    """
    teacher = _open_feed(students, outputs_folder, teacher_folder, caches, device)
    members = [_member(student, teacher) for student in students]
    feed = teacher.feed if teacher else None
    curves = [CurveOnTestSets(student, device) if student.keep.test else None for student in students]
    if snapshots:
        snapshots.also = [curve for curve in curves if curve]
    results = train_cohort(
        members,
        students[0].sets.normalize,
        device=device,
        teacher=feed,
        on_step=on_step,
        on_points=[curve.add if curve else None for curve in curves],
        snapshots=snapshots,
    )
    return _write_results(students, results, curves, teacher, device, keep_selected)


def _write_results(
    students: Sequence[StudentSpec],
    results: Sequence[TrainedNetwork | DivergenceError],
    curves: Sequence[CurveOnTestSets | None],
    teacher: _OpenTeacher | None,
    device: torch.device,
    keep_selected: bool,
) -> list[RunRecord | DivergenceError]:
    records: list[RunRecord | DivergenceError] = []
    live = teacher is not None and teacher.is_live
    for student, trained, curve in zip(students, results, curves, strict=True):
        if isinstance(trained, DivergenceError):
            records.append(trained)
            continue
        seen = student.recipe.images_seen * (2 if "strong_view" in student.method.needs else 1)
        record = write_trained(
            student,
            trained,
            device,
            keep_selected=keep_selected,
            curve=curve,
            teacher_images=seen if teacher else 0,
            teacher_forwards=seen if live else 0,
            cohort=len(students),
        )
        records.append(record)
        live = False  # one forward pass serves a cohort, and is counted for its first student that is written
    return records


def train_student(
    student: StudentSpec,
    *,
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    device: torch.device,
    caches: Path | None = None,
    on_step: StepCallback | None = None,
    snapshots: Snapshots | None = None,
    keep_selected: bool = True,
) -> RunRecord:
    """Train one student and return its record. The arguments are those of :func:`train_students`.

    Raises:
        DivergenceError: The loss, or an output for the validation set, is not finite.
        ValueError: The method needs a teacher and there is none.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.methods import parse_method
        >>> from distillab.training.loop.member import Seeds
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> from distillab.training.stages.roles import RoleSets
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> recipe = Recipe(steps=1, precision="fp32").resolve(images)
        >>> seeds, cpu, folder = Seeds(1, 2, 3), torch.device("cpu"), Path(tempfile.mkdtemp())
        >>> student = StudentSpec(folder, "resnet8", parse_method("ce", "methods"), sets, recipe, seeds)
        >>> train_student(student, outputs_folder=None, teacher_folder=None, device=cpu).epochs
        1
    """
    [record] = train_students(
        [student],
        outputs_folder=outputs_folder,
        teacher_folder=teacher_folder,
        device=device,
        caches=caches,
        on_step=on_step,
        snapshots=snapshots,
        keep_selected=keep_selected,
    )
    if isinstance(record, DivergenceError):
        raise record
    return record


@dataclass(frozen=True)
class _OpenTeacher:
    """A teacher's outputs for a cohort.

    Attributes:
        feed: Gives them for a batch.
        shapes: Their shapes.
        members: Number of networks whose logits are side by side.
        classifier: The last linear layer of a live teacher.
        network: A live teacher itself.
        is_live: Whether the teacher computes them now.
    """

    feed: TeacherFeed
    shapes: OutputShapes
    members: int
    classifier: nn.Linear | None = None
    network: nn.Module | None = None
    is_live: bool = False


def _member(student: StudentSpec, teacher: _OpenTeacher | None) -> CohortMember:
    member = CohortMember(
        student.model,
        student.method,
        student.sets.train,
        student.sets.val,
        student.recipe,
        student.seeds,
        task=student.sets.task,
        start=student.start,
    )
    if teacher is None:
        return member
    needs = student.method.teacher_needs
    return replace(
        member,
        teacher_shapes=teacher.shapes,
        teacher_classifier=teacher.classifier if "teacher_classifier" in needs else None,
        teacher_network=teacher.network if "teacher_network" in needs else None,
        teachers=teacher.members,
    )


def _open_feed(
    students: Sequence[StudentSpec],
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    caches: Path | None,
    device: torch.device,
) -> _OpenTeacher | None:
    """Return the outputs of the teacher, in the students' classes; None if no method needs a teacher."""
    distilled = [student.method for student in students if student.method.teacher != "none"]
    if not distilled:
        return None
    needs = frozenset[str]().union(*(method.teacher_needs for method in distilled))
    needs |= {"strong_view"} & frozenset[str]().union(*(method.needs for method in distilled))
    first = students[0]
    teacher = _cached(first, needs, outputs_folder, caches, device)
    if teacher is None and teacher_folder is None:
        raise ValueError(f"method {distilled[0].name} needs a teacher: give its folder or its stored outputs")
    if teacher is None and teacher_folder is not None:
        teacher = _live(first, needs, teacher_folder, device)
    if teacher and first.class_map:
        mapping, classifier = first.class_map, teacher.classifier
        teacher = replace(
            teacher,
            feed=MappedTeacher(teacher.feed, mapping),
            shapes=replace(teacher.shapes, classes=max(mapping) + 1),
            classifier=map_classifier(classifier, mapping) if classifier else None,
        )
    limits = next(student.recipe for student in students if student.method.teacher != "none")
    if teacher and (limits.top_k or limits.bits):
        return replace(teacher, feed=BudgetedTeacher(teacher.feed, limits.top_k, limits.bits))
    return teacher


def _cached(
    student: StudentSpec,
    needs: frozenset[str],
    outputs_folder: Path | None,
    caches: Path | None,
    device: torch.device,
) -> _OpenTeacher | None:
    """Return the cached outputs of a teacher, or None if they are not all that is needed."""
    if outputs_folder is None or caches is None or not was_written(outputs_folder / CACHE):
        return None
    reference = CacheReference.read(outputs_folder)
    if not needs & (STORABLE | LIVE) <= reference.stored.needs:
        return None
    train, recipe, strong = student.sets.train, student.recipe, None
    seen = original_recipe(recipe) if reference.originals else recipe
    stored = reference.open(caches, train).read(train, seen.view_spec, reference.view_seed)
    if "strong_view" in needs:
        if not was_written(outputs_folder / STRONG_CACHE):
            return None
        more = CacheReference.read(outputs_folder, STRONG_CACHE)
        views = strong_recipe(train, recipe).view_spec
        strong = more.open(caches, train).read(train, views, more.view_seed)
    shapes = reference.stored.shapes
    shapes = replace(shapes, classes=shapes.classes // reference.members)
    return _OpenTeacher(CachedTeacher(stored, device, strong), shapes, reference.members)


def _live(
    student: StudentSpec, needs: frozenset[str], teacher_folder: Path, device: torch.device
) -> _OpenTeacher:
    sets = student.sets.without_student_transform()
    network = open_network(teacher_folder, sets.train, device)
    info = inspect_teacher(network, sets, teacher_class_count(teacher_folder, sets.train))
    members = set_side_by_side(network)
    teacher = LiveTeacher(network, info.taps, needs, device, student.recipe.precision)
    return _OpenTeacher(teacher, info.shapes, members, teacher.classifier, teacher.model, is_live=True)
