"""Intensity: the range of values that becomes black to white, where images have more than 8 bits."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.data.examples import Pixels
from distillab.data.raw import StoredBytes
from distillab.modalities.image.opening import DAMAGE, OpenedImage, header

RawPixels = npt.NDArray[Any]
PixelDepth = Literal["12-bit", "16-bit", "integer", "float"]

_BITS_PER_SAMPLE, _NO_DATA = 258, 42113  # of TIFF; the second is GDAL's
_COLOR = re.compile(r"(RGBA?);16([LBN])")
_GRAY_ALPHA = "LA;16B"
_LAST = {"12-bit": 4095.0, "16-bit": 65535.0}
_CUSTOMARY = {
    "12-bit": ((0.0, 4095.0),),
    "16-bit": ((0.0, 255.0), (0.0, 65535.0)),
    "integer": ((0.0, 255.0), (0.0, 65535.0)),
    "float": ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0)),
}
_STRAY = 1e-4  # share of the values at either end that may be stray, such as dead pixels
_STRETCHED = 4  # values are stray if without them the range is this many times smaller
_BINS = 2**16


@dataclass(frozen=True)
class Intensity:
    """A range of values.

    Attributes:
        low: What becomes 0; values below it do as well.
        high: What becomes 255; values above it do as well.

    Example:
        >>> Intensity(0, 4095).eight_bits(np.array([0, 1000, 4095], np.uint16)).tolist()
        [0, 62, 255]
    """

    low: float
    high: float

    def eight_bits(self, values: RawPixels) -> Pixels:
        """Return values as uint8 of the same shape, rounded; NaN becomes 0."""
        if values.dtype.kind in "iu" and float(self.low).is_integer() and float(self.high).is_integer():
            low, span = int(self.low), int(self.high) - int(self.low)
            inside = np.clip(values.astype(np.int64), low, low + span) - low
            return np.asarray((255 * inside + span // 2) // span, dtype=np.uint8)
        scaled = 255 * ((values.astype(np.float64) - self.low) / (self.high - self.low))
        return np.asarray(np.rint(np.nan_to_num(scaled, nan=0.0).clip(0, 255)), dtype=np.uint8)


@dataclass
class Histogram:
    """Counts of values over many images, and their extremes. The order of the images does not matter.

    The bins are those of bfloat16: signed, with 8 bits of precision at any magnitude.

    Example:
        >>> counted = Histogram()
        >>> counted.add(np.array([3, 300]), "16-bit")
        >>> counted.range()
        Intensity(low=3.0, high=300.0)
    """

    low: float = np.inf
    high: float = -np.inf
    images: int = 0
    depths: set[PixelDepth] = field(default_factory=set)
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, values: RawPixels, depth: PixelDepth) -> None:
        """Count the values of one image; those that are not finite are left out."""
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
        self.images += 1
        self.depths.add(depth)
        if finite.size:
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
            self.counts += np.bincount(_keys(finite), minlength=_BINS)

    def join(self, other: Histogram) -> None:
        """Add the counts of other images."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.images += other.images
        self.depths |= other.depths
        self.counts += other.counts

    @property
    def depth(self) -> PixelDepth:
        """The depth that all images have in common."""
        if len(self.depths) == 1:
            return next(iter(self.depths))
        return "float" if "float" in self.depths else "integer" if "integer" in self.depths else "16-bit"

    def range(self) -> Intensity:
        """Return the range that keeps the gray levels.

        A customary range (that of 8 or 16 bits, of 12 bits if all files have these, or 0 to 1 or -1 to 1 of
        floats) if it holds all values and they span half of it; else the smallest and the largest value. If
        a ten-thousandth of the values at the ends would take three quarters of the range, they are cut off.
        """
        if self.low > self.high:
            return Intensity(0.0, 1.0)
        bulk = self._bulk()
        if bulk.high > bulk.low and self.high - self.low > _STRETCHED * (bulk.high - bulk.low):
            return bulk
        for low, high in _CUSTOMARY[self.depth]:
            if low <= self.low and self.high <= high and 2 * (self.high - self.low) >= high - low:
                return Intensity(low, high)
        return Intensity(self.low, self.high if self.high > self.low else self.low + 1)

    def _bulk(self) -> Intensity:
        """Return the range without stray values, to the precision of a bin."""
        below = np.cumsum(self.counts)
        stray = int(_STRAY * below[-1]) + 1
        first = int(np.searchsorted(below, stray, side="right"))
        last = int(np.searchsorted(below, below[-1] - stray, side="left"))
        if last < first:
            return Intensity(self.low, self.low)
        ends = [_value(first, 0), _value(first, 0xFFFF), _value(last, 0), _value(last, 0xFFFF)]
        return Intensity(max(self.low, min(ends[:2])), min(self.high, max(ends[2:])))


def _keys(values: RawPixels) -> npt.NDArray[np.int64]:
    """Return the bin of each value: bins ascend as values do."""
    bits = values.astype(np.float32).ravel().view(np.uint32) >> np.uint32(16)
    negative = bits >= 0x8000
    return np.where(negative, 0xFFFF - bits.astype(np.int64), bits.astype(np.int64) + 0x8000)


def _value(key: int, rest: int) -> float:
    """Return the value at one end of a bin; ``rest`` is 0 or 0xFFFF."""
    bits = key - 0x8000 if key >= 0x8000 else 0xFFFF - key
    return float(np.array([(bits << 16) | rest], np.uint32).view(np.float32)[0])


def depth_of(picture: Image.Image | RawPixels) -> PixelDepth | None:
    """Return the depth of an image without color that has more than 8 bits, else None."""
    if isinstance(picture, np.ndarray):
        kind = picture.dtype
        if kind == np.uint8 or kind == np.bool_:
            return None
        return "16-bit" if kind == np.uint16 else "float" if kind.kind == "f" else "integer"
    if picture.mode.startswith("I"):
        tags = getattr(picture, "tag_v2", {})
        if tags.get(_BITS_PER_SAMPLE) == (12,):
            return "12-bit"
        return "16-bit" if picture.mode != "I" else "integer"
    return "float" if picture.mode == "F" else None


def values_of(picture: Image.Image | RawPixels) -> RawPixels:
    """Return the values of an image; those that a TIFF file declares to be no data are NaN."""
    if isinstance(picture, np.ndarray):
        return picture
    values = np.asarray(picture)
    declared = getattr(picture, "tag_v2", {}).get(_NO_DATA)
    try:
        nothing = float(str(declared).strip("\0 ")) if declared is not None else np.nan
    except ValueError:
        nothing = np.nan
    if nothing == nothing and (values == nothing).any():
        return np.where(values == nothing, np.nan, values.astype(np.float64))
    return values


def is_deep_color(opened: OpenedImage) -> bool:
    """Return True for 16 bits per channel in color or gray with alpha, of which Pillow keeps the upper 8."""
    return opened.rawmode == _GRAY_ALPHA or (
        opened.rawmode is not None and _COLOR.fullmatch(opened.rawmode) is not None
    )


def color_values(opened: OpenedImage) -> RawPixels | None:
    """Return a color image in all of its 16 bits, uint16 ``[H, W, 3 or 4]``, or None if that is impossible.

    The lower bytes are read by decoding the file once more in the other order of bytes. Gray with alpha
    becomes color with alpha.
    """
    if opened.rawmode == _GRAY_ALPHA and isinstance(opened.source, (bytes, Path, StoredBytes)):
        return _gray_alpha_values(opened.source)
    image, match = opened.source, _COLOR.fullmatch(opened.rawmode or "")
    if match is None or not isinstance(image, (bytes, Path, StoredBytes)):
        return None
    order = match[2] if match[2] != "N" else ("L" if sys.byteorder == "little" else "B")
    other = f"{match[1]};16{'B' if order == 'L' else 'L'}"
    with header(image) as picture:
        _set_rawmode(picture, other)
        try:
            lower = np.asarray(picture)
        except DAMAGE:  # this version of Pillow does not read that order of bytes
            return None
    upper = np.asarray(opened.picture)
    return upper.astype(np.uint16) * 256 + lower if lower.shape == upper.shape else None


def _gray_alpha_values(image: bytes | Path | StoredBytes) -> RawPixels:
    """Return gray with alpha as uint16 ``[H, W, 4]``: its two pairs of bytes are read as four channels."""
    with header(image) as picture:
        _set_rawmode(picture, "RGBA")
        picture._mode = "RGBA"
        pairs = np.asarray(picture).astype(np.uint16)
    gray, alpha = (pairs[:, :, first] * 256 + pairs[:, :, first + 1] for first in (0, 2))
    return np.stack([gray, gray, gray, alpha], axis=2)


def _set_rawmode(picture: Image.Image, rawmode: str) -> None:
    """Set the mode in which the pixels of a picture, of which only the header was read, will be decoded."""
    tiles = [_with_rawmode(tile, rawmode) for tile in getattr(picture, "tile", ())]
    setattr(picture, "tile", tiles)  # noqa: B010  # of files alone, which the type does not know


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    arguments = tile[3]
    changed = (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode
    return type(tile)(*tile[:3], changed)
