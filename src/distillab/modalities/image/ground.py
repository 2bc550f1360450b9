"""Ground: what shows through the transparent parts of images, so that what is drawn on them stays visible."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = tuple[int, int, int]

NAMED_GROUNDS: dict[str, Rgb] = {"black": (0, 0, 0), "white": (255, 255, 255), "gray": (128, 128, 128)}
"""The grounds that are tried, in order: the first one on which most images are visible."""

_VISIBLE = 32  # gray levels between ink and ground, on average over the ink


def with_alpha(picture: Image.Image) -> Image.Image | None:
    """Return a picture in mode RGBA if a part of it is transparent, else None."""
    if not picture.has_transparency_data:
        return None
    if picture.mode in ("La", "RGBa"):  # premultiplied
        picture = picture.convert(picture.mode[:-1] + "A")
    rgba = picture.convert("RGBA")
    lowest, _ = rgba.getchannel("A").getextrema()
    return rgba if isinstance(lowest, (int, float)) and lowest < 255 else None


def on_ground(rgba: Image.Image, ground: Rgb) -> Image.Image:
    """Return a picture of mode RGBA on a ground, in mode RGB."""
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (*ground, 255)), rgba).convert("RGB")


@dataclass
class Inks:
    """How many images are visible on each ground. The order of the images does not matter.

    Attributes:
        images: Number of images with transparent parts.
        empty: How many of them are transparent everywhere.
        visible: Number of images whose ink is visible on each of :data:`NAMED_GROUNDS`.

    Example:
        >>> inks = Inks()
        >>> icon = Image.new("RGBA", (8, 8))
        >>> icon.paste((0, 0, 0, 255), (2, 2, 6, 6))
        >>> inks.add(icon, gray=False)
        >>> inks.ground()
        'white'
    """

    images: int = 0
    empty: int = 0
    visible: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(NAMED_GROUNDS), np.int64))

    def add(self, rgba: Image.Image, *, gray: bool) -> None:
        """Count an image of mode RGBA, whose color will be lost if ``gray``."""
        self.images += 1
        alpha = np.asarray(rgba.getchannel("A"), dtype=np.float64)
        total = alpha.sum()
        if not total:
            self.empty += 1
            return
        ink = np.asarray(rgba.convert("L" if gray else "RGB"), dtype=np.int16)
        ink = ink.reshape(*alpha.shape, -1)
        for place, ground in enumerate(NAMED_GROUNDS.values()):
            contrast = np.abs(ink - ground[0]).max(axis=2)
            self.visible[place] += (alpha * contrast).sum() >= _VISIBLE * total

    def join(self, other: Inks) -> None:
        """Add the counts of other images."""
        self.images += other.images
        self.empty += other.empty
        self.visible += other.visible

    def ground(self) -> str:
        """Return the name of the first ground on which the most images are visible."""
        return list(NAMED_GROUNDS)[int(self.visible.argmax())]
