"""From files, pictures and arrays to the items that a model takes: the same pixels as in training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from distillab.data.examples import IMAGE, Items
from distillab.data.raw import RawImage
from distillab.deploy.description import ModelDescription
from distillab.errors import RequestError
from distillab.modalities.audio import AudioSettings, decode_recordings
from distillab.modalities.image.decoding import DAMAGE, decode
from distillab.modalities.image.formats import register_formats
from distillab.modalities.image.ground import NAMED_GROUNDS
from distillab.modalities.image.intensity import Intensity
from distillab.modalities.image.opening import MAX_PIXELS
from distillab.modalities.image.rendering import Rendering
from distillab.sources.npz import channels_last_images
from distillab.sources.python_images import item_image, numpy_of

IMAGES_TAKEN = "files of images, pictures of Pillow, or arrays of uint8 or of floats in [0, 1]"


def preprocess_images(inputs: Any, description: ModelDescription) -> npt.NDArray[np.uint8]:
    """Return images as a model takes them, uint8 ``[N, H, W, C]``.

    They are decoded, turned upright, put on the ground and into the range of values of the training images,
    made gray or RGB, and resized as the source of the training images did it.

    Args:
        inputs: A file, a picture of Pillow, an array ``[H, W]`` or ``[H, W, C]``; or several of these: a
            list, or an array ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]``.
        description: What the model is.

    Raises:
        RequestError: One of them is no image, or cannot be decoded.
    """
    register_formats()
    items = [preprocess_image(each, description, where) for each, where in each_image(inputs)]
    if not items:
        raise RequestError("there is no image", where="images", allowed=IMAGES_TAKEN)
    return np.stack(items)


def preprocess_image(image: Any, description: ModelDescription, where: str) -> npt.NDArray[np.uint8]:
    """Return one image as a model takes it, uint8 ``[H, W, C]``.

    Args:
        image: A file, encoded bytes, a picture of Pillow, or an array.
        description: What the model is.
        where: Its place, for messages.

    Raises:
        RequestError: It is no image, or cannot be decoded.
    """
    if description.modality != IMAGE:
        if isinstance(image, str | Path):
            return preprocess_file(Path(image), description)
        raise RequestError(
            f"this model takes {description.modality} features, not images",
            where=where,
            allowed="files of recordings, or features given to `probabilities`",
        )
    size = description.item
    side = size.height if size.is_square else None
    return _fitted(_decoded(image, side, size.channels, description, where), description)


def upright_picture(image: Any, description: ModelDescription, where: str | None = None) -> Image.Image:
    """Return an image in its own size, as it is displayed, in RGB.

    Args:
        image: A file, encoded bytes, a picture of Pillow, or an array.
        description: What the model is, for the range of values and the ground.
        where: Its place, for messages; by default the image.

    Raises:
        RequestError: It is no image, or cannot be decoded.
    """
    return Image.fromarray(_decoded(image, None, 3, description, where or str(image))).convert("RGB")


def _decoded(image: Any, side: int | None, channels: int, description: ModelDescription, where: str) -> Items:
    """Return the pixels of an image, uint8 ``[H, W]`` or ``[H, W, C]``. Raises RequestError."""
    raw = _raw_image(image, where)
    try:
        return decode(raw, side, channels, rendering_of(description))
    except FileNotFoundError:
        raise RequestError("there is no such file", where=where) from None
    except UnidentifiedImageError:
        raise RequestError("cannot be identified as an image", where=where, allowed=IMAGES_TAKEN) from None
    except DAMAGE as error:
        reason = f"{error}" or type(error).__name__
        raise RequestError(f"cannot be decoded: {reason}", where=where, allowed=IMAGES_TAKEN) from error


def preprocess_file(path: Path, description: ModelDescription) -> Items:
    """Return the content of a file as a model takes it: uint8 ``[H, W, C]``, or float32 ``[C, F, T]``.

    Args:
        path: An image, or a recording for a model of spectrograms.
        description: What the model is.

    Raises:
        RequestError: It cannot be read.
    """
    if description.modality == IMAGE:
        return preprocess_image(path, description, str(path))
    if not path.is_file():
        raise RequestError("there is no such file", where=str(path))
    try:
        settings = AudioSettings.model_validate(description.decoding)
        features = decode_recordings([path], [path.name], settings).items[:1]
    except RequestError as error:
        raise RequestError(f"cannot be decoded: {error.what}", where=str(path)) from error
    if features.shape[1:] != description.item.shape:
        raise RequestError(
            f"gives features {list(features.shape[1:])}",
            where=str(path),
            allowed=f"recordings as long as those of the training, {list(description.item.shape)}",
        )
    return np.asarray(features[0], np.float32)


def rendering_of(description: ModelDescription) -> Rendering:
    """Return how images with more than 8 bits, or with transparent parts, are rendered."""
    decoding = description.decoding
    intensity, ground = decoding.get("intensity"), decoding.get("background")
    if isinstance(ground, str):
        ground = NAMED_GROUNDS[ground]
    return Rendering(
        Intensity(*intensity) if intensity else None,
        tuple(ground) if ground else None,
        max_pixels=int(decoding.get("max_pixels", MAX_PIXELS)),
    )


def each_image(inputs: Any) -> Sequence[tuple[Any, str]]:
    """Return each of some images with its place, for messages. Raises RequestError if there is none."""
    if isinstance(inputs, str | Path | bytes | Image.Image):
        return [(inputs, _name(inputs, "image"))]
    if isinstance(inputs, list | tuple):
        return [(each, _name(each, f"image {row}")) for row, each in enumerate(inputs)]
    if not hasattr(inputs, "shape"):
        raise RequestError(f"{type(inputs).__name__} is no image", where="images", allowed=IMAGES_TAKEN)
    array = numpy_of(inputs)
    one = array.ndim == 2 or (array.ndim == 3 and (array.shape[2] in (1, 3) or array.shape[0] in (1, 3)))
    batch = [array] if one else list(channels_last_images(array, "images"))
    return [(each, f"image {row}") for row, each in enumerate(batch)]


def _name(value: Any, usual: str) -> str:
    return str(value) if isinstance(value, str | Path) else usual


def _raw_image(image: Any, where: str) -> RawImage:
    """Return one image in the form that the decoding of sources takes."""
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, bytes):
        return image
    if isinstance(image, Image.Image):
        image = ImageOps.exif_transpose(image)
    return item_image(image, where)[0]


def _fitted(pixels: Items, description: ModelDescription) -> npt.NDArray[np.uint8]:
    """Return a decoded image in the size and the channels of the model, uint8 ``[H, W, C]``."""
    size = description.item
    if pixels.shape[:2] != (size.height, size.width):
        picture = Image.fromarray(pixels).resize((size.width, size.height), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], size.channels, axis=2)
    return np.ascontiguousarray(pixels)
