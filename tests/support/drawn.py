"""Drawn images for the tests of the shapes source."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from distillab.sources import parse_source
from distillab.sources.drawing import draw
from distillab.sources.shapes import Shapes


def shapes(**keys: Any) -> Shapes:
    found = parse_source({"source": "shapes", **keys}, Path(), "study.yaml: data")
    assert isinstance(found, Shapes)
    return found


def pictures(source: Shapes, count: int, *, side: int = 32, channels: int = 3, split: str = "train") -> Any:
    """Return the first ``count`` images of a split in the order in which they are read."""
    rows = np.arange(count)
    classes = len(source.tree.classes)
    return draw(source.scene.sketch(split, rows % classes, rows // classes), side, channels)


def digest(pixels: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def cramers_v(a: Any, b: Any) -> float:
    table = np.histogram2d(a, b, bins=(a.max() + 1, b.max() + 1))[0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / (min(table.shape) - 1)))
