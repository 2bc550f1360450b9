"""Palette: two tones of a figure and two of its background, distinct in gray as well."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Tones = npt.NDArray[np.int32]
"""int32 ``[N, C]`` in 0..255."""

FIGURE_COLORS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "red": ((255, 110, 100), (175, 20, 30)),
    "green": ((110, 215, 100), (20, 105, 40)),
    "blue": ((115, 160, 255), (25, 50, 170)),
    "yellow": ((250, 220, 60), (130, 105, 0)),
    "purple": ((195, 130, 250), (100, 25, 150)),
    "cyan": ((90, 215, 220), (0, 100, 115)),
    "orange": ((255, 165, 60), (165, 75, 0)),
    "pink": ((255, 150, 205), (180, 25, 110)),
}
"""The light and the dark tone, RGB, of every color."""

GROUNDS = ("dark", "light")
_LEVELS = np.array([[24, 44], [236, 214]], dtype=np.int32)  # first and second tone of a background
_LUMA = np.array([299, 587, 114], dtype=np.int32)  # ITU-R BT.601, in thousandths


def figure_tones(color: npt.NDArray[np.int64], ground: npt.NDArray[np.int64]) -> tuple[Tones, Tones]:
    """Return the main tone of figures and the second, nearer to their ground: int32 ``[N, 3]`` each."""
    tones = np.array(list(FIGURE_COLORS.values()), dtype=np.int32)
    main, other = tones[color, ground], tones[color, 1 - ground]
    # A second tone as bright as the ground would look like holes instead of a texture.
    return main, other + (main - other) * 4 // 10


def ground_tones(ground: npt.NDArray[np.int64], tints: Tones) -> tuple[Tones, Tones]:
    """Return the two tones of backgrounds: levels of the ground plus ``tints``, int32 ``[N, 2, 3]``."""
    tones = np.clip(_LEVELS[ground][:, :, None] + tints, 0, 255)
    return tones[:, 0], tones[:, 1]


def gray(tones: Tones) -> Tones:
    """Convert RGB tones, int32 ``[N, 3]``, to gray: int32 ``[N, 1]``."""
    found: Tones = ((tones @ _LUMA + 500) // 1000)[:, None].astype(np.int32)
    return found
