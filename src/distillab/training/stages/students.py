"""Stage 3: students, alone or as a cohort."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from distillab.artefacts import CACHE, RunRecord
from distillab.models import OutputShapes
from distillab.models.outputs import LIVE, STORABLE
from distillab.training.loop.cohort import train_cohort
from distillab.training.loop.trainee import DivergenceError, Member
from distillab.training.stages.artefacts import Student, write_trained
from distillab.training.stages.outputs import inspect_teacher, open_teacher, set_apart, teacher_class_count
from distillab.training.teachers.cache import Kept, TeacherCache
from distillab.training.teachers.class_mapping import MappedTeacher, map_classifier
from distillab.training.teachers.feed import LiveTeacher, StoredTeacher, TeacherFeed

OnStep = Callable[[int], None]


def train_students(
    students: Sequence[Student],
    *,
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    device: torch.device,
    caches: Path | None = None,
    on_step: OnStep | None = None,
    keep_selected: bool = True,
) -> list[RunRecord | DivergenceError]:
    """Stage 3: train students in step, each with its method; keep their last weights and those chosen on val.

    The teacher speaks from the cache that ``outputs_folder`` names if that holds all that the methods need,
    else live from ``teacher_folder``, once a batch for all of them. What is written is the bare student:
    nothing that the method owns leaves with it. A student that diverges leaves its error instead of a record.

    Raises:
        ValueError: the students do not share their stream of batches, or there is no teacher to ask.
    """
    feed, shapes, teachers = _teacher_feed(students, outputs_folder, teacher_folder, caches, device)
    live, sets = isinstance(feed, LiveTeacher), students[0].sets
    classifier = feed.classifier if isinstance(feed, LiveTeacher) else None
    mapping = students[0].class_map
    if feed and shapes and mapping:
        feed, shapes = MappedTeacher(feed, mapping), replace(shapes, classes=max(mapping) + 1)
        classifier = map_classifier(classifier, mapping) if classifier else None
    members = [
        Member(
            each.model,
            each.method,
            each.sets.train,
            each.sets.val,
            each.recipe,
            each.seeds,
            shapes,
            classifier if "teacher_classifier" in each.method.teacher_needs else None,
            teachers,
        )
        for each in students
    ]
    ended = train_cohort(members, sets.normalise, device=device, teacher=feed, on_step=on_step)
    records: list[RunRecord | DivergenceError] = []
    for student, trained in zip(students, ended, strict=True):
        if isinstance(trained, DivergenceError):
            records.append(trained)
            continue
        seen = student.recipe.steps * student.recipe.batch_size
        record = write_trained(
            student,
            trained,
            device,
            keep_selected=keep_selected,
            teacher_images=seen if feed else 0,
            teacher_forwards=seen if live else 0,
            cohort=len(students),
        )
        records.append(record)
        live = False  # one forward serves a cohort, and is counted with the first that ended well
    return records


def train_student(
    student: Student,
    *,
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    device: torch.device,
    caches: Path | None = None,
    on_step: OnStep | None = None,
    keep_selected: bool = True,
) -> RunRecord:
    """Stage 3 for one student. Raises DivergenceError, and what :func:`train_students` raises."""
    [record] = train_students(
        [student],
        outputs_folder=outputs_folder,
        teacher_folder=teacher_folder,
        device=device,
        caches=caches,
        on_step=on_step,
        keep_selected=keep_selected,
    )
    if isinstance(record, DivergenceError):
        raise record
    return record


def _teacher_feed(
    students: Sequence[Student],
    outputs_folder: Path | None,
    teacher_folder: Path | None,
    caches: Path | None,
    device: torch.device,
) -> tuple[TeacherFeed | None, OutputShapes | None, int]:
    """What speaks, the shapes of what it says, and how many networks' logits come side by side."""
    taught = [student.method for student in students if student.method.teacher != "none"]
    needs = frozenset[str]().union(*(method.teacher_needs for method in taught))
    if not taught:
        return None, None, 1
    sets, recipe = students[0].sets, students[0].recipe
    if outputs_folder is not None and caches is not None and (outputs_folder / CACHE).exists():
        held = json.loads((outputs_folder / CACHE).read_text())
        kept = Kept.from_dict(held["kept"])
        if needs & (STORABLE | LIVE) <= kept.needs:
            cache = TeacherCache(caches, held["facts"], kept, rows=len(sets.train.pool.items))
            stored = cache.read(sets.train, recipe.view_spec, held["view_seed"])
            members = held.get("members", 1)
            shapes = replace(kept.shapes, classes=kept.shapes.classes // members)
            return StoredTeacher(stored, device), shapes, members
    if teacher_folder is None:
        raise ValueError(
            f"method {students[0].method.name} needs a teacher: give its folder or its stored outputs"
        )
    sets = replace(sets, train=replace(sets.train, student_transform=None))  # a teacher sees images whole
    teacher = open_teacher(teacher_folder, sets.train, device)
    info = inspect_teacher(teacher, sets, teacher_class_count(teacher_folder, sets.train))
    members = set_apart(teacher)
    return LiveTeacher(teacher, info.taps, needs, device, recipe.precision), info.shapes, members
