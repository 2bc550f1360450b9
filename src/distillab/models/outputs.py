"""The outputs of a network for a batch, at all depths that methods learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from torch import Tensor, nn

OutputNeed = Literal[
    "logits",
    "embedding",
    "maps",
    "attention",
    "preactivations",
    "backbone",
    "towers",
    "classifier",
    "teacher_classifier",
    "teacher_network",
]
"""What a method may need that networks give."""

OUTPUT_NEEDS: Final[frozenset[str]] = frozenset(get_args(OutputNeed))

# Small enough per image that a teacher's can be stored once and read by every student. Whole feature maps are
# not: a method that needs what is not storable queries a live teacher.
STORABLE: Final[frozenset[str]] = frozenset({"logits", "embedding", "attention"})
LIVE: Final[frozenset[str]] = OUTPUT_NEEDS - STORABLE

OF_STAGES: Final[frozenset[str]] = frozenset({"maps", "attention", "preactivations"})
OF_DETECTORS: Final[frozenset[str]] = frozenset({"backbone", "towers"})
OF_LAST_LAYER: Final[frozenset[str]] = frozenset({"embedding", "classifier", "teacher_classifier"})
FEATURES: Final[frozenset[str]] = OUTPUT_NEEDS - {"logits"}
# What taps read; the teacher's classifier, and the teacher itself, are handed to a method when it is built.
TAPPED: Final[frozenset[str]] = FEATURES - {"teacher_classifier", "teacher_network"}

TowerMaps = tuple[tuple[Tensor, ...], ...]
"""Feature maps ``[N, C, H, W]`` of a tower of a detector: per layer, one map per level of the pyramid."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of one network for one batch of N examples. What was not needed is None or empty.

    Attributes:
        logits: float ``[N, classes]``; ``[N, cells, classes + 10]`` of a detector, or more columns.
        embedding: float ``[N, D]``, the input of the classifier.
        maps: Feature maps ``[N, C, H, W]``, one per stage, from shallow to deep.
        attention: :func:`attention_map` of each stage's feature maps, ``[N, H, W]``.
        preactivations: Each stage's feature maps before the ReLU at its end; the maps themselves where a
            stage does not end in one.
        classifier: The last linear layer itself, ``[N, D]`` to ``[N, classes]``.
        backbone: Of a detector, whose ``maps`` are the levels of its pyramid: feature maps of the stages
            that the pyramid is made from.
        towers: Of a detector: the maps of its tower of classes and of its tower of boxes.

    Example:
        >>> Outputs(torch.zeros(2, 10)).embedding is None
        True
    """

    logits: Tensor
    embedding: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    attention: tuple[Tensor, ...] = ()
    preactivations: tuple[Tensor, ...] = ()
    classifier: nn.Linear | None = None
    backbone: tuple[Tensor, ...] = ()
    towers: tuple[TowerMaps, ...] = ()


@dataclass(frozen=True)
class OutputShapes:
    """Shapes of :class:`Outputs` for one example, from which connectors are built.

    Attributes:
        classes: Number of logits.
        embedding: Width of the embedding; None if the network has none.
        maps: (channels, height, width) of each stage's feature maps.
        attention: (height, width) of each stage's attention map.
        cells: Number of cells of a network that gives ``[N, cells, classes + 10]``; 0 for all others.
        backbone: (channels, height, width) of the feature maps of a detector's backbone.
        towers: Channels of the layers of a detector's towers; their maps are as large as the levels.
        identities: Whether its cells have embeddings of identities as well.

    Example:
        >>> OutputShapes(10, 64, ((16, 32, 32),), ((32, 32),)).embedding
        64
    """

    classes: int
    embedding: int | None = None
    maps: tuple[tuple[int, int, int], ...] = ()
    attention: tuple[tuple[int, int], ...] = ()
    cells: int = 0
    backbone: tuple[tuple[int, int, int], ...] = ()
    towers: tuple[tuple[int, ...], ...] = ()
    identities: bool = False


def attention_map(features: Tensor) -> Tensor:
    """Return where a stage is active: feature maps ``[N, C, H, W]`` -> ``[N, H, W]``, each of unit L2 norm.

    It is the mean over channels of the squared activations, scaled over space, in float32 at least. An
    example whose activations are all zero gets zeros. Gradients flow.

    Source: Zagoruyko and Komodakis, "Paying more attention to attention", ICLR 2017, section 3.1, with p = 2.

    Example:
        >>> attention_map(torch.ones(1, 8, 2, 2)).flatten().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    features = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
    # mean(dim=1) gives the same number, but its gradient takes three times as long on a CPU.
    return unit_norm(features.square().sum(dim=1) / features.shape[1])


def unit_norm(maps: Tensor) -> Tensor:
    """Return maps ``[N, H, W]`` scaled to unit L2 norm over space; zeros stay zeros."""
    return torch.nn.functional.normalize(maps.flatten(1), dim=1, eps=1e-12).view_as(maps)
