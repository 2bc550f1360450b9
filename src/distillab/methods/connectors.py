"""Connectors: small trained layers that bring a student's features to the width of a teacher's."""

from __future__ import annotations

from torch import nn

from distillab.errors import RequestError
from distillab.methods.method import Pair

MapShape = tuple[int, int, int]


def paired_shapes(pair: Pair) -> list[tuple[MapShape, MapShape]]:
    """Return the shapes of paired stages, student's and teacher's, from shallow to deep.

    Stages are paired from the deepest backwards. Empty without a teacher.
    """
    of_teacher: tuple[MapShape, ...] = () if pair.teacher is None else pair.teacher.maps
    stages = min(len(pair.student.maps), len(of_teacher))
    return list(zip(pair.student.maps[-stages:], of_teacher[-stages:], strict=True)) if stages else []


def deepest_shapes(pair: Pair) -> tuple[MapShape, MapShape]:
    """Return the shapes of the deepest stages of both networks; the student's twice without a teacher."""
    paired = paired_shapes(pair)
    return paired[-1] if paired else (pair.student.maps[-1], pair.student.maps[-1])


def at_least(stages: int, pair: Pair, name: str) -> list[tuple[MapShape, MapShape]]:
    """Return :func:`paired_shapes`.

    Raises:
        RequestError: There are fewer than ``stages``.
    """
    found = paired_shapes(pair)
    if len(found) < stages:
        raise RequestError(
            f"method {name} needs {stages} stages in both networks, and this pair has {len(found)} in common",
            allowed="networks with more stages, or a method that compares one",
        )
    return found


def widen(inputs: int, outputs: int, *, normalize: bool = True) -> nn.Module:
    """Return a 1x1 convolution, then batch normalization: ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
    conv = nn.Conv2d(inputs, outputs, 1, bias=not normalize)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs)) if normalize else conv


def bottleneck(inputs: int, outputs: int, middle: int) -> nn.Module:
    """Return 1x1, 3x3 and 1x1 convolutions with batch normalization and ReLU between.

    It takes ``[N, inputs, H, W]`` to ``[N, outputs, H, W]`` by way of ``middle`` channels.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, middle, 3, padding=1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, outputs, 1),
    )
