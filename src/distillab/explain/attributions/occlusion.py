"""Occlusion: how far the score of a class falls if a window of the input is removed."""

from __future__ import annotations

import torch
from torch import Tensor

from distillab.explain.attribution import attribution
from distillab.explain.networks import BASELINE, ExplainedNetwork
from distillab.extras import import_extra

_WINDOW = 4  # the side of the window is that of the input divided by this
_STRIDE = 8  # and the step of the window is that divided by this
_AT_ONCE = 16  # windows per forward pass


@attribution(
    "occlusion",
    reads="outputs",
    source="Zeiler and Fergus, Visualizing networks, ECCV 2014",
    passes=(_STRIDE - 1) ** 2 + 1,  # the windows, of two steps each, and the whole input
    package="captum.attr",
)
def occlusion(network: ExplainedNetwork, x: Tensor, classes: Tensor) -> Tensor:
    """Return the mean fall of the score of the class over the windows that cover a pixel.

    A window has a quarter of the side of the input and moves by half of its side. What it covers is set to
    the baseline, the mean of the training images.

    Args:
        network: The network.
        x: Normalized inputs, float32 ``[N, C, H, W]``.
        classes: The class of each, int64 ``[N]``.

    Returns:
        Signed maps, float32 ``[N, H, W]``.
    """
    captum = import_extra("captum.attr", "explain", "occlusion")
    channels, height, width = x.shape[1:]
    with torch.no_grad():
        found: Tensor = captum.Occlusion(network.scores).attribute(
            x,
            target=classes,
            baselines=BASELINE,
            sliding_window_shapes=(channels, _part(height, _WINDOW), _part(width, _WINDOW)),
            strides=(channels, _part(height, _STRIDE), _part(width, _STRIDE)),
            perturbations_per_eval=_AT_ONCE,
        )
    return found[:, 0]  # a window covers all channels


def _part(side: int, parts: int) -> int:
    return max(1, -(-side // parts))
