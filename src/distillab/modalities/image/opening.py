"""Opening of images: any size, quietly, upright, and whatever their metadata look like."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from distillab.data.raw import RawImage, StoredBytes, regular_file

DAMAGE = (Exception,)
"""What Pillow's decoders raise on damaged files: errors of nearly every type, memory errors among them."""

MAX_PIXELS = 400_000_000
"""Width times height above which an image is not decoded unless `max_pixels` allows it: 1.6 GB in RGB."""

LARGE_PIXELS = 2 * 89_478_485
"""Above it Pillow refuses an image, and JPEG files that will be resized are decoded at a reduced scale."""

ANIMATED, MULTIPAGE = "animated", "multipage"

_ONE_AT_A_TIME = 50_000_000  # pixels; larger images are not decoded by several threads at once
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPED = (5, 6, 7, 8)  # orientations that swap width and height
_LOCK = threading.RLock()
_large = threading.Lock()
_depth = 0
_undo = contextlib.ExitStack()

# Without a handler Python prints warnings of Pillow's loggers to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextlib.contextmanager
def permissive_pillow() -> Iterator[None]:
    """Lift Pillow's own limit of pixels, which :func:`opened` replaces, and silence its warnings.

    Both are global in a process. The first thread that enters sets them, the last one that leaves restores
    them.
    """
    global _depth
    with _LOCK:
        if _depth == 0:
            _undo.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\b")
            _undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = None
        _depth += 1
    try:
        yield
    finally:
        with _LOCK:
            _depth -= 1
            if _depth == 0:
                _undo.close()


def header(image: bytes | Path | StoredBytes) -> Image.Image:
    """Return an image of which only the header is read; its pixels follow on demand."""
    if isinstance(image, StoredBytes):
        image = image.read()
    if isinstance(image, Path):
        regular_file(image)
    return Image.open(BytesIO(image) if isinstance(image, bytes) else image)


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image as its file has it.

    Attributes:
        source: Where it comes from.
        picture: The loaded picture, or an array; not turned upright yet.
        rawmode: How the file stores its pixels, in Pillow's words, where that is one value.
        turn: What turns it upright, if anything does.
        frames: :data:`ANIMATED` or :data:`MULTIPAGE` if the file holds further images.
    """

    source: RawImage
    picture: Image.Image | npt.NDArray[Any]
    rawmode: str | None = None
    turn: Image.Transpose | None = None
    frames: str | None = None

    def upright(self, picture: Image.Image) -> Image.Image:
        """Return a picture of the same orientation as it is displayed."""
        return picture if self.turn is None else picture.transpose(self.turn)


def opened(image: RawImage, resolution: int | None, max_pixels: int) -> OpenedImage:
    """Return an image, loaded.

    A JPEG file above :data:`LARGE_PIXELS` that will be resized is decoded at 1/2, 1/4 or 1/8 of its scale,
    to no less than twice the resolution. Metadata that are damaged leave an image as it is stored.

    Raises:
        ValueError: The image has more pixels than ``max_pixels``.
        OSError, SyntaxError, ValueError or another error of Pillow's: The image is damaged.
    """
    if isinstance(image, np.ndarray):
        return OpenedImage(image, image)
    if not isinstance(image, (bytes, Path, StoredBytes)):
        return OpenedImage(image, image())
    with header(image) as picture:
        if resolution is not None and picture.width * picture.height > LARGE_PIXELS:
            picture.draft(None, (2 * resolution, 2 * resolution))
        pixels = picture.width * picture.height
        if pixels > max_pixels:
            size = f"{picture.width}x{picture.height} are {pixels:,} pixels"
            raise ValueError(f"{size}, and `max_pixels` allows {max_pixels:,}")
        rawmode, frames = _rawmode(picture), _several_frames(picture)  # loading changes both
        if isinstance(picture, TiffImageFile):
            _forgive_metadata(picture)
        with _large if pixels > _ONE_AT_A_TIME else contextlib.nullcontext():
            picture.load()
        return OpenedImage(image, picture, rawmode, _TURNS.get(_orientation(picture)), frames)


def _forgive_metadata(picture: TiffImageFile) -> None:
    """Let a TIFF file be loaded although the metadata that Pillow reads after its pixels are damaged."""
    end = picture.load_end

    def load_end() -> None:
        try:
            end()
        except DAMAGE:  # not turned upright: its size is that of its pixels
            picture._size = picture.im.size

    setattr(picture, "load_end", load_end)  # noqa: B010  # of this one file, and not of its class


def _rawmode(picture: Image.Image) -> str | None:
    for _, _, _, arguments in getattr(picture, "tile", ()):
        name = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        return name if isinstance(name, str) else None
    return None


def _orientation(picture: Image.Image) -> int:
    """Return the orientation that EXIF or XMP state and that Pillow has not applied itself; 1 if none."""
    try:
        found = picture.getexif().get(_ORIENTATION)
    except DAMAGE:
        found = picture.tag_v2.get(_ORIENTATION) if isinstance(picture, TiffImageFile) else 1
    return found if isinstance(found, int) else 1


def _several_frames(picture: Image.Image) -> str | None:
    """Return :data:`ANIMATED` or :data:`MULTIPAGE` if a file holds several images, else None.

    The further images of an MPO file, previews and depth maps of a camera, do not count.
    """
    if picture.format == "MPO":
        return None
    try:
        several = bool(getattr(picture, "is_animated", False))
    except DAMAGE:
        return None
    return (MULTIPAGE if picture.format == "TIFF" else ANIMATED) if several else None


def displayed_size(image: RawImage) -> tuple[int, int]:
    """Return width and height as displayed, from the header where there is one."""
    if isinstance(image, np.ndarray):
        return int(image.shape[1]), int(image.shape[0])
    if not isinstance(image, (bytes, Path, StoredBytes)):
        return image().size
    with permissive_pillow(), header(image) as picture:
        width, height = picture.size
        if picture.format == "PNG" and "exif" not in picture.info and width * height > _ONE_AT_A_TIME:
            return width, height  # Pillow would decode the image in search of EXIF behind it
        swapped = _orientation(picture) in _SWAPPED
        if picture.format == "TIFF":  # some versions of Pillow have swapped these already
            stored = getattr(picture, "tag_v2", {})
            swapped = swapped and (width, height) == (stored.get(256), stored.get(257))
        return (height, width) if swapped else (width, height)
