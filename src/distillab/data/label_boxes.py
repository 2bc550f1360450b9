"""Boxes around what a label of an image is about, where a source has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distillab.errors import RequestError


class LabelBox(NamedTuple):
    """A box, in shares of the width and height of the image, so that it does not depend on its size.

    Attributes:
        label: The name of the label.
        left: Left edge, 0 to 1.
        top: Top edge.
        right: Right edge.
        bottom: Bottom edge.

    Example:
        >>> LabelBox("Mass", 0.25, 0.5, 0.5, 0.75).pixels(64, 64)
        (16.0, 32.0, 32.0, 48.0)
    """

    label: str
    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom in pixels of an image of this size."""
        return width * self.left, height * self.top, width * self.right, height * self.bottom

    @classmethod
    def of_pixels(
        cls, label: str, corner: Sequence[float], size: Sequence[float], side: float, where: str
    ) -> LabelBox:
        """Return the box with an upper left corner and a size in pixels of a square image.

        Args:
            label: The name of the label.
            corner: Left and top.
            size: Width and height.
            side: Side of the image; what lies beyond its edges is cut off.
            where: The place of the box, for messages.

        Raises:
            RequestError: Nothing of the box lies within the image.
        """
        (left, top), (width, height) = corner, size
        edges = [min(max(each / side, 0.0), 1.0) for each in (left, top, left + width, top + height)]
        if not (edges[0] < edges[2] and edges[1] < edges[3]):
            raise RequestError(
                f"a box of {width:g} by {height:g} pixels at {left:g}, {top:g} has no area in the image",
                where=where,
                allowed=f"a width and height above 0, within {side:g} pixels",
            )
        return cls(label, *edges)


ImageLabelBoxes = Mapping[int, tuple[LabelBox, ...]]
"""The boxes of images by their ids."""
