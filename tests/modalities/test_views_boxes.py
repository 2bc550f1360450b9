"""Views of images with boxes: pixels and boxes are moved by one draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distillab.data import Boxes, Examples, moved_boxes
from distillab.data.boxes import NO_BOX
from distillab.errors import RequestError
from distillab.modalities.views import Views
from distillab.training.recipe import Recipe

COUNT, SIDE = 60, 32


def bright_rectangles(height: int = SIDE, width: int = SIDE) -> Examples:
    """Return black images with one bright rectangle each, and the box around it."""
    rng = np.random.default_rng(0)
    pixels, boxes = np.zeros((COUNT, 3, height, width), np.uint8), []
    for image in pixels:
        wide, high = rng.integers(8, 16, 2)
        left, top = rng.integers(0, width - wide), rng.integers(0, height - high)
        image[:, top : top + high, left : left + wide] = 200
        boxes.append([(0, left, top, left + wide, top + high)])
    return Examples.of(pixels, Boxes.of(boxes, 2), ("a", "b"))


@pytest.mark.parametrize(
    ("written", "shape", "tolerance"),
    [
        ("none", (32, 32), 0),
        ("flip", (24, 40), 0),
        ("crop", (24, 40), 0),
        ("crop_flip", (24, 40), 0),
        ("dihedral", (32, 32), 0),
        (["crop", "flip", {"color_jitter": {"contrast": 0.0}}], (24, 40), 0),
        # The edge of what is resized lies within a pixel.
        ([{"random_resized_crop": {"scale": [0.3, 1.0]}}, "flip"], (24, 40), 1),
        (["dihedral", {"random_resized_crop": {"scale": [0.3, 1.0]}}], (32, 32), 1),
    ],
    ids=str,
)
def test_boxes_move_as_pixels_do(written: Any, shape: tuple[int, int], tolerance: float) -> None:
    examples = bright_rectangles(*shape)
    views = Views.resolve(written, examples.shape)
    for epoch in range(3):
        rendered = views.batch(examples, np.arange(COUNT), epoch, 5, torch.device("cpu"))
        assert rendered.maps is not None
        moved = moved_boxes(torch.from_numpy(examples.targets.values), rendered.maps, *shape)[:, 0]
        for item, box in zip(rendered.items, moved, strict=True):
            rows, columns = torch.nonzero(item[0] > 100, as_tuple=True)
            if box[0] == NO_BOX:  # hardly anything of it is in the view
                assert not len(rows) or min(np.ptp(rows), np.ptp(columns)) <= tolerance
                continue
            seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (seen - box[1:]).abs().max() <= tolerance


@pytest.mark.parametrize("view", ["rand_augment", "mixup", "cutmix"])
def test_views_that_cannot_move_boxes_are_refused(view: str) -> None:
    with pytest.raises(RequestError) as error:
        Recipe(views=["flip", view], steps=1).resolve(bright_rectangles())
    assert str(error.value) == (
        f"recipe.views: {view} cannot move boxes with the pixels (allowed: none, color_jitter, crop, "
        "dihedral, flip, random_resized_crop)"
    )


def test_usual_views_move_boxes() -> None:
    assert Recipe(steps=1).resolve(bright_rectangles()).view_spec.label == "crop_flip (pad 4)"
