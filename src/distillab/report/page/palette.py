"""The colors of the report, each in a light and a dark shade, for page and plots.

Figures are built in light shades; the page replaces every light color in the JSON of a figure by its dark
counterpart, so no two names may share a light shade.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shade:
    """A color on a light page and on a dark one, both ``#rrggbb``."""

    light: str
    dark: str


SHADES: dict[str, Shade] = {
    "paper": Shade("#fbfaf7", "#14161a"),
    "surface": Shade("#ffffff", "#1b1e24"),
    "sunken": Shade("#f2f0ea", "#23272e"),
    "ink": Shade("#1d2228", "#e9e6e0"),
    "muted": Shade("#59616c", "#a6aeb9"),
    "line": Shade("#dedad1", "#343a43"),
    "grid": Shade("#ebe8e1", "#2b3038"),
    "accent": Shade("#2b5c8c", "#8abbec"),
    "helps": Shade("#0d7265", "#4fcbb6"),
    "harms": Shade("#b23a1c", "#ff9270"),
    "equivalent": Shade("#4d5f94", "#a3b4ec"),
    "undecided": Shade("#6e675d", "#b9b0a3"),
    "teacher": Shade("#1e2329", "#e7e4de"),
    "plain": Shade("#767d87", "#98a1ad"),
    "before": Shade("#b9bdc4", "#525a66"),
}

# Hues can be told apart with common color blindness, and symbols differ as well (figures.SYMBOLS).
SERIES: tuple[Shade, ...] = (
    Shade("#2a5d8f", "#7ab5ee"),
    Shade("#b4561d", "#f29a5f"),
    Shade("#7b4a9e", "#c6a2e6"),
    Shade("#3c7a37", "#8bcb84"),
    Shade("#a52f63", "#f28cb5"),
    Shade("#83690a", "#dcc055"),
    Shade("#2f7886", "#73c7d6"),
    Shade("#6b5a4d", "#bba997"),
)

BAND_OPACITY = 0.13  # opacity of interval bands


def color(name: str) -> str:
    """Return the light shade of a named color."""
    return SHADES[name].light


def series_color(index: int) -> str:
    """Return the light shade of the ``index``-th series; after the last color they start again."""
    return SERIES[index % len(SERIES)].light


def tint(shade: str, opacity: float = BAND_OPACITY) -> str:
    """Return a ``#rrggbb`` color made transparent, as ``rgba(r,g,b,a)``."""
    r, g, b = (int(shade[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{opacity})"


def dark_shades() -> dict[str, str]:
    """Return, for every light color that a figure may use, solid or tinted, its dark counterpart."""
    shades = [*SHADES.values(), *SERIES]
    solid = {shade.light: shade.dark for shade in shades}
    return solid | {tint(shade.light): tint(shade.dark) for shade in shades}
