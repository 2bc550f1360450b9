"""Examples on the page: pictures and sounds as data URIs, and how tiles are arranged."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.report.contents.pictures import Pictures, Tile

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
EXACT_SIDE = 64  # pixels; images up to this side are embedded unchanged
THUMBNAIL_SIDE = 152  # twice the side of a large tile, for dense screens
SMALL_SIDE = 40
SHORT_LABEL = 4  # characters that fit below a small tile
SMALL_TILE, LARGE_TILE = 46, 76  # CSS pixels
SETS_TILE, SOUND_TILE = 96, 150  # for several labels, and for a player
JPEG_QUALITY = 85
NO_LABEL = "no label"


def data_uri(image: npt.NDArray[np.uint8] | bytes, side: int = THUMBNAIL_SIDE) -> str:
    """Return an image as a ``data:`` URI: small ones exactly (PNG), larger ones as thumbnails (JPEG).

    Args:
        image: uint8 ``[C, H, W]`` with C 1 or 3, or the bytes of a PNG file (embedded unchanged).
        side: Pixels per side of a thumbnail at most.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(image, bytes):
        _png_size(image)
        return _uri("image/png", image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"a picture must be uint8 [1 or 3, H, W], not {image.dtype} {list(image.shape)}")
    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    if max(picture.size) <= EXACT_SIDE:
        picture.save(buffer, "PNG", optimize=True)
        return _uri("image/png", buffer.getvalue())
    picture.thumbnail((side, side))
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return _uri("image/jpeg", buffer.getvalue())


def sound_uri(sound: bytes) -> str:
    """Return a WAV file as a ``data:`` URI."""
    return _uri("audio/wav", sound)


def tile_side(pictures: Pictures) -> int:
    """Return the side of a tile in CSS pixels.

    It is larger for players, for several labels, for larger images and for long labels.
    """
    if has_sounds(pictures):
        return SOUND_TILE
    if pictures.several_labels:
        return SETS_TILE
    tiles = _tiles(pictures)
    long_label = any(len(labels_text(tile.new_labels)) > SHORT_LABEL and tile.changed for tile in tiles)
    sizes = (
        _png_size(tile.picture) if isinstance(tile.picture, bytes) else tile.picture.shape[1:]
        for tile in tiles[:1]
    )
    large = long_label or any(max(size) > SMALL_SIDE for size in sizes)
    return LARGE_TILE if large else SMALL_TILE


def has_sounds(pictures: Pictures) -> bool:
    """Return True if any example can be played."""
    return any(tile.sound for tile in _tiles(pictures))


def _tiles(pictures: Pictures) -> list[Tile]:
    return [tile for strip in (pictures.before, *pictures.after) for tile in strip.tiles]


def labels_text(labels: Sequence[str] | None) -> str:
    """Return the labels of an example in one line."""
    return ", ".join(labels or ()) or NO_LABEL


def grouped_tiles(pictures: Pictures, tiles: Sequence[Tile]) -> list[tuple[str, list[Tile]]]:
    """Return tiles under headings: the class as read, and "added" for those that the factor added.

    If examples may have several labels, only added ones have a heading.
    """

    def heading(tile: Tile) -> str:
        if tile.added:
            return "added"
        return "" if pictures.several_labels else labels_text(tile.labels)

    return [(title, list(group)) for title, group in groupby(tiles, key=heading)]


def _png_size(content: bytes) -> tuple[int, int]:
    """Return width and height from the header of a PNG file, or raise ValueError for anything else."""
    if not content.startswith(PNG_MAGIC) or len(content) < 24:
        raise ValueError("the bytes of a picture must be a PNG file")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
