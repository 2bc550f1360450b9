"""Patterns: textures of figures and backgrounds, as the share of the second tone at every point.

A pattern is a function of coordinates ``x, y`` in periods and of ``sharp``, pixels per period ``[N, 1, 1]``.
Its values are float32 in [0, 1], with one pixel of transition between the tones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from distillab.sources.drawing.figures import F, Field, length

HALF, QUARTER = F(0.5), F(0.25)
Pattern: TypeAlias = Callable[[Field, Field, Field], Field]


def edge(distance: Field, sharp: Field) -> Field:
    """Return a step from 0 to 1 within the pixel in which a distance, in periods, changes sign."""
    found: Field = np.clip(distance * sharp + HALF, 0, 1)
    return found


def to_line(x: Field) -> Field:
    """Return the distance to the nearest whole number, in [0, 0.5]."""
    found: Field = np.abs(x - np.rint(x))
    return found


def solid(x: Field, y: Field, sharp: Field) -> Field:
    return np.zeros_like(x)


def stripes(x: Field, y: Field, sharp: Field) -> Field:
    return edge(to_line(x) - QUARTER, sharp)


def checkerboard(x: Field, y: Field, sharp: Field) -> Field:
    across, along = edge(to_line(x) - QUARTER, sharp), edge(to_line(y) - QUARTER, sharp)
    return across + along - F(2) * across * along


def dots(x: Field, y: Field, sharp: Field) -> Field:
    return edge(F(0.31) - length(to_line(x), to_line(y)), sharp)


def rings(x: Field, y: Field, sharp: Field) -> Field:
    return edge(to_line(length(x, y)) - QUARTER, sharp)


def zigzag(x: Field, y: Field, sharp: Field) -> Field:
    return edge(to_line(y + F(0.9) * to_line(x * F(0.8))) - QUARTER, sharp * F(0.8))


def grid(x: Field, y: Field, sharp: Field) -> Field:
    return edge(F(0.14) - np.minimum(to_line(x), to_line(y)), sharp)


def halves(x: Field, y: Field, sharp: Field) -> Field:
    return edge(x, sharp)


def gradient(x: Field, y: Field, sharp: Field) -> Field:
    """Return a ramp from one tone to the other over four periods."""
    found: Field = np.clip(x * QUARTER + HALF, 0, 1)
    return found


TEXTURES: dict[str, Pattern] = {
    "solid": solid,
    "stripes": stripes,
    "dots": dots,
    "halves": halves,
    "checks": checkerboard,
    "rings": rings,
    "grid": grid,
    "zigzag": zigzag,
}

# Clouds are no function of coordinates alone: compose interpolates them between random numbers.
BACKGROUNDS: dict[str, Pattern | None] = {
    "plain": solid,
    "gradient": gradient,
    "clouds": None,
    "bands": stripes,
    "tiles": checkerboard,
    "spots": dots,
    "ripples": rings,
    "horizon": halves,
}
