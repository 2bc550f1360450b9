"""Figures as signed distance functions: negative inside, positive outside.

Coordinates are float32 arrays of equal shapes, x to the right and y upwards; a figure fills about the unit
circle. Near the outline, where it decides the antialiasing of edges, a value is the distance to it; farther
away it may be less. Constants are coordinates of corners, and sines and cosines of the angles in their names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Field: TypeAlias = npt.NDArray[np.float32]
"""float32 ``[N, H, W]``, one number per pixel."""

F = np.float32
COS18, SIN18 = F(0.9510565), F(0.30901700)
COS30 = F(0.8660254)
COS36, SIN36 = F(0.80901700), F(0.58778525)
HALF = F(0.5)


def length(x: Field, y: Field) -> Field:
    """Return the distance from the origin."""
    found: Field = np.sqrt(x * x + y * y)
    return found


def either(*parts: Field) -> Field:
    """Return the union of figures."""
    found = parts[0]
    for part in parts[1:]:
        found = np.minimum(found, part)
    return found


def both(*parts: Field) -> Field:
    """Return the intersection of figures; of half planes, a convex polygon."""
    found = parts[0]
    for part in parts[1:]:
        found = np.maximum(found, part)
    return found


def fold_five(x: Field, y: Field) -> tuple[Field, Field]:
    """Mirror the plane into the fifth around the upper half axis, so that five corners coincide."""
    x = np.abs(x)
    out = np.maximum(COS36 * x - SIN36 * y, 0) * F(2)
    x, y = x - out * COS36, y + out * SIN36
    out = np.maximum(-COS36 * x - SIN36 * y, 0) * F(2)
    return np.abs(x + out * COS36), y + out * SIN36


def disc(x: Field, y: Field) -> Field:
    return length(x, y) - F(0.82)


def oval(x: Field, y: Field) -> Field:
    return (length(x, y * F(1.9)) - F(0.98)) * F(0.6)


def ring(x: Field, y: Field) -> Field:
    middle: Field = np.abs(length(x, y) - F(0.68))
    return middle - F(0.22)


def moon(x: Field, y: Field) -> Field:
    return both(length(x, y) - F(0.92), F(0.74) - length(x - F(0.46), y))


def triangle(x: Field, y: Field) -> Field:
    return both(COS30 * np.abs(x) + HALF * y, -y) - HALF


def square(x: Field, y: Field) -> Field:
    return both(np.abs(x), np.abs(y)) - F(0.7)


def pentagon(x: Field, y: Field) -> Field:
    x = np.abs(x)
    return both(SIN36 * x + COS36 * y, COS18 * x - SIN18 * y, -y) - F(0.74)


def hexagon(x: Field, y: Field) -> Field:
    x, y = np.abs(x), np.abs(y)
    return both(COS30 * x + HALF * y, y) - F(0.79)


def star(x: Field, y: Field) -> Field:
    """Return the line from the tip (0, 1) to the notch, 0.42 from the middle, folded five times."""
    x, y = fold_five(x, y)
    return F(0.9366) * x + F(0.3503) * y - F(0.3503)


def spark(x: Field, y: Field) -> Field:
    """Return the line from the tip (1, 0) to the notch (0.32, 0.32), folded four times."""
    x, y = np.abs(x), np.abs(y)
    far: Field = np.maximum(x, y)
    near: Field = np.minimum(x, y)
    return F(0.4258) * far + F(0.9048) * near - F(0.4258)


def cross(x: Field, y: Field) -> Field:
    x, y = np.abs(x), np.abs(y)
    return both(np.maximum(x, y) - F(0.88), np.minimum(x, y) - F(0.29))


def flower(x: Field, y: Field) -> Field:
    x, y = fold_five(x, y)
    return either(length(x, y - F(0.6)) - F(0.38), length(x, y) - F(0.42))


def heart(x: Field, y: Field) -> Field:
    """Return two discs joined to the tip (0, -0.95) by tangents."""
    x, y = np.abs(x), y + F(0.03)
    discs = length(x - F(0.42), y - F(0.3)) - HALF
    tip = both(F(0.745) * x - F(0.667) * (y + F(0.92)), F(0.857) * y + F(0.514) * x - F(0.386))
    return either(discs, tip)


def arrow(x: Field, y: Field) -> Field:
    x = np.abs(x)
    head = both(F(0.75) * x + F(0.6616) * y - F(0.6286), F(0.1) - y)
    shaft = both(x - F(0.25), y - F(0.15), F(-0.9) - y)
    return either(head, shaft)


def drop(x: Field, y: Field) -> Field:
    """Return a disc joined to the tip (0, 0.98) by tangents."""
    tip = both(F(0.87) * np.abs(x) + F(0.492) * (y - F(0.98)), F(0.025) - y)
    return either(length(x, y + F(0.28)) - F(0.62), tip)


def corner(x: Field, y: Field) -> Field:
    """Return the letter L."""
    upright = both(np.abs(x + F(0.33)) - F(0.25), np.abs(y) - F(0.78))
    foot = both(np.abs(x - F(0.02)) - F(0.6), np.abs(y + F(0.53)) - F(0.25))
    return either(upright, foot)


Figure: TypeAlias = Callable[[Field, Field], Field]

FIGURES: dict[str, Figure] = {
    figure.__name__: figure
    for figure in (
        *(disc, square, star, heart),
        *(ring, triangle, cross, arrow),
        *(moon, pentagon, flower, drop),
        *(oval, hexagon, spark, corner),
    )
}
"""Figures by name; the first few belong to different families."""
