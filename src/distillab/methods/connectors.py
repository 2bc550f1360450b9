"""Connectors: small trained layers that bring a student's features to the width of a teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from distillab.errors import RequestError
from distillab.methods.method import Pair

MapShape = tuple[int, int, int]


def paired_shapes(pair: Pair) -> list[tuple[MapShape, MapShape]]:
    """Shapes of paired stages, from the deepest backwards, shallow ones first; empty without a teacher."""
    theirs: Sequence[MapShape] = () if pair.teacher is None else pair.teacher.maps
    stages = min(len(pair.student.maps), len(theirs))
    return list(zip(pair.student.maps[-stages:], theirs[-stages:], strict=True)) if stages else []


def at_least(stages: int, pair: Pair, name: str) -> list[tuple[MapShape, MapShape]]:
    """:func:`paired_shapes`. Raises RequestError if there are fewer than ``stages``."""
    found = paired_shapes(pair)
    if len(found) < stages:
        raise RequestError(
            f"method {name} needs {stages} stages in both networks, and this pair has {len(found)} in common",
            allowed="networks with more stages, or a method that compares one",
        )
    return found


def widen(inputs: int, outputs: int, *, normalise: bool = True) -> nn.Module:
    """A 1x1 convolution, then batch normalisation: ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
    conv = nn.Conv2d(inputs, outputs, 1, bias=not normalise)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs)) if normalise else conv


def bottleneck(inputs: int, outputs: int, middle: int) -> nn.Module:
    """1x1, 3x3 and 1x1 convolutions with normalisation and ReLU between: ``[N, C, H, W]`` to ``outputs``."""
    return nn.Sequential(
        nn.Conv2d(inputs, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, middle, 3, padding=1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, outputs, 1),
    )
