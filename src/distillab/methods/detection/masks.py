"""Which places of a feature map belong to objects, by the boxes of the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distillab.data.targets import UNLABELLED
from distillab.tasks.detection_losses import counted_boxes


@dataclass(frozen=True)
class ObjectMasks:
    """Weights of the places of a feature map.

    Attributes:
        foreground: float ``[N, H, W]``: 1 / area of the smallest box over a place, in places of the map; 0
            outside of all boxes.
        background: float ``[N, H, W]``: 1 / number of the places outside of all boxes; 0 inside, and in
            images whose objects are not known.

    Example:
        >>> boxes = torch.tensor([[[0.0, 0, 0, 16, 8], [1.0, 8, 0, 16, 8]]])
        >>> masks = object_masks(boxes, grid=(2, 3), image=(16, 24))
        >>> masks.foreground.tolist(), masks.background.tolist()
        ([[[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]], [[[0.0, 0.0, 0.25], [0.25, 0.25, 0.25]]])
    """

    foreground: Tensor
    background: Tensor


def object_masks(labels: Tensor, *, grid: tuple[int, int], image: tuple[int, int]) -> ObjectMasks:
    """Return which places of a map belong to objects, and how much each of them counts.

    A box covers every place that it touches, at least one. Areas are counted on the map: those in pixels of
    the image would give the levels of a pyramid weights that differ by orders of magnitude. Where boxes
    overlap, the smallest one counts. Boxes of crowds are background, as in the loss of a detector.

    Source: Yang et al., "Focal and global knowledge distillation for detectors", CVPR 2022, equations 2 to 4.

    Args:
        labels: The values of :class:`~distillab.data.boxes.Boxes`, float32 ``[N, M, 5]``, in pixels.
        grid: Height and width of the map.
        image: Height and width of the images.
    """
    low, high = (box_edges(labels, grid=grid, image=image)[..., part] for part in (slice(0, 2), slice(2, 4)))
    spans = []
    for axis, size in ((1, grid[0]), (0, grid[1])):
        places = torch.arange(size, device=labels.device)
        spans.append((places >= low[..., axis, None]) & (places < high[..., axis, None]))
    inside = spans[0][..., :, None] & spans[1][..., None, :]  # [N, M, H, W]
    areas = (high - low).prod(dim=-1).to(torch.float32)
    weights = inside * (counted_boxes(labels) / areas)[..., None, None]
    foreground = weights.amax(dim=1)
    outside = (foreground == 0) & (labels != UNLABELLED).flatten(1).any(dim=1)[:, None, None]
    places_outside = outside.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    return ObjectMasks(foreground, outside / places_outside)


def box_edges(labels: Tensor, *, grid: tuple[int, int], image: tuple[int, int]) -> Tensor:
    """Return the places of a map that boxes cover: first column and row, and those after the last.

    Args:
        labels: The values of :class:`~distillab.data.boxes.Boxes`, float32 ``[N, M, 5]``, in pixels.
        grid: Height and width of the map.
        image: Height and width of the images.

    Returns:
        int64 ``[N, M, 4]``, at least one place per side, inside of the map.

    Example:
        >>> box_edges(torch.tensor([[[0.0, 3, 9, 21, 10]]]), grid=(4, 4), image=(32, 32)).tolist()
        [[[0, 1, 3, 2]]]
    """
    (height, width), (rows, columns) = image, grid
    scale = labels.new_tensor([columns / width, rows / height])
    size = torch.tensor([columns, rows], device=labels.device)
    low = torch.minimum((labels[..., 1:3] * scale).floor().long().clamp(min=0), size - 1)
    high = torch.minimum((labels[..., 3:5] * scale).ceil().long(), size)
    return torch.cat([low, torch.maximum(high, low + 1)], dim=-1)
