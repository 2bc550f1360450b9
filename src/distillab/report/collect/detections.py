"""The detections of a study's networks, from its store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distillab.data.boxes import NO_BOX, Boxes, ignored
from distillab.data.examples import Examples
from distillab.modalities import modality_of
from distillab.report.collect.question import conditions_text
from distillab.report.collect.rows import mean_sd
from distillab.report.collect.shown_students import ShownStudents, network_text, shown_students
from distillab.report.collect.stored_networks import (
    TEACHER_ROLE,
    StoredNetwork,
    stored_student,
    stored_teachers,
)
from distillab.report.contents.detections import (
    ArmPrecision,
    BoxTile,
    ClassPrecision,
    DetectedImage,
    DetectionsView,
    DrawnBox,
)
from distillab.study.folder import StudyFolder
from distillab.study.planning.conditions import PRIMARY
from distillab.study.spec.evidence import PLAIN
from distillab.tasks import Detection
from distillab.tasks.arrays import Values
from distillab.tasks.detection_images import ImageFindings, image_findings
from distillab.tasks.detection_metrics import SURE, MatchedClass, matched_classes

_AT_RANDOM = 2  # images


def detections_view(folder: StudyFolder) -> DetectionsView | None:
    """Return what the report shows of detections; None for another task, or before there is anything.

    Pictures are of the first condition and seed whose plain student and a distilled one are done, curves of
    all seeds of that condition. Images are chosen by rules, so that none is picked by hand: those with
    objects at both ends of the gain in F1 of the first distilled method, and some at random.
    """
    if not isinstance(folder.spec.task_config(), Detection):
        return None
    shown = shown_students(folder)
    if shown is None:
        return None
    test = folder.roles(shown.condition).eval[PRIMARY]
    boxes = test.targets
    assert isinstance(boxes, Boxes)
    seen = [stored_student(folder, cell) for cell in (shown.plain, *shown.distilled)]
    teacher = stored_teachers(folder, [*shown.distilled])[:1]
    levels = conditions_text(shown.plain.levels)
    return DetectionsView(
        title=shown.title,
        place=shown.plain.student + (f", {levels}" if levels else ""),
        compared=shown.distilled[0].method,
        least=SURE,
        images=_images(test, boxes.plain, [*teacher, *seen]),
        classes=_classes(folder, shown, test, boxes.plain),
    )


# --- pictures --------------------------------------------------------------------------------------------


def _images(test: Examples, boxes: Boxes, networks: Sequence[StoredNetwork]) -> tuple[DetectedImage, ...]:
    found = [image_findings(each.stored, boxes) for each in networks]
    place = next(i for i, each in enumerate(networks) if each.method == PLAIN)
    gains = np.array([new.f1 - old.f1 for old, new in zip(found[place], found[place + 1], strict=True)])
    return tuple(
        DetectedImage(
            modality_of(test).preview(test.items(np.array([position]))[0]).picture,
            f"test image {position}",
            why,
            (
                BoxTile("ground truth", _objects(boxes.values[position], test.classes)),
                *(
                    _tile(each.name, mine[position], test.classes)
                    for each, mine in zip(networks, found, strict=True)
                ),
            ),
        )
        for position, why in _chosen(gains, boxes).items()
    )


def _chosen(gains: Values, boxes: Boxes) -> dict[int, str]:
    """Return the positions of the images that are shown, and why each is."""
    known = np.flatnonzero(boxes.labelled)
    filled = np.flatnonzero(boxes.members.any(axis=1))
    order = filled[np.argsort(gains[filled], kind="stable")]
    low, high = int(order[0]), int(order[-1])
    chosen = {}
    if gains[high] > 0:
        chosen[high] = f"largest gain in F1: {gains[high]:+.2f}"
    if gains[low] < 0:
        chosen[low] = f"largest loss in F1: {gains[low]:+.2f}".replace("-", "−")
    others = [int(each) for each in known if each not in chosen]
    drawn = np.random.default_rng(0).permutation(others)[:_AT_RANDOM]
    return chosen | {int(each): "drawn at random" for each in drawn}


def _objects(values: Values, classes: Sequence[str]) -> tuple[DrawnBox, ...]:
    found = []
    for row in values[values[:, 0] != NO_BOX].astype(np.float64):
        label, counts = int(row[0]), row[0] >= 0
        label = label if counts else ignored(label)
        name = classes[label] if counts else f"{classes[label]} (not counted)"
        left, top, right, bottom = row[1:].tolist()
        found.append(DrawnBox(left, top, right, bottom, label, name, found=bool(counts)))
    return tuple(found)


def _tile(name: str, mine: ImageFindings, classes: Sequence[str]) -> BoxTile:
    boxes = tuple(
        DrawnBox(left, top, right, bottom, int(label), classes[int(label)], confidence, bool(found))
        for (left, top, right, bottom, confidence, label), found in zip(
            mine.boxes.tolist(), mine.found, strict=True
        )
    )
    note = f"F1 {mine.f1:.2f}: {int(mine.found.sum())} found, {mine.missed} missed, {mine.false} false"
    return BoxTile(name, boxes, note)


# --- precision -------------------------------------------------------------------------------------------


def _classes(
    folder: StudyFolder, shown: ShownStudents, test: Examples, boxes: Boxes
) -> tuple[ClassPrecision, ...]:
    matched: dict[str, list[list[MatchedClass]]] = {}
    students = [cell for method in _methods(folder) for cell in shown.seeds if cell.method == method]
    for network in [
        *stored_teachers(folder, shown.seeds),
        *(stored_student(folder, cell) for cell in students),
    ]:
        matched.setdefault(network.method, []).append(matched_classes(network.stored, boxes))
    return tuple(
        ClassPrecision(
            name,
            int(boxes.objects[label]),
            tuple(_arm(method, [each[label] for each in runs]) for method, runs in matched.items()),
        )
        for label, name in enumerate(test.classes)
    )


def _methods(folder: StudyFolder) -> list[str]:
    """Return all methods, plain training first."""
    labels = [each.label for each in folder.spec.method_specs()]
    return sorted(labels, key=lambda label: label != PLAIN)


def _arm(method: str, runs: Sequence[MatchedClass]) -> ArmPrecision:
    has_objects = bool(runs[0].objects.any())
    mean, spread = mean_sd([each.average_precision() for each in runs] if has_objects else [])
    curve = np.mean([each.precisions() for each in runs], axis=0).round(4) if has_objects else []
    role = {TEACHER_ROLE: TEACHER_ROLE, PLAIN: "plain"}.get(method, "distilled")
    name = method if method == TEACHER_ROLE else network_text(method)
    return ArmPrecision(name, role, len(runs), mean, spread, tuple(map(float, curve)))
