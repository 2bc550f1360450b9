"""Variables of an image, and the values that each can take."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.sources.drawing.figures import FIGURES
from distillab.sources.drawing.palette import FIGURE_COLORS, GROUNDS
from distillab.sources.drawing.patterns import BACKGROUNDS, TEXTURES

SHAPE_FAMILIES: dict[str, tuple[str, ...]] = {
    "round": ("disc", "ring", "moon", "oval"),
    "polygon": ("square", "triangle", "pentagon", "hexagon"),
    "star": ("star", "cross", "flower", "spark"),
    "sign": ("heart", "arrow", "drop", "corner"),
}
FAMILY_OF = {shape: family for family, shapes in SHAPE_FAMILIES.items() for shape in shapes}

VARIABLES: dict[str, tuple[str, ...]] = {
    "family": tuple(SHAPE_FAMILIES),
    "shape": tuple(FIGURES),
    "texture": tuple(TEXTURES),
    "colour": tuple(FIGURE_COLORS),
    "background": tuple(BACKGROUNDS),
    "ground": GROUNDS,
}
"""The values of every variable; the family of an image follows from its shape."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sketch:
    """The content of N images, one column per variable.

    Attributes:
        shape: int64 ``[N]``, positions in :data:`VARIABLES`, as the four that follow.
        texture: Of the figure.
        colour: Of the figure.
        background: Pattern of the background.
        ground: Brightness of the background.
        rotation: Turns, counter-clockwise; float64 ``[N]``, as all that follow but the last.
        tilt: How much narrower a figure is than in frontal view, in [0, 1).
        scale: Radius of a figure, in half sides of the image.
        x: Center of a figure, in half sides to the right of the middle.
        y: Center of a figure, in half sides above the middle.
        contrast: Share of the contrast between figure and background that is kept.
        noise: Standard deviation of the pixels' noise, in units of the whole range.
        states: uint64 ``[N]``, from which everything else is drawn (tints, phases, clouds, noise).

    Example:
        >>> from distillab.sources.shapes import Shapes
        >>> sketch = Shapes().scene.sketch("train", np.array([0, 5]), np.array([0, 0]))
        >>> len(sketch), [VARIABLES["shape"][shape] for shape in sketch.shape]
        (2, ['disc', 'triangle'])
    """

    shape: Indices
    texture: Indices
    colour: Indices
    background: Indices
    ground: Indices
    rotation: Floats
    tilt: Floats
    scale: Floats
    x: Floats
    y: Floats
    contrast: Floats
    noise: Floats
    states: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.shape)

    def take(self, rows: Indices | slice) -> Sketch:
        """Return the content of the images at ``rows``."""
        return Sketch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})
