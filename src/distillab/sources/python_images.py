"""Images and labels as Python objects have them: arrays, tensors, lists and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from distillab.data.examples import Pixels
from distillab.data.raw import RawImage
from distillab.errors import RequestError
from distillab.sources.npz import channels_last_images

IMAGES_ALLOWED = "uint8, or floats in [0, 1]"
LABELS_ALLOWED = "one whole number or name per image, or [N, K] of 0 and 1 for several labels per image"
_AS_THEY_ARE = ("L", "RGB")  # modes of pictures that are arrays already
_FEWEST_LEVELS = 8  # of 256; images that use fewer were probably divided by 255 twice
_CHUNK = 1024  # images that are converted at a time: a copy in floating point takes eight times the memory


@dataclass(frozen=True, eq=False)
class PythonSplit:
    """The examples of one split, as they were given.

    Attributes:
        items: N images, see :data:`~distillab.data.raw.RawImage`.
        labels: ``[N]`` numbers or names, or ``[N, K]`` of 0 and 1.
        classes: Names of the classes in the order of the labels; None if they are not known.
        floats: Whether the images were floats, of which 256 levels are kept.

    Example:
        >>> PythonSplit([np.zeros((8, 8), np.uint8)], np.array([3])).floats
        False
    """

    items: Sequence[RawImage]
    labels: npt.NDArray[Any]
    classes: tuple[str, ...] | None = None
    floats: bool = False


def is_array(value: Any) -> bool:
    """Return True for a NumPy array or a tensor.

    Example:
        >>> is_array(torch.zeros(2)), is_array([0, 0])
        (True, False)
    """
    return isinstance(value, np.ndarray | torch.Tensor)


def split_of_pair(images: Any, labels: Any, where: str) -> PythonSplit:
    """Return the examples of images and labels.

    Args:
        images: An array ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]`` with 1 or 3 channels, uint8 or
            floats in [0, 1], of NumPy or torch; or a list of pictures or of arrays.
        labels: N whole numbers or names, or label sets ``[N, K]`` of 0 and 1.
        where: The place of the data, for messages.

    Raises:
        RequestError: They are something else, or differ in number.

    Example:
        >>> split = split_of_pair(np.ones((2, 3, 8, 8)), ["a", "b"], "data")
        >>> split.items[0].shape, int(split.items[0].max()), split.floats
        ((8, 8, 3), 255, True)
    """
    array = labels_array(labels, where)
    whole = is_array(images) and not (isinstance(images, np.ndarray) and images.dtype == object)
    if whole:
        items, floats = array_images(images, where)
    elif isinstance(images, list | tuple | np.ndarray):
        converted = [item_image(image, f"{where}: image {row}") for row, image in enumerate(images)]
        items, floats = [item for item, _ in converted], any(was_float for _, was_float in converted)
    else:
        raise RequestError(
            f"images are of type {type(images).__name__}",
            where=where,
            allowed="a NumPy array, a tensor, or a list of pictures or arrays",
        )
    if len(items) != len(array):
        raise RequestError(f"{len(items)} images but {len(array)} labels", where=where)
    return PythonSplit(items, array, floats=floats)


def array_images(images: Any, where: str) -> tuple[list[RawImage], bool]:
    """Return the images of an array, uint8 ``[H, W]`` or ``[H, W, C]``, and whether they were floats.

    Raises:
        RequestError: The shape, the dtype or a value is not accepted.

    Example:
        >>> items, floats = array_images(torch.zeros(2, 1, 8, 8), "data")
        >>> items[0].shape, floats
        ((8, 8), True)
    """
    array = numpy_of(images)
    floats = array.dtype.kind == "f"
    if floats:
        array = _levels(array, where)
        if 0 < (brightest := int(array.max(initial=0))) < _FEWEST_LEVELS:
            raise RequestError(
                f"images are floats of which {brightest + 1} of 256 levels are left, for none is above "
                f"{float(numpy_of(images).max()):.2g}",
                where=where,
                allowed=f"{IMAGES_ALLOWED}, which are divided by their largest possible value once",
            )
    elif array.dtype != np.uint8:
        raise RequestError(f"images are {array.dtype}", where=where, allowed=IMAGES_ALLOWED)
    laid_out = channels_last_images(array, where)
    if laid_out.ndim == 4 and laid_out.shape[3] == 1:
        laid_out = laid_out[:, :, :, 0]
    return list(laid_out), floats


def item_image(image: Any, where: str) -> tuple[RawImage, bool]:
    """Return one image, and whether it had floats.

    Args:
        image: A picture of Pillow, or an array or tensor ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``.
        where: Its place, for messages.

    Raises:
        RequestError: It is something else, or has other values.

    Example:
        >>> item_image(Image.new("RGB", (8, 4)), "data")[0].shape
        (4, 8, 3)
    """
    if isinstance(image, Image.Image):
        if image.mode in _AS_THEY_ARE and "transparency" not in image.info:
            return np.asarray(image), False
        return image.copy, False  # the decoding converts its mode
    if not is_array(image):
        raise RequestError(
            f"this is of type {type(image).__name__}, which is no image",
            where=where,
            allowed="a picture of Pillow, an array or a tensor",
        )
    array = numpy_of(image)
    if array.ndim not in (2, 3):
        raise RequestError(
            f"the image has shape {list(array.shape)}", where=where, allowed="[H, W], [H, W, C] or [C, H, W]"
        )
    [item], floats = array_images(array[None], where)
    return item, floats


def labels_array(labels: Any, where: str) -> npt.NDArray[Any]:
    """Return labels as an array ``[N]`` or ``[N, K]``.

    Raises:
        RequestError: They are no list of equally long entries.

    Example:
        >>> labels_array(torch.tensor([[1], [0]]), "data").shape
        (2, 1)
    """
    if isinstance(labels, str | bytes) or not hasattr(labels, "__len__"):
        raise RequestError(f"labels are of type {type(labels).__name__}", where=where, allowed=LABELS_ALLOWED)
    values = numpy_of(labels) if is_array(labels) else [_plain(label) for label in labels]
    try:
        array = np.asarray(values)
    except ValueError:
        raise RequestError(
            "the labels of different images differ in number", where=where, allowed=LABELS_ALLOWED
        ) from None
    if array.ndim not in (1, 2):
        raise RequestError(f"labels have shape {list(array.shape)}", where=where, allowed=LABELS_ALLOWED)
    kinds = {isinstance(value, str) for value in values} if array.dtype.kind in "US" else set()
    if len(kinds) > 1:
        raise RequestError(
            "some labels are names and others are numbers", where=where, allowed=LABELS_ALLOWED
        )
    return array


def numpy_of(value: Any) -> npt.NDArray[Any]:
    """Return an array or a tensor as an array of NumPy.

    Example:
        >>> numpy_of(torch.ones(1, requires_grad=True))
        array([1.], dtype=float32)
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
    return np.asarray(value)


def _plain(label: Any) -> Any:
    """Return the label of one image as a number, a text or a list."""
    return numpy_of(label).tolist() if is_array(label) else label


def _levels(array: npt.NDArray[Any], where: str) -> Pixels:
    """Return floats in [0, 1] as 256 levels. Raises RequestError for other values."""
    levels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), _CHUNK):
        part = array[start : start + _CHUNK]
        lowest, highest = part.min(initial=1), part.max(initial=0)
        if not (lowest >= 0 and highest <= 1):  # NaN fails too
            raise RequestError(
                f"images are floats from {lowest:.4g} to {highest:.4g}",
                where=where,
                allowed=f"{IMAGES_ALLOWED}: without normalization, which is part of the training",
            )
        levels[start : start + _CHUNK] = np.rint(255 * part.astype(np.float64))
    return levels
