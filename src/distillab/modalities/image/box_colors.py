"""The colors in which boxes are drawn over pictures, by class."""

from __future__ import annotations

BOX_COLORS = ("#ffb000", "#4cc9ff", "#ff5fa2", "#5ee39b", "#c9a2ff", "#ff7847", "#f4f06a", "#8fb4ff")
"""Bright colors that can be told apart on most pictures, also with common color blindness."""


def box_color(label: int) -> str:
    """Return the color of a class, ``#rrggbb``; after the last color they start again.

    Example:
        >>> box_color(0) == box_color(len(BOX_COLORS))
        True
    """
    return BOX_COLORS[label % len(BOX_COLORS)]
