"""Decoding: files, bytes and arrays become one uint8 array of upright, opaque, equally large images."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from subprocess import SubprocessError

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from distillab.data.examples import Pixels
from distillab.data.raw import Progress, RawImage, StoredBytes
from distillab.errors import RequestError
from distillab.modalities.decoded import Decoded
from distillab.modalities.image.canvas import Canvas
from distillab.modalities.image.formats import register_formats
from distillab.modalities.ordered_map import ordered_map

SMALLEST_SIDE = 4
"""Smallest side of an image, in pixels; below that there is nothing to convolve."""

# Images per task of a thread: enough to hide the cost of a task; fewer where they are large, because several
# tasks of images are in memory at a time.
_PER_TASK = 64
_BYTES_PER_TASK = 2**24
_ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258  # of TIFF

DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
    *(RuntimeError, SubprocessError),  # of AVIF and others; of Ghostscript
)
"""What Pillow's decoders raise on damaged files."""


def decode_images(
    images: Sequence[RawImage],
    names: Sequence[str],
    *,
    resolution: int | None,
    channels: int | None,
    progress: Progress | None = None,
) -> Decoded:
    """Decode all images in threads.

    Args:
        images: N images, see :data:`~distillab.data.raw.RawImage`.
        names: Their N names, for messages.
        resolution: Side of the square to resize to, or None.
        channels: 1, 3, or None: 1 if the pixels of every image are gray, whatever the file's mode, else 3.
        progress: Called with ``("decoding", done, N)``.

    Raises:
        RequestError: Images of different sizes without ``resolution``, an image below 4x4 pixels, none that
            can be decoded, or no room on the disk for what does not fit into memory.

    Example:
        >>> decode_images([np.zeros((9, 9), np.uint8)], ["a"], resolution=8, channels=None).items.shape
        (1, 1, 8, 8)
    """
    register_formats()
    canvas = Canvas(len(images), channels)
    broken: dict[int, str] = {}
    size = _per_task(images, resolution)
    starts = range(0, len(images), size)

    def decode_chunk(start: int) -> list[Pixels | str]:
        stop = min(start + size, len(images))
        wanted = channels or canvas.needed_channels  # after one color image, no other need be checked
        return [_decode_or_reason(images[i], names[i], resolution, wanted) for i in range(start, stop)]

    with closing(ordered_map(decode_chunk, starts)) as decoded:
        for start, chunk in zip(starts, decoded, strict=True):
            for row, image in enumerate(chunk, start):
                if isinstance(image, str):
                    broken[row] = image
                elif not canvas.fits(image):
                    raise _mixed_sizes(images)
                else:
                    canvas.add(image)
            if progress:
                progress("decoding", start + len(chunk), len(images))
    intact = np.ones(len(images), dtype=bool)
    intact[list(broken)] = False
    reasons = tuple((names[row], reason) for row, reason in broken.items())
    pixels = canvas.finished()
    if pixels is None:
        raise RequestError(f"none of {len(images)} images can be decoded: {reasons[0][0]}: {reasons[0][1]}")
    return Decoded(pixels, intact, reasons)


def _per_task(images: Sequence[RawImage], resolution: int | None) -> int:
    """Return the number of images per task, by the first known size: all are as large, or are resized."""
    sides = (resolution, resolution) if resolution is not None else next(_sizes(images), (1, 1))
    return max(1, min(_PER_TASK, _BYTES_PER_TASK // (3 * sides[0] * sides[1])))


def _sizes(images: Sequence[RawImage]) -> Iterator[tuple[int, int]]:
    """Yield sizes as displayed, without those of damaged files, which have none."""
    for image in images:
        with suppress(*DAMAGE):
            yield displayed_size(image)


def _decode_or_reason(
    image: RawImage, name: str, resolution: int | None, channels: int | None
) -> Pixels | str:
    try:
        return decode(image, resolution, channels)
    except RequestError as error:
        raise error.within(name) from None
    except UnidentifiedImageError:
        return "cannot be identified as an image"
    except DAMAGE as error:
        return f"{error}" or type(error).__name__


def decode(image: RawImage, resolution: int | None = None, channels: int | None = None) -> Pixels:
    """Return one image as uint8 ``[H, W]`` if it is gray, or ``[H, W, 3]`` in RGB.

    EXIF rotation is applied. Transparent images are composited on black, the value that padding adds around
    an image too, so that "nothing there" looks the same everywhere and hidden colors do not leak. 16-bit
    values are divided by 257 (65535 becomes 255), the same for every image, so that brightness stays
    comparable between images; the 12 bits of some TIFF files likewise (4095 becomes 255). Color becomes gray
    by the luma of ITU-R BT.601.

    Args:
        image: The image as its source has it.
        resolution: Side of the square to resize to, or None.
        channels: 1, 3, or None for as many as it needs.

    Raises:
        RequestError: The image is below 4x4 pixels.
        OSError, SyntaxError, ValueError or another error of Pillow's: The image is damaged.
    """
    picture = _open(image)
    width, height = picture.size
    if min(width, height) < SMALLEST_SIDE:
        raise RequestError(
            f"the image is {width}x{height} pixels", allowed=f"at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        )
    if channels == 1 and picture.mode != "L":
        picture = picture.convert("L")
    if resolution is not None and picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    if channels is None and pixels.ndim == 3 and _is_gray(pixels):
        return pixels[:, :, 0]
    return pixels


def _is_gray(pixels: Pixels) -> bool:
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    return bool((red == green).all() and (green == blue).all())


def _open(image: RawImage) -> Image.Image:
    """Return the image in mode L or RGB, loaded, upright and opaque."""
    if isinstance(image, np.ndarray):
        return Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if isinstance(image, StoredBytes):
        image = image.read()
    if not isinstance(image, (bytes, Path)):
        return _opaque(image())
    with Image.open(BytesIO(image) if isinstance(image, bytes) else image) as picture:
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        return _opaque(picture)


def _opaque(picture: Image.Image) -> Image.Image:
    """Return the picture in mode L or RGB, composited on black."""
    if picture.mode in ("L", "RGB") and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I"):
        return _eight_bit(picture)
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    if picture.mode == "1":
        return picture.convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture).convert("RGB")
    return picture.convert("RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Scale 16-bit gray (modes ``I;16*``, and ``I`` as 16-bit files are opened), or the 12 bits of some TIFF
    files, to 0..255."""
    values = np.asarray(picture).astype(np.int64)
    top = 4095 if getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE) == (12,) else 65535
    if values.min() < 0 or values.max() > top:
        raise ValueError("32-bit pixels have no agreed range")
    return Image.fromarray(((255 * values + top // 2) // top).astype(np.uint8))


def _mixed_sizes(images: Sequence[RawImage]) -> RequestError:
    """Return the error for images of different sizes; only headers are read to find the extremes."""
    sizes = sorted(_sizes(images), key=lambda size: (size[0] * size[1], size))
    (w, h), (wide, high) = sizes[0], sizes[-1]
    return RequestError(
        f"images have different sizes, from {w}x{h} to {wide}x{high} pixels",
        allowed="equally large images, or `resolution`, the side in pixels that all are resized to",
    )


def displayed_size(image: RawImage) -> tuple[int, int]:
    """Return width and height as displayed, from the header where there is one."""
    if isinstance(image, np.ndarray):
        return int(image.shape[1]), int(image.shape[0])
    if isinstance(image, StoredBytes):
        image = image.read()
    if not isinstance(image, (bytes, Path)):
        return image().size
    with Image.open(BytesIO(image) if isinstance(image, bytes) else image) as picture:
        width, height = picture.size
        return (height, width) if picture.getexif().get(_ORIENTATION) in _ROTATED else (width, height)
