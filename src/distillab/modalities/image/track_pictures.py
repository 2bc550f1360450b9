"""Tracks drawn over pictures: boxes with their identities, and where each object was before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from distillab.modalities.image.box_pictures import ColoredBox, box_color, draw_boxes

_LEAST_SIDE = 320  # pixels of the shorter side to which smaller pictures are enlarged


@dataclass(frozen=True)
class ColoredTrail:
    """Where an object was in some frames, the last of which is shown.

    Attributes:
        points: Places in pixels, the earliest first.
        color: Number of its color, as for boxes.

    Example:
        >>> ColoredTrail(((0.0, 0.0), (4.0, 2.0)), color=1).color
        1
    """

    points: tuple[tuple[float, float], ...]
    color: int


def draw_tracks(
    picture: Image.Image, boxes: Sequence[ColoredBox], trails: Sequence[ColoredTrail]
) -> Image.Image:
    """Return a copy of a picture with trails and boxes over it, in RGB.

    Small pictures are enlarged by a whole number, so that texts can be read and cover little.

    Args:
        picture: The picture.
        boxes: The boxes, in its pixels.
        trails: The trails, in its pixels.

    Example:
        >>> box, trail = ColoredBox(5, 5, 20, 20, 0, "1"), ColoredTrail(((0.0, 0.0), (12.0, 20.0)), 0)
        >>> draw_tracks(Image.new("L", (40, 30)), [box], [trail]).size
        (440, 330)
    """
    times = max(1, -(-_LEAST_SIDE // min(picture.size)))
    large = picture.convert("RGB").resize(
        (times * picture.width, times * picture.height), Image.Resampling.NEAREST
    )
    pen, width = ImageDraw.Draw(large), max(2, round(min(large.size) / 150))
    for trail in trails:
        points = [(times * x, times * y) for x, y in trail.points]
        pen.line(points, fill=box_color(trail.color), width=width, joint="curve")
    scaled = [
        replace(
            box,
            left=times * box.left,
            top=times * box.top,
            right=times * box.right,
            bottom=times * box.bottom,
        )
        for box in boxes
    ]
    return draw_boxes(large, scaled)
