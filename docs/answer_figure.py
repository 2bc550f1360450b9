"""The figure of a row of docs/answer.md: gains with their intervals by level, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from answer_rows import Point, Series, level_text

WIDTH, LINE, LABEL, RIGHT = 320, 17, 128, 10
INK, QUIET = "#8a8f98", "#8a8f9855"  # legible on light and dark pages
COLORS = {"helps": "#2a9d5c", "harms": "#d1495b", "equivalent": "#3d7dd8", "undecided": INK, "": INK}


def figure(title: str, series: Sequence[Series]) -> str:
    """Return the SVG of a question: the gain and its interval at each level, and the margin."""
    points = [point for each in series for point in each.points]
    margin = max(each.margin for each in series)
    low, high = min(-margin, *(p.low for p in points)), max(margin, *(p.high for p in points))
    pad = 0.04 * (high - low)
    scale = _Scale(low - pad, high + pad)
    height = LINE * (len(points) + len(series) + 1) + 6
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="11" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_axis(scale, height, margin),
    ]
    top = LINE
    for each in series:
        about = f"{each.data}, {each.provenance} teacher"
        lines.append(f'<text x="2" y="{top - 4}" fill="{INK}" font-style="italic">{escape(about)}</text>')
        for point in each.points:
            lines += _point(point, scale, top + LINE / 2)
            top += LINE
        top += LINE
    return "\n".join([*lines, "</svg>", ""])


class _Scale:
    """From points to pixels."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(LABEL + share * (WIDTH - LABEL - RIGHT), 1)


def _axis(scale: _Scale, height: int, margin: float) -> list[str]:
    left, zero, right = scale(-margin), scale(0), scale(margin)
    bottom = height - LINE - 2
    shown = sorted({round(scale.low), 0, round(scale.high)})
    ticks = [
        f'<text x="{scale(value)}" y="{height - 5}" fill="{INK}" text-anchor="{anchor}">{value:+d}</text>'
        for value, anchor in zip(shown, _anchors(shown), strict=True)
        if value and abs(scale(value) - zero) > 18
    ]
    ticks.append(f'<text x="{zero}" y="{height - 5}" fill="{INK}" text-anchor="middle">0</text>')
    return [
        f'<rect x="{left}" y="2" width="{round(right - left, 1)}" height="{bottom}" fill="{QUIET}"/>',
        f'<line x1="{zero}" y1="2" x2="{zero}" y2="{bottom + 2}" stroke="{INK}"/>',
        *ticks,
    ]


def _anchors(shown: Sequence[int]) -> list[str]:
    """Return where the labels of ticks are anchored, so that none is cut off."""
    return ["end" if value == max(shown) and value else "middle" for value in shown]


def _point(point: Point, scale: _Scale, y: float) -> list[str]:
    color = COLORS[point.corrected]
    low, center, high = (scale(value) for value in (point.low, point.gain, point.high))
    return [
        f'<text x="{LABEL - 8}" y="{y + 4}" fill="{INK}" text-anchor="end">{escape(level_text(point.level))}'
        "</text>",
        f'<line x1="{low}" y1="{y}" x2="{high}" y2="{y}" stroke="{color}" stroke-width="2"/>',
        f'<circle cx="{center}" cy="{y}" r="4" fill="{color}"/>',
    ]
