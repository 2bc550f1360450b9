"""Histograms of oriented gradients: features made by hand, with a linear classifier on top."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, one_hot, pad

from distillab.models.input_spec import InputSpec
from distillab.models.registry import models

_BINS: Final = 9
_CELLS: Final = 4  # per side, whatever the size of the image
_BLOCK: Final = 2  # cells per side of a block
_WIDTH: Final = (_CELLS - _BLOCK + 1) ** 2 * _BLOCK**2 * _BINS
_CLIP, _EPSILON = 0.2, 1e-5


class OrientedGradients(nn.Module):
    """Histograms of oriented gradients of images ``[N, C, H, W]``: float32 ``[N, 324]``, without parameters.

    The image is cut into 4 x 4 cells, whose pixels vote for one of nine orientations from 0 to 180 degrees by
    the length of their gradient. Overlapping blocks of 2 x 2 cells are each scaled to unit length, clipped at
    0.2 and scaled again. The gradient of a pixel is that of the channel where it is longest, by central
    differences, and zero along an axis at the border.

    Source: Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, with hard
    votes, as in ``skimage.feature.hog``.

    Example:
        >>> ramp = torch.arange(8.0).expand(1, 1, 8, 8)  # brighter to the right: one orientation
        >>> found = OrientedGradients()(ramp).reshape(9, 2, 2, 9)
        >>> bool((found[..., 0] > 0).all()), bool((found[..., 1:] == 0).all())
        (True, True)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of images of at least 4 pixels per side."""
        down, right = _gradients(x.float())
        length = torch.hypot(down, right)
        angle = torch.rad2deg(torch.atan2(down, right)) % 180
        place = (angle * (_BINS / 180)).long().clamp(max=_BINS - 1)
        votes = one_hot(place, _BINS).permute(0, 3, 1, 2) * length[:, None]
        cells = _cells(votes)
        blocks = cells.unfold(2, _BLOCK, 1).unfold(3, _BLOCK, 1)  # [N, bins, rows, columns, 2, 2]
        flat = blocks.permute(0, 2, 3, 4, 5, 1).flatten(3)
        scaled = _to_unit(_to_unit(flat).clamp(max=_CLIP))
        return scaled.flatten(1)


class GradientClassifier(nn.Module):
    """A linear classifier of histograms of oriented gradients: ``[N, C, H, W]`` -> ``[N, classes]``.

    Args:
        classes: Number of logits.

    Example:
        >>> GradientClassifier(10).fc
        Linear(in_features=324, out_features=10, bias=True)
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = OrientedGradients()
        self.fc = nn.Linear(_WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(x))
        return logits


@models.register("hog")
def hog(*, classes: int, inputs: InputSpec) -> nn.Module:
    """Histograms of oriented gradients, which nothing trains, and a linear classifier that is trained"""
    return GradientClassifier(classes)


def _gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients downwards and to the right of the channel where they are longest, ``[N, H, W]``."""
    down = pad(x[:, :, 2:] - x[:, :, :-2], (0, 0, 1, 1))
    right = pad(x[..., 2:] - x[..., :-2], (1, 1))
    longest = (down.square() + right.square()).argmax(dim=1, keepdim=True)
    return down.gather(1, longest)[:, 0], right.gather(1, longest)[:, 0]


def _cells(votes: Tensor) -> Tensor:
    """Mean of votes ``[N, bins, H, W]`` over cells, ``[N, bins, 4, 4]``; pixels left over are cut."""
    height, width = (side // _CELLS for side in votes.shape[2:])
    return avg_pool2d(votes, (height, width))[:, :, :_CELLS, :_CELLS]


def _to_unit(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(dim=-1, keepdim=True) + math.pow(_EPSILON, 2)).sqrt()
