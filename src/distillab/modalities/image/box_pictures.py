"""Boxes drawn over pictures, and the colors of their classes."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

BOX_COLORS = (
    *("#ffb000", "#4cc9ff", "#ff5fa2", "#5ee39b", "#c9a2ff", "#ff7847", "#f4f06a", "#8fb4ff"),
    *("#e14bff", "#9be22d", "#1fd6c1", "#ff3b3b"),
)
"""Bright colors that can be told apart on most pictures, also with common color blindness."""
_HUE_STEP = (5**0.5 - 1) / 2  # the golden section, whose multiples stay apart
_DARK = "#101010"  # of letters on a color
_LETTERS = 28  # of these fill the shorter side of a picture
_SMALLEST, _LARGEST = 10, 40  # height of letters in pixels


@dataclass(frozen=True)
class ColoredBox:
    """A box over a picture.

    Attributes:
        left: Left edge in pixels.
        top: Top edge.
        right: Right edge.
        bottom: Bottom edge.
        color: Number of its color, such as that of its class.
        text: What is written at it.

    Example:
        >>> ColoredBox(0.0, 0.0, 8.0, 8.0, 1).text
        ''
    """

    left: float
    top: float
    right: float
    bottom: float
    color: int
    text: str = ""


def box_color(number: int) -> str:
    """Return a color, ``#rrggbb``: one of :data:`BOX_COLORS`, and after these one of another hue.

    Example:
        >>> len({box_color(number) for number in range(50)})
        50
    """
    if number < len(BOX_COLORS):
        return BOX_COLORS[number]
    shade = colorsys.hls_to_rgb(number * _HUE_STEP % 1, 0.6 + 0.15 * (number % 2), 0.9)
    return "#" + "".join(f"{round(255 * part):02x}" for part in shade)


def draw_boxes(picture: Image.Image, boxes: Sequence[ColoredBox]) -> Image.Image:
    """Return a copy of a picture with boxes over it, in RGB; the first box lies on top.

    Texts are written above or below their boxes, and left out where they would cover earlier ones.

    Args:
        picture: The picture.
        boxes: The boxes.

    Example:
        >>> drawn = draw_boxes(Image.new("L", (40, 30)), [ColoredBox(5, 5, 20, 20, 0, "cell 0.90")])
        >>> drawn.mode, drawn.size
        ('RGB', (40, 30))
    """
    drawn = picture.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    side = min(drawn.size)
    height = min(max(side // _LETTERS, _SMALLEST), _LARGEST)
    font = ImageFont.load_default(height)
    for box in reversed(boxes):
        edges = [box.left, box.top, max(box.right, box.left), max(box.bottom, box.top)]
        pen.rectangle(edges, outline=box_color(box.color), width=max(2, round(side / 200)))
    taken: list[tuple[float, float, float, float]] = []
    for box in boxes:
        if box.text:
            _write(pen, box, font, drawn.size, taken)
    return drawn


def _write(
    pen: ImageDraw.ImageDraw,
    box: ColoredBox,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    size: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """Write the text of a box above or below it, or nothing where other texts are in both places."""
    left, top, right, bottom = pen.textbbox((0, 0), box.text, font=font)
    wide, high = right - left + 4, bottom - top + 4
    x = min(box.left, max(0, size[0] - wide))
    for y in (box.top - high if box.top >= high else box.top, min(box.bottom, size[1] - high)):
        place = x, y, x + wide, y + high
        if not any(_meet(place, other) for other in taken):
            taken.append(place)
            pen.rectangle(place, fill=box_color(box.color))
            pen.text((x + 2 - left, y + 2 - top), box.text, font=font, fill=_DARK)
            return


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
