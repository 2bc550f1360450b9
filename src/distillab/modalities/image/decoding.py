"""Decoding: files, bytes and arrays become one uint8 array of upright, opaque, equally large images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace

import numpy as np
from PIL import Image, UnidentifiedImageError

from distillab.data.examples import Pixels
from distillab.data.raw import Progress, RawImage
from distillab.errors import RequestError
from distillab.modalities.decoded import Decoded
from distillab.modalities.image.canvas import Canvas
from distillab.modalities.image.formats import register_formats
from distillab.modalities.image.opening import DAMAGE, displayed_size, opened, permissive_pillow
from distillab.modalities.image.rendering import (
    PixelSettings,
    Rendering,
    Survey,
    UndecidedError,
    pixel_notes,
)
from distillab.modalities.ordered_map import ordered_map

__all__ = ["DAMAGE", "SMALLEST_SIDE", "decode", "decode_images", "displayed_size"]

SMALLEST_SIDE = 4
"""Smallest side of an image, in pixels; below that there is nothing to convolve."""

# Images per task of a thread: enough to hide the cost of a task; fewer where they are large, because several
# tasks of images are in memory at a time.
_PER_TASK = 64
_BYTES_PER_TASK = 2**24


def decode_images(
    images: Sequence[RawImage],
    names: Sequence[str],
    *,
    resolution: int | None,
    channels: int | None,
    settings: PixelSettings | None = None,
    progress: Progress | None = None,
) -> Decoded:
    """Decode all images in threads.

    Where images have more than 8 bits or transparent parts, and ``settings`` do not state the range of values
    and the ground, all images are looked at first: what is decided is the same for each of them, and does not
    depend on their order.

    Args:
        images: N images, see :data:`~distillab.data.raw.RawImage`.
        names: Their N names, for messages.
        resolution: Side of the square to resize to, or None.
        channels: 1, 3, or None: 1 if the pixels of every image are gray, whatever the file's mode, else 3.
        settings: What is stated about the pixels.
        progress: Called with ``("decoding", done, N)``, and ``("surveying", done, N)`` before.

    Raises:
        RequestError: Images of different sizes without ``resolution``, none that can be decoded, or no room
            on the disk for what does not fit into memory.

    Example:
        >>> decode_images([np.zeros((9, 9), np.uint8)], ["a"], resolution=8, channels=None).items.shape
        (1, 1, 8, 8)
    """
    register_formats()
    settings = settings or PixelSettings()
    rendering, survey = settings.rendering(), None
    with permissive_pillow():
        try:
            decoded, counts = _decode_all(images, names, resolution, channels, rendering, progress)
        except UndecidedError:
            survey = _survey(images, resolution, channels, rendering, progress)
            rendering = survey.settle(rendering)
            decoded, counts = _decode_all(images, names, resolution, channels, rendering, progress)
    stated = settings.intensity != "auto"
    return replace(decoded, notes=pixel_notes(counts, len(images), rendering, survey, stated))


def _decode_all(
    images: Sequence[RawImage],
    names: Sequence[str],
    resolution: int | None,
    channels: int | None,
    rendering: Rendering,
    progress: Progress | None,
) -> tuple[Decoded, Counter[str]]:
    """Return the decoded images, and of how many each thing holds that is not plain."""
    canvas = Canvas(len(images), channels)
    broken: dict[int, str] = {}
    counts = Counter[str]()
    size = _per_task(images, resolution)
    starts = range(0, len(images), size)

    def decode_chunk(start: int) -> list[tuple[Pixels | str, set[str]]]:
        some = images[start : start + size]
        wanted = channels or canvas.needed_channels  # after one color image, no other need be checked
        return [_decode_or_reason(image, resolution, wanted, rendering) for image in some]

    with closing(ordered_map(decode_chunk, starts)) as decoded:
        for start, chunk in zip(starts, decoded, strict=True):
            for row, (image, found) in enumerate(chunk, start):
                if isinstance(image, str):
                    broken[row] = image
                elif not canvas.fits(image):
                    raise _mixed_sizes(images)
                else:
                    canvas.add(image)
                counts.update(found)
            if progress:
                progress("decoding", start + len(chunk), len(images))
    intact = np.ones(len(images), dtype=bool)
    intact[list(broken)] = False
    reasons = tuple((names[row], reason) for row, reason in broken.items())
    pixels = canvas.finished()
    if pixels is None:
        raise RequestError(f"none of {len(images)} images can be decoded: {reasons[0][0]}: {reasons[0][1]}")
    return Decoded(pixels, intact, reasons), counts


def _survey(
    images: Sequence[RawImage],
    resolution: int | None,
    channels: int | None,
    rendering: Rendering,
    progress: Progress | None,
) -> Survey:
    """Return what all images that can be decoded have in common."""
    survey = Survey(gray=channels == 1)
    size = _per_task(images, None)
    starts = range(0, len(images), size)

    def survey_chunk(start: int) -> Survey:
        part = Survey(gray=survey.gray)
        for image in images[start : start + size]:
            with suppress(*DAMAGE):
                part.add(opened(image, resolution, rendering.max_pixels))
        return part

    with closing(ordered_map(survey_chunk, starts)) as parts:
        for start, part in zip(starts, parts, strict=True):
            survey.join(part)
            if progress:
                progress("surveying", min(start + size, len(images)), len(images))
    return survey


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
    image: RawImage, resolution: int | None, channels: int | None, rendering: Rendering
) -> tuple[Pixels | str, set[str]]:
    """Return an image, or why it cannot be decoded, and what was found about it."""
    try:
        return _decode(image, resolution, channels, rendering)
    except UnidentifiedImageError:
        return "cannot be identified as an image", set()
    except UndecidedError:  # nothing is damaged: all images must be looked at first
        raise
    except DAMAGE as error:
        return f"{error}" or type(error).__name__, set()


def decode(
    image: RawImage,
    resolution: int | None = None,
    channels: int | None = None,
    rendering: Rendering | None = None,
) -> Pixels:
    """Return one image as uint8 ``[H, W]`` if it is gray, or ``[H, W, 3]`` in RGB.

    EXIF rotation is applied. Transparent images are composited on a ground, so that hidden colors do not
    leak; by default on black, the value that padding adds around an image too. Where an image has more than
    8 bits, one range of values becomes 0 to 255; by default that of its format (65535 becomes 255, and 4095
    in TIFF files of 12 bits), so that brightness stays comparable between images. Color becomes gray by the
    luma of ITU-R BT.601.

    Args:
        image: The image as its source has it.
        resolution: Side of the square to resize to, or None.
        channels: 1, 3, or None for as many as it needs.
        rendering: The range of values and the ground.

    Raises:
        OSError, SyntaxError, ValueError or another error of Pillow's: The image is damaged, below 4x4 pixels
            or above ``rendering.max_pixels``.

    Example:
        >>> decode(np.full((4, 4), 2**15, np.uint16))[0]
        array([128, 128, 128, 128], dtype=uint8)
    """
    with permissive_pillow():
        return _decode(image, resolution, channels, rendering or Rendering())[0]


def _decode(
    image: RawImage, resolution: int | None, channels: int | None, rendering: Rendering
) -> tuple[Pixels, set[str]]:
    read = opened(image, resolution, rendering.max_pixels)
    picture, found = rendering(read)
    if read.frames:
        found.add(read.frames)
    width, height = picture.size
    if min(width, height) < SMALLEST_SIDE:
        raise ValueError(f"it has {width}x{height} pixels, and {SMALLEST_SIDE}x{SMALLEST_SIDE} are needed")
    if channels == 1 and picture.mode != "L":
        picture = picture.convert("L")
    if resolution is not None and picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    if channels is None and pixels.ndim == 3 and _is_gray(pixels):
        return pixels[:, :, 0], found
    return pixels, found


def _is_gray(pixels: Pixels) -> bool:
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    return bool((red == green).all() and (green == blue).all())


def _mixed_sizes(images: Sequence[RawImage]) -> RequestError:
    """Return the error for images of different sizes; only headers are read to find the extremes."""
    large_enough = (size for size in _sizes(images) if min(size) >= SMALLEST_SIDE)
    sizes = sorted(large_enough, key=lambda size: (size[0] * size[1], size))
    (w, h), (wide, high) = sizes[0], sizes[-1]
    return RequestError(
        f"images have different sizes, from {w}x{h} to {wide}x{high} pixels",
        allowed="equally large images, or `resolution`, the side in pixels that all are resized to",
    )
