"""Detection: losses are torchvision's, metrics those of COCO, and a detector equals itself."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import box_iou

from distillab.data.boxes import NO_BOX, Boxes, ignored
from distillab.models import InputSpec, build_model
from distillab.tasks import Detection
from distillab.tasks.dense_outputs import CENTERS, DISTANCES, OFFSETS, DenseOutputs
from distillab.tasks.detection_images import image_findings
from distillab.tasks.detection_losses import assigned_cells, detection_loss
from distillab.tasks.detection_metrics import average_precisions, mean_ap50
from distillab.tasks.detections import MOST_DETECTIONS, detections_in, find_boxes

CLASSES, SIDE = 3, 96
OBJECTS = [
    [(0, 10, 10, 60, 50), (2, 40, 60, 62, 90), (1, 4, 60, 20, 94)],
    [(1, 30, 30, 42, 45), (1, 50, 10, 90, 80)],
    [],
]
TARGETS = Boxes.of(OBJECTS, CLASSES)
LABELS = torch.from_numpy(TARGETS.values)


def outputs_of(kind: str) -> Tensor:
    """Return the outputs of a detector with random weights, which are far from those of its beginning."""
    torch.manual_seed(1)
    detector = build_model(f"{kind}_resnet_s", classes=CLASSES, inputs=InputSpec.square(3, SIDE))
    with torch.no_grad():
        for weight in detector.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
        outputs: Tensor = detector(torch.randn(len(OBJECTS), 3, SIDE, SIDE))
    return outputs


def random_detections(seed: int, count: int = 30) -> tuple[np.ndarray, Boxes]:
    """Return detections near random objects, some of them crowds, and the objects."""
    rng = np.random.default_rng(seed)
    objects, stored = [], np.zeros((12, MOST_DETECTIONS, 6))
    stored[..., 5] = NO_BOX
    for row in stored:
        corners = rng.integers(0, 150, (rng.integers(0, 8), 2))
        sides = rng.integers(8, 120, corners.shape)
        labels = rng.integers(0, CLASSES, len(corners))
        crowd = rng.random(len(corners)) < 0.2
        boxes = np.concatenate([corners, corners + sides], axis=1).astype(float)
        objects.append(
            [
                (ignored(int(c)) if i else int(c), *b)
                for c, i, b in zip(labels, crowd, boxes.tolist(), strict=True)
            ]
        )
        found = rng.choice(boxes, count) if len(boxes) else np.tile([0.0, 0, 50, 50], (count, 1))
        row[:count, :4] = found + rng.normal(0, 6, found.shape)
        row[:count, 2:4] = np.maximum(row[:count, 2:4], row[:count, :2] + 2)
        row[:count, 4] = np.sort(rng.random(count))[::-1]
        row[:count, 5] = rng.integers(0, CLASSES, count)
    # As stored: float32 must not decide what float64 does not.
    return stored.reshape(len(stored), -1).astype(np.float16), Boxes.of(objects, CLASSES)


def stored_of(objects: list[list[tuple[float, ...]]]) -> np.ndarray:
    """Return the given objects as detections without a mistake."""
    stored = np.zeros((len(objects), MOST_DETECTIONS, 6), np.float16)
    stored[..., 5] = NO_BOX
    for row, boxes in zip(stored, objects, strict=True):
        for place, (label, *edges) in enumerate(boxes):
            row[place] = [*edges, 0.9, label]
    return stored.reshape(len(objects), -1)


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_loss_is_that_of_torchvision(kind: str) -> None:
    outputs = outputs_of(kind)
    found = DenseOutputs.of(outputs)
    match = assigned_cells(found.anchors, found.code, LABELS)
    assert (match >= 0).any(dim=1).tolist() == [True, True, False]
    targets = [
        {
            "boxes": torch.tensor(each).view(-1, 5)[:, 1:],
            "labels": torch.tensor(each).view(-1, 5)[:, 0].long(),
        }
        for each in [[tuple(map(float, box)) for box in boxes] for boxes in OBJECTS]
    ]
    head: Any = FCOSHead(32, 1, CLASSES) if kind == "fcos" else RetinaNetHead(32, 9, CLASSES)
    expected = head.compute_loss(
        targets,
        {
            "cls_logits": found.scores,
            "bbox_regression": found.boxes,
            "bbox_ctrness": found.quality[..., None],
        },
        [found.anchors] * len(OBJECTS),
        list(match),
    )
    torch.testing.assert_close(detection_loss(outputs, LABELS).mean(), sum(expected.values()))


def test_anchors_belong_to_objects_as_in_torchvision() -> None:
    anchors = DenseOutputs.of(outputs_of("retinanet")).anchors
    match = assigned_cells(anchors, OFFSETS, LABELS)
    for place, boxes in enumerate(OBJECTS[:2]):
        overlap = box_iou(torch.tensor(boxes)[:, 1:].float(), anchors)
        assert torch.equal(match[place], Matcher(0.5, 0.4, allow_low_quality_matches=True)(overlap))


def test_cells_near_the_center_belong_to_the_smallest_object() -> None:
    anchors = DenseOutputs.of(outputs_of("fcos")).anchors
    labels = torch.from_numpy(Boxes.of([[(0, 8, 8, 40, 40), (1, 16, 16, 32, 32)]], 2).values)
    [match] = assigned_cells(anchors, DISTANCES, labels)
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    finest = anchors[:, 2] - anchors[:, 0] == 8
    inside = finest & ((centers > 16) & (centers < 32)).all(dim=1)
    assert (match[inside] == 1).all() and inside.sum() == 4
    assert (match[~finest] == -1).all()


def test_centers_belong_to_the_cell_that_holds_them() -> None:
    anchors = torch.tensor([[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 8.0, 4.0], [8.0, 0.0, 12.0, 4.0]])
    labels = torch.tensor([[[-1.0, 0, 0, 0, 0], [0.0, 3, 0, 7, 4], [0.0, 4, 0, 8, 4], [-2.0, 8, 0, 12, 4]]])
    assert assigned_cells(anchors, CENTERS, labels).tolist() == [[-1, 1, -1]]


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_crowds_and_unlabelled_images_add_no_object(kind: str) -> None:
    outputs, task = outputs_of(kind), Detection()
    crowds = Boxes.of([[(ignored(box[0]), *box[1:]) for box in boxes] for boxes in OBJECTS], CLASSES)
    none = Boxes.of([[], [], []], CLASSES)
    torch.testing.assert_close(
        task.loss(outputs, torch.from_numpy(crowds.values)), task.loss(outputs, torch.from_numpy(none.values))
    )
    half = TARGETS.take(np.array([0, 1])).joined(TARGETS.unknown(1))
    loss = task.loss(outputs, torch.from_numpy(half.values))
    assert loss[2] == 0
    known = task.loss(outputs[:2], LABELS[:2]).mean()
    torch.testing.assert_close(loss.mean(), known)


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_codes_of_boxes_are_undone_by_decoding(kind: str) -> None:
    found = DenseOutputs.of(outputs_of(kind))
    torch.testing.assert_close(found.coded(found.decoded()), found.boxes, rtol=1e-4, atol=1e-4)


def test_divergence_is_zero_from_itself_and_about_the_foreground() -> None:
    task, teacher = Detection(), outputs_of("fcos")
    assert task.divergence(teacher, teacher, 2.0).tolist() == [0, 0, 0]
    student = teacher.clone().requires_grad_()
    shifted = student + 0.5 * (torch.arange(student.shape[2]) < CLASSES)
    divergence = task.divergence(shifted, teacher)
    assert (divergence > 0).all()
    divergence.sum().backward()
    gradient = student.grad
    assert gradient is not None and torch.equal(
        gradient[..., CLASSES + 4 :], torch.zeros_like(gradient[..., CLASSES + 4 :])
    )
    confidence = teacher[..., :CLASSES].sigmoid().amax(dim=2)
    cells = gradient[..., :CLASSES].abs().sum(dim=2)
    assert cells[0, confidence[0].argmax()] > cells[0, confidence[0].argmin()]
    assert Detection(box_weight=0.0).divergence(student, teacher).abs().max() == 0


def test_detections_are_thinned_out_clipped_and_padded() -> None:
    anchors = torch.tensor([[0.0, 0, 8, 8], [0.0, 0, 8, 8], [80.0, 80, 88, 88]])
    boxes = torch.tensor([[1.0, 1, 1, 1], [1.1, 1, 1, 1], [2.0, 2, 2, 2]])
    scores = torch.tensor([[8.0], [7.0], [6.0]])
    dense = DenseOutputs(scores[None], boxes[None], scores[:, 0][None], anchors, DISTANCES)
    [found] = detections_in(find_boxes(dense.tensor(), 90, 90).numpy())
    assert found.shape == (MOST_DETECTIONS, 6)
    assert found[:2, :4].tolist() == [[0, 0, 12, 12], [68, 68, 90, 90]]
    assert (found[2:, 5] == NO_BOX).all() and found[0, 4] > found[1, 4]


def test_outputs_that_are_not_finite_are_stored_as_such() -> None:
    outputs = outputs_of("fcos")
    outputs[1, 0, 0] = torch.nan
    found = find_boxes(outputs, SIDE, SIDE)
    assert found.isfinite().all(dim=1).tolist() == [True, False, True]


def test_perfect_detections_have_a_precision_of_one_and_none_of_zero() -> None:
    task = Detection()
    perfect = task.measure(stored_of(OBJECTS), TARGETS)
    assert {perfect[name] for name in ("ap50", "map", "ap75", "recall", "worst_class_ap50")} == {1.0}
    nothing = task.measure(stored_of([[], [], []]), TARGETS)
    assert {nothing[name] for name in ("ap50", "map", "ap75", "recall", "worst_class_ap50")} == {0.0}
    assert task.fidelity(stored_of(OBJECTS), stored_of(OBJECTS)) == {"agreement": 1.0}
    assert task.fidelity(stored_of(OBJECTS), stored_of([[], [], []])) == {"agreement": 0.0}


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_those_of_pycocotools(seed: int) -> None:
    stored, targets = random_detections(seed)
    measured = Detection().measure(stored, targets)
    evaluated = _pycocotools(stored, targets)
    places = {"map": 0, "ap50": 1, "ap75": 2, "map_small": 3, "map_medium": 4, "map_large": 5, "recall": 8}
    found = {name: float(evaluated.stats[place]) for name, place in places.items()}
    expected = {name: value if value >= 0 else float("nan") for name, value in found.items()}
    assert {name: measured[name] for name in places} == pytest.approx(expected, abs=1e-6, nan_ok=True)
    precision = evaluated.eval["precision"][0, :, :, 0, 2]  # at an overlap of 0.5, by recall and class
    np.testing.assert_allclose(average_precisions(stored, targets), precision.mean(axis=0), atol=1e-6)


def _pycocotools(stored: np.ndarray, targets: Boxes) -> Any:
    images, annotations, found = [], [], []
    for image, (boxes, rows) in enumerate(zip(targets.values, detections_in(stored), strict=True)):
        images.append({"id": image + 1})
        for label, left, top, right, bottom in boxes.tolist():
            if label == NO_BOX:
                continue
            category = int(label if label >= 0 else ignored(int(label)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image + 1,
                    "category_id": category,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": int(label < 0),
                }
            )
        found += [
            [image + 1, left, top, right - left, bottom - top, score, label]
            for left, top, right, bottom, score, label in rows.tolist()
            if label != NO_BOX
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": each} for each in range(CLASSES)],
        }
        truth.createIndex()
        evaluated = COCOeval(truth, truth.loadRes(np.array(found)), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return evaluated


def test_contributions_have_the_mean_and_variance_of_the_score() -> None:
    task = Detection()
    pairs = [random_detections(seed) for seed in range(20)]
    scores = [task.score(*pair) for pair in pairs]
    variances = []
    for pair, score in zip(pairs, scores, strict=True):
        values = task.contributions(*pair)
        assert values.mean() == pytest.approx(score) and len(values) == len(pair[1])
        variances.append(values.var(ddof=1) / len(values))
    # The jackknife is biased upward (Efron and Stein, 1981).
    assert 0.8 < np.mean(variances) / np.var(scores, ddof=1) < 3


def test_findings_of_an_image_are_found_missed_or_false() -> None:
    objects = [(0, 0, 0, 8, 8), (1, 20, 20, 30, 30), (ignored(0), 40, 40, 60, 60)]
    rows = [
        (0, 0, 8, 8, 0.9, 0),  # the object of class 0
        (0, 0, 8, 7, 0.8, 0),  # the same once more: false
        (20, 20, 30, 30, 0.7, 0),  # another class: false
        (42, 42, 50, 50, 0.6, 0),  # in a crowd: left out
        (20, 20, 30, 30, 0.2, 1),  # not sure
    ]
    [found] = image_findings(np.array([rows]).reshape(1, -1), Boxes.of([objects], 2))
    assert found.found.tolist() == [True, False, False]
    assert (found.missed, found.false, found.f1) == (1, 2, 2 / 5)


def test_unlabelled_images_and_classes_without_objects_do_not_count() -> None:
    stored, targets = random_detections(0)
    more = np.concatenate([stored, stored[:2]])
    assert mean_ap50(more, targets.joined(targets.unknown(2))) == mean_ap50(stored, targets)
    only = Boxes.of([[(0, 0, 0, 9, 9)]], 2)
    assert np.isnan(Detection().per_class(stored_of([[(1, 0, 0, 9, 9)]]), only)[1])
    assert Detection().undefined_classes(only) == 1


def test_quality_within_groups() -> None:
    task, groups = Detection(), np.array([0, 1, 1])
    stored = stored_of([OBJECTS[0], [], []])
    assert task.per_group(stored, TARGETS, groups) == {0: 1.0, 1: 0.0}
    assert task.measure(stored, TARGETS, groups=groups)["worst_group_ap50"] == 0.0


def test_a_group_without_objects_has_no_quality() -> None:
    task, groups = Detection(), np.array([0, 0, 1])
    stored = stored_of(OBJECTS)
    assert task.per_group(stored, TARGETS, groups) == pytest.approx({0: 1.0, 1: np.nan}, nan_ok=True)
    assert task.measure(stored, TARGETS, groups=groups)["worst_group_ap50"] == 1.0
