"""Images as data URIs: small ones exactly (PNG), larger ones as thumbnails (JPEG)."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.report.contents import Tile

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
EXACT_SIDE = 64  # pixels; up to here an image is embedded as it is
THUMBNAIL_SIDE = 152  # twice the side of a large tile, for dense screens
SMALL_SIDE = 40
JPEG_QUALITY = 85


def data_uri(image: npt.NDArray[np.uint8] | bytes) -> str:
    """An image as a ``data:`` URI.

    Args:
        image: uint8 ``[C, H, W]`` with C 1 or 3, or the bytes of a PNG file (embedded unchanged).

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(image, bytes):
        if not image.startswith(PNG_MAGIC):
            raise ValueError("image bytes of a report must be a PNG file")
        return _uri("image/png", image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"a picture is uint8 [1 or 3, H, W], not {image.dtype} {list(image.shape)}")
    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    if max(picture.size) <= EXACT_SIDE:
        picture.save(buffer, "PNG", optimize=True)
        return _uri("image/png", buffer.getvalue())
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return _uri("image/jpeg", buffer.getvalue())


def tile_side(tiles: Sequence[Tile]) -> int:
    """The side of a tile on the page, in CSS pixels: larger for images that have more to show."""
    sides = [_size(tile.image) for tile in tiles[:1]]
    return 46 if not sides or sides[0] <= SMALL_SIDE else 76


def _size(image: npt.NDArray[np.uint8] | bytes) -> int:
    if isinstance(image, bytes):
        return max(Image.open(io.BytesIO(image)).size)
    return int(max(image.shape[1:]))


def by_class(tiles: Sequence[Tile]) -> list[tuple[str, list[Tile]]]:
    """Tiles that follow each other with the same class as read, under that class."""
    return [(label, list(group)) for label, group in groupby(tiles, key=lambda tile: tile.label)]


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
