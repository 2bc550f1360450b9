"""The section on tracks: frames of a test sequence with the tracks of each network over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from distillab.modalities.image.box_pictures import box_color
from distillab.printable import printable
from distillab.report.contents.tracks import ShownFrame, TrackMark, TrackStrip
from distillab.report.page.pictures import data_uri

_PICTURE_SIDE = 400  # pixels to which larger pictures are reduced: twice the width of a tile
_WIDTH = 190  # CSS pixels of a tile, for which the size of letters is set
_LETTERS = 11  # height of letters in CSS pixels
_LETTER_WIDTH = 0.6  # of a letter, in heights


def frame_with_tracks(
    frame: ShownFrame, strip: TrackStrip, marks: Sequence[TrackMark], key: str, *, first: bool
) -> Markup:
    """Return a frame with boxes, identities and trails as an SVG element.

    Tracks that cover no object are dashed, and identity switches have a second, white frame. The picture is
    embedded by the first of the strips alone, and the others refer to it.

    Args:
        frame: The frame.
        strip: The network, or the objects.
        marks: Its boxes in this frame.
        key: The id of the picture on the page.
        first: Whether this is the first strip.

    Example:
        >>> import numpy as np
        >>> frame = ShownFrame(np.zeros((1, 8, 8), np.uint8), "frame 3")
        >>> mark = TrackMark(0.0, 0.0, 4.0, 4.0, number=2, color=0, before=1)
        >>> 'class="switch"' in frame_with_tracks(frame, TrackStrip("kd", "", ()), [mark], "f", first=False)
        True
    """
    height, width = frame.size
    if first:
        uri = data_uri(frame.picture, _PICTURE_SIDE)
        shown = f'<image id="{key}" width="{width}" height="{height}" href="{uri}"/>'
    else:
        shown = f'<use href="#{key}"/>'
    drawn = "".join([*map(_trail, marks), *map(_box, marks), *_letters(marks, width, height)])
    listed = ", ".join(mark.text for mark in marks) or "no box"
    alt = escape(printable(f"{frame.name}, {strip.network}: {listed}"))
    opening = f'<svg class="boxes" viewBox="0 0 {width} {height}" role="img" aria-label="{alt}">'
    return Markup(f"{opening}{shown}{drawn}</svg>")


def _trail(mark: TrackMark) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.trail)
    return f'<polyline points="{points}" stroke="{box_color(mark.color)}"/>' if len(mark.trail) > 1 else ""


def _box(mark: TrackMark) -> str:
    shape = (
        f'x="{mark.left:.1f}" y="{mark.top:.1f}" width="{mark.right - mark.left:.1f}" '
        f'height="{mark.bottom - mark.top:.1f}"'
    )
    kind = "" if mark.found else ' class="miss"'
    kind = kind if mark.before is None else ' class="switch"'
    shade = box_color(mark.color)
    return f'<g{kind}><title>{escape(mark.text)}</title><rect {shape}/><rect {shape} stroke="{shade}"/></g>'


def _letters(marks: Sequence[TrackMark], width: int, height: int) -> Iterator[str]:
    """Yield the identity at each box, those that have changed first, where no other one is written."""
    size = _LETTERS * width / _WIDTH
    taken: list[tuple[float, float, float]] = []
    for mark in sorted(marks, key=lambda mark: mark.before is None):
        long = _LETTER_WIDTH * size * len(mark.text)
        x = min(max(0.0, (mark.left + mark.right - long) / 2), max(0.0, width - long))
        for y in (mark.top - 0.25 * size, mark.bottom + 0.95 * size):
            is_free = all(abs(y - low) > size or x + long < left or right < x for left, right, low in taken)
            if 0.75 * size < y <= height and is_free:
                taken.append((x, x + long, y))
                yield (
                    f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.2f}" fill="{box_color(mark.color)}">'
                    f"{escape(mark.text)}</text>"
                )
                break
