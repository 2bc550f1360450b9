"""Tracking: losses by hand, what is stored and found again, and the task as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from distillab.data.boxes import NO_BOX, ignored
from distillab.data.targets import UNLABELLED
from distillab.data.tracks import Tracks
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.models.tracking_networks import center_grid
from distillab.tasks import Tracking
from distillab.tasks.dense_outputs import CENTERS, EMBEDDING_SIZE, DenseOutputs
from distillab.tasks.detections import detections_in
from distillab.tasks.tracked_outputs import TRACKED_COLUMNS, embeddings_in, find_tracked, peaks_of
from distillab.tasks.tracking_losses import IdentityLoss, center_cells, center_peaks, tracking_loss

ROWS, COLUMNS = 6, 8
CELLS = center_grid(ROWS, COLUMNS)
SIDES = (4 * ROWS, 4 * COLUMNS)
OBJECTS = [[(0, 4, 4, 12, 20, 0), (0, 18, 2, 26, 14, 1)], [(0, 16, 4, 24, 18, 1)], []]
TARGETS = Tracks.of(OBJECTS, 1)
LABELS = torch.from_numpy(TARGETS.values)


def perfect_outputs(labels: Tensor = LABELS) -> Tensor:
    """Return what a network without any mistake gives: sure centers, right boxes, one axis per identity."""
    boxes, counted = labels[..., 1:5], labels[..., 0] >= 0
    cells = center_cells(CELLS, boxes)
    scores = torch.full((len(labels), len(CELLS), 1), -20.0)
    coded, looks = (
        torch.zeros(len(labels), len(CELLS), 4),
        torch.zeros(len(labels), len(CELLS), EMBEDDING_SIZE),
    )
    looks[..., -1] = 1
    empty = torch.zeros(1, len(CELLS), 1)
    coder = DenseOutputs(empty, empty.expand(-1, -1, 4), empty[..., 0], CELLS, CENTERS)
    for image, row in zip(*torch.nonzero(counted, as_tuple=True), strict=True):
        cell = cells[image, row]
        scores[image, cell] = 20.0
        coded[image, cell] = coder.coded(boxes[image, row].expand(1, len(CELLS), -1))[0, cell]
        looks[image, cell] = F.one_hot(labels[image, row, 5].long(), EMBEDDING_SIZE).float()
    return DenseOutputs(scores, coded, torch.zeros_like(scores[..., 0]), CELLS, CENTERS, looks).tensor()


def test_outputs_and_their_parts_are_the_same() -> None:
    outputs = torch.randn(2, len(CELLS), 1 + 10 + EMBEDDING_SIZE)
    parts = DenseOutputs.of(perfect_outputs())
    again = DenseOutputs.of(parts.tensor())
    assert again.code == CENTERS and again.embedding is not None and parts.embedding is not None
    assert torch.equal(again.embedding, parts.embedding) and torch.equal(again.anchors, CELLS)
    assert outputs.shape[2] == parts.tensor().shape[2]


def test_a_network_without_mistakes_has_hardly_a_loss() -> None:
    outputs = perfect_outputs()
    loss = tracking_loss(outputs, LABELS)
    # Cells beside a center are neither centers nor far from them: certainty costs nothing there.
    assert loss.shape == (3,) and float(loss.max()) < 1e-5
    moved = DenseOutputs.of(outputs)
    wrong = DenseOutputs(moved.scores, moved.boxes + 0.5, moved.quality, CELLS, CENTERS, moved.embedding)
    # Four numbers are wrong by half each, in two objects of the first image, of three in three images.
    assert tracking_loss(wrong.tensor(), LABELS).tolist() == pytest.approx([4.0, 2.0, 0.0], abs=1e-4)


def test_the_loss_of_centers_is_that_of_the_paper() -> None:
    logit, boxes = 0.3, LABELS[:, :, 1:5]
    scores = torch.full((3, len(CELLS), 1), logit)
    zeros = torch.zeros(3, len(CELLS), 4)
    looks = torch.zeros(3, len(CELLS), EMBEDDING_SIZE)
    outputs = DenseOutputs(scores, zeros, zeros[..., 0], CELLS, CENTERS, looks)
    p = 1 / (1 + math.exp(-logit))
    found = tracking_loss(outputs.tensor(), LABELS)
    # The third image has no object: all cells are background.
    assert float(found[2]) == pytest.approx(-len(CELLS) * p**2 * math.log(1 - p), rel=1e-5)
    cells = center_cells(CELLS, boxes)
    peaks = center_peaks(CELLS, boxes, cells)[1, 0]
    expected = -((1 - peaks) ** 4 * p**2 * math.log(1 - p))
    expected[cells[1, 0]] = -((1 - p) ** 2) * math.log(p)
    errors = DenseOutputs.of(perfect_outputs()).boxes[1, cells[1, 0]].abs().sum()
    assert float(found[1]) == pytest.approx(float(expected.sum() + errors), rel=1e-5)


def test_peaks_are_as_wide_as_their_boxes_demand() -> None:
    boxes = torch.tensor([[[8.0, 0.0, 12.0, 24.0]]])
    cells = center_cells(CELLS, boxes)
    assert cells.item() == 2 * COLUMNS + 2 or cells.item() == 3 * COLUMNS + 2
    grid = center_peaks(CELLS, boxes, cells)[0, 0].view(ROWS, COLUMNS)
    row = int(cells) // COLUMNS
    assert grid[row, 2] == 1 and grid[row - 1, 2] > 10 * grid[row, 1]


def test_places_in_boxes_that_are_not_counted_are_no_background() -> None:
    whole = Tracks.of([[(ignored(0), 0, 0, SIDES[1], SIDES[0], 3)]], 1)
    outputs = perfect_outputs()[:1]
    labels = torch.from_numpy(whole.values)
    assert tracking_loss(outputs, labels).item() == 0
    assert IdentityLoss(4, 1.0)(outputs, labels).item() == 0


def test_unlabelled_images_have_no_loss() -> None:
    labels = LABELS.clone()
    labels[0] = UNLABELLED
    outputs = torch.randn(3, len(CELLS), 1 + 10 + EMBEDDING_SIZE)
    outputs[..., -5:] = perfect_outputs()[..., -5:]
    made = Tracking()
    assert made.loss(outputs, labels)[0] == 0 and (made.loss(outputs, labels)[1:] > 0).all()
    learned = made.learned_loss(LABELS)
    assert learned is not None and learned(outputs, labels)[0] == 0


def test_identities_cost_the_logarithm_of_their_number_at_first() -> None:
    learned = Tracking(identity_weight=2.0).learned_loss(LABELS)
    assert isinstance(learned, IdentityLoss) and learned.classifier.out_features == 2
    found = learned(perfect_outputs(), LABELS)
    # Two objects in the first image and one in the second, of three in three images.
    assert found.tolist() == pytest.approx([2 * 2 * math.log(2), 2 * math.log(2), 0.0])
    with torch.no_grad():
        learned.classifier.weight.copy_(50 * torch.eye(2, EMBEDDING_SIZE))
    assert learned(perfect_outputs(), LABELS).sum() < 1e-6


def test_one_identity_needs_no_classifier() -> None:
    assert Tracking().learned_loss(torch.from_numpy(Tracks.of([[(0, 0, 0, 4, 4, 0)]], 1).values)) is None
    assert Tracking().learned_loss(torch.from_numpy(Tracks.of([[]], 1).values)) is None


def test_objects_are_found_again_with_their_embeddings() -> None:
    stored = find_tracked(perfect_outputs(), *SIDES).numpy()
    assert stored.shape == (3, TRACKED_COLUMNS)
    found, looks = detections_in(stored), embeddings_in(stored)
    for image, objects in enumerate(OBJECTS):
        kept = found[image][found[image][:, 5] != NO_BOX]
        assert len(kept) == len(objects)
        for left, top, right, bottom, identity in (each[1:] for each in objects):
            [place] = np.flatnonzero(np.abs(kept[:, :4] - [left, top, right, bottom]).max(axis=1) < 1e-3)
            assert looks[image, place].argmax() == identity


def test_of_neighboring_cells_the_surest_is_an_object() -> None:
    confidences = torch.rand(2, ROWS * COLUMNS, 1)
    grid = peaks_of(confidences, COLUMNS).view(2, ROWS, COLUMNS)
    assert grid.flatten(1).amax(1).equal(confidences.flatten(1).amax(1))
    for image, row, column in torch.nonzero(grid).tolist():
        window = confidences.view(2, ROWS, COLUMNS)[
            image, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2
        ]
        assert grid[image, row, column] == window.max()


def test_outputs_that_are_not_finite_show() -> None:
    outputs = perfect_outputs()
    outputs[1, 0, 0] = torch.nan
    stored = find_tracked(outputs, *SIDES)
    assert stored.isfinite().all(dim=1).tolist() == [True, False, True]


def test_the_task_measures_detections_and_tracks() -> None:
    stored, made = find_tracked(perfect_outputs(), *SIDES).numpy(), Tracking()
    measured = made.measure(stored, TARGETS)
    assert set(measured) <= set(made.metrics) and measured["ap50"] == 1
    for name in ("mota", "idf1", "hota", "map"):
        assert measured[name] == pytest.approx(1, abs=1e-6), name
    assert measured["id_switches"] == 0 and made.fidelity(stored, stored) == {"agreement": 1.0}
    assert made.contributions(stored, TARGETS).mean() == pytest.approx(1)
    assert made.score(stored, TARGETS) == 1 and made.per_class(stored, TARGETS).tolist() == [1.0]


def test_a_student_equal_to_its_teacher_has_no_divergence() -> None:
    outputs = build_model("fairmot_resnet_s", classes=1, inputs=InputSpec(3, 32, 32))(
        torch.randn(2, 3, 32, 32)
    )
    assert Tracking().divergence(outputs, outputs, 2.0).abs().max() < 1e-6


def test_objects_of_one_class_are_tracked() -> None:
    with pytest.raises(RequestError, match="objects of one class are tracked, and there are 2"):
        Tracking().check_classes(2)


def test_what_a_reader_must_know_of_one_sequence_is_stated() -> None:
    apart = Tracks.of(OBJECTS, 1, np.array([[0, 0], [1, 0], [2, 0]]))
    assert any("of one sequence" in note for note in Tracking().check_test(TARGETS, ("walker",), "test"))
    assert not any("of one sequence" in note for note in Tracking().check_test(apart, ("walker",), "test"))
