"""Encoded images of every kind of pixel."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.modalities import Decoded
from distillab.modalities.image.decoding import decode_images
from distillab.modalities.image.rendering import PixelSettings

Array = npt.NDArray[Any]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return a file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def of(array: Array, kind: str = "PNG", **options: Any) -> bytes:
    """Return a file of an array."""
    return encoded(Image.fromarray(array), kind, **options)


def png16(values: Array) -> bytes:
    """Return a PNG file of 16 bits per channel: uint16 ``[H, W, 2 to 4]``, which Pillow cannot write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(data: bytes, side: int, **tags: int) -> bytes:
    """Return an uncompressed little-endian TIFF file of one strip.

    Args:
        data: The strip.
        side: Width and height.
        tags: Further tags or other values of them, such as ``t258=12``.
    """
    entries = {256: side, 257: side, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: side, 279: len(data)}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    listed = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(entries.items()))
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(entries)) + listed + struct.pack("<I", 0)


def decoded(
    images: list[Any], resolution: int | None = None, channels: int | None = None, **settings: Any
) -> Decoded:
    """Return the images decoded under some pixel settings."""
    names = [f"image {i}" for i in range(len(images))]
    return decode_images(
        images, names, resolution=resolution, channels=channels, settings=PixelSettings(**settings)
    )


def gray_levels(images: list[Any], **settings: Any) -> Array:
    """Return the decoded pixels of gray images of one size, uint8 ``[N, H, W]``."""
    return np.asarray(decoded(images, **settings).items[:])[:, 0]
