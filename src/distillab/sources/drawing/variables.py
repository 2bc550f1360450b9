"""Variables: what a picture is made of, and the values that each can take."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.sources.drawing.figures import FIGURES
from distillab.sources.drawing.palette import COLOURS, GROUNDS
from distillab.sources.drawing.patterns import BACKGROUNDS, TEXTURES

FAMILIES: dict[str, tuple[str, ...]] = {
    "round": ("disc", "ring", "moon", "oval"),
    "polygon": ("square", "triangle", "pentagon", "hexagon"),
    "star": ("star", "cross", "flower", "spark"),
    "sign": ("heart", "arrow", "drop", "corner"),
}
FAMILY_OF = {shape: family for family, shapes in FAMILIES.items() for shape in shapes}

VARIABLES: dict[str, tuple[str, ...]] = {
    "family": tuple(FAMILIES),
    "shape": tuple(FIGURES),
    "texture": tuple(TEXTURES),
    "colour": tuple(COLOURS),
    "background": tuple(BACKGROUNDS),
    "ground": GROUNDS,
}
"""The values of every variable; a family is a set of shapes and goes with them."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sketch:
    """What N pictures show, a column a variable.

    Attributes:
        shape, texture, colour, background, ground: int64 ``[N]``, positions in :data:`VARIABLES`.
        rotation: turns, counter-clockwise; float64 ``[N]``, as all below.
        tilt: how much narrower a figure is than seen from the front, in [0, 1).
        scale: radius of a figure, in half sides of the picture.
        x, y: centre of a figure, in half sides from the middle, to the right and upwards.
        contrast: share of the contrast between figure and background that is kept.
        noise: standard deviation of the pixels' noise, in units of the whole range.
        states: uint64 ``[N]``: whatever else is drawn for a picture (tints, phases, clouds, noise).
    """

    shape: Indices
    texture: Indices
    colour: Indices
    background: Indices
    ground: Indices
    rotation: Numbers
    tilt: Numbers
    scale: Numbers
    x: Numbers
    y: Numbers
    contrast: Numbers
    noise: Numbers
    states: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.shape)

    def take(self, rows: Indices | slice) -> Sketch:
        """The pictures at ``rows``."""
        return Sketch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})
