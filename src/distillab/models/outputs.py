"""What a network says about a batch, at the depths that methods ask for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """Outputs of one network for one batch of N images.

    Attributes:
        logits: float ``[N, classes]``.
        embedding: float ``[N, D]``, the input of the classifier, or None if it was not asked for.
        maps: feature maps ``[N, C, H, W]``, one a stage from shallow to deep; empty if not asked for.
    """

    logits: Tensor
    embedding: Tensor | None = None
    maps: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class OutputShapes:
    """Shapes of :class:`Outputs` for one image: what connectors are built from.

    ``maps`` holds (channels, height, width) a stage; ``embedding`` is its width or None if unknown.
    """

    classes: int
    embedding: int | None = None
    maps: tuple[tuple[int, int, int], ...] = ()
