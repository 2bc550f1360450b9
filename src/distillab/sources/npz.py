"""The ``npz`` source: NumPy arrays in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.machine import free_memory
from distillab.sources.labels import encode_indicators, encode_labels
from distillab.sources.source import ImageSource, RawSplit, RawSplits, SourcePath, source

# (images, labels) by split, by the names of Keras, of MedMNIST, and of one set without splits.
NAMINGS: tuple[dict[str, tuple[str, str]], ...] = (
    {split: (f"x_{split}", f"y_{split}") for split in ("train", "val", "test")},
    {split: (f"{split}_images", f"{split}_labels") for split in ("train", "val", "test")},
    {"train": ("images", "labels")},
)


@source("npz")
class Npz(ImageSource):
    """NumPy arrays in one .npz file: x_train, y_train, x_test, y_test, or images and labels.

    Images are ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]`` with 1 or 3 channels: uint8, or other
    numbers, of which ``intensity`` states the values that become black and white. Labels are
    ``[N]`` or ``[N, 1]``, or label sets ``[N, K]`` of 0 and 1 (-1 where uncertain). Val arrays (x_val, y_val)
    and MedMNIST's names (train_images, train_labels, ...) are accepted too, and ``class_names`` names the
    labels 0, 1, 2, ...

    Attributes:
        path: The file.

    Example:
        >>> Npz(path="medmnist/pathmnist.npz").dataset_name
        'pathmnist'
    """

    argument: ClassVar[str | None] = "path"

    path: SourcePath

    def default_name(self) -> str:
        return self.path.stem

    def read(self) -> RawSplits:
        where = str(self.path)
        if not self.path.is_file():
            raise RequestError("there is no such file", where=where)
        try:
            archive = np.load(self.path, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise RequestError("this is a single array", where=where, allowed="an .npz file")
            with archive:
                _check_memory(archive, where)
                return self._read(archive)
        except RequestError:
            raise
        except Exception as error:  # zipfile and numpy raise errors of many types
            raise RequestError(f"cannot be read: {error}", where=where, allowed="an .npz file") from error

    def _read(self, archive: Any) -> RawSplits:
        where = str(self.path)
        naming = next((n for n in NAMINGS if set(n["train"]) <= set(archive.files)), None)
        if naming is None:
            raise RequestError(
                f"holds {', '.join(sorted(archive.files)) or 'nothing'}",
                where=where,
                allowed=" or ".join(" and ".join(n["train"]) for n in NAMINGS),
            )
        images: dict[str, npt.NDArray[Any]] = {}
        labels: dict[str, npt.NDArray[Any]] = {}
        for split, (image_key, label_key) in naming.items():
            if split in self.unused_splits:
                continue
            if split != "train" and image_key not in archive.files and label_key not in archive.files:
                continue
            for key in (image_key, label_key):
                if key not in archive.files:
                    raise RequestError(f"array {key!r} is missing", where=where)
            _check_lengths(archive, (image_key, label_key), where)
            images[split] = channels_last_images(archive[image_key], f"{where}: {image_key}")
            labels[split] = archive[label_key]
        names = [str(n) for n in archive["class_names"].tolist()] if "class_names" in archive.files else None
        classes, encoded = array_targets(labels, names, where)
        splits = {
            split: RawSplit(list(array), encoded[split], [f"{split}[{row}]" for row in range(len(array))])
            for split, array in images.items()
        }
        return RawSplits(classes, splits["train"], splits.get("val"), splits.get("test"))


def _check_memory(archive: Any, where: str) -> None:
    """Raise RequestError unless the arrays of a file fit into memory, before any of them is expanded."""
    size, free = sum(each.file_size for each in archive.zip.infolist()), free_memory()
    if size > free:
        raise RequestError(
            f"its arrays have {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free",
            where=where,
            allowed="fewer images, or a folder or Parquet files of them, which are read in parts",
        )


def _check_lengths(archive: Any, keys: tuple[str, str], where: str) -> None:
    """Raise RequestError unless there are as many images as labels, by their headers."""
    shapes = [_shape(archive, key, where) for key in keys]
    images, labels = (shape[0] if shape else 0 for shape in shapes)
    if images != labels:
        raise RequestError(f"{images} images but {labels} labels", where=f"{where}: {', '.join(keys)}")


def _shape(archive: Any, key: str, where: str) -> tuple[int, ...]:
    """Return the shape of an array from its header. Raises RequestError if its bytes are not there."""
    member = archive.zip.getinfo(f"{key}.npy")
    with archive.zip.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        if math.prod(shape) * dtype.itemsize > member.file_size - file.tell():
            raise RequestError(f"has shape {list(shape)}, and fewer bytes", where=f"{where}: {key}")
    return tuple(shape)


def array_targets(
    labels: Mapping[str, npt.NDArray[Any]], names: list[str] | None, where: str
) -> tuple[tuple[str, ...], Mapping[str, Targets]]:
    """Return class names, and the labels or label sets of each split.

    Args:
        labels: By split, labels ``[N]`` or ``[N, 1]``, or label sets ``[N, K]`` of 0 and 1.
        names: Names in the order of the labels, or None.
        where: The place of the labels, for messages.

    Raises:
        RequestError: Labels are not of one of these forms, or differ in number from the names.

    Example:
        >>> array_targets({"train": np.array([1, 0])}, ["cat", "dog"], "labels")[0]
        ('cat', 'dog')
    """
    widths = {array.shape[1] if array.ndim == 2 else 1 for array in labels.values()}
    if widths == {1}:
        return encode_labels(labels, names, where)
    width = max(widths)
    if len(widths) > 1 or len(names or [""] * width) != width:
        raise RequestError("labels and class names differ in number", where=where)
    classes = tuple(names or map(str, range(width)))
    return classes, {
        split: encode_indicators(dict(zip(classes, array.T, strict=True)), "zeros", f"{where}: {split}")
        for split, array in labels.items()
    }


def channels_last_images(array: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Return images as ``[N, H, W]`` or ``[N, H, W, C]``. Raises RequestError for other shapes and dtypes."""
    shape = list(array.shape)
    if array.dtype.kind not in "buif":
        raise RequestError(f"images are {array.dtype}", where=where, allowed="uint8, or other real numbers")
    if array.ndim == 3:
        return array
    if array.ndim == 4 and shape[3] in (1, 3):
        return array
    if array.ndim == 4 and shape[1] in (1, 3):
        return array.transpose(0, 2, 3, 1)
    allowed = "[N, H, W], [N, H, W, C] or [N, C, H, W] with C of 1 or 3"
    if array.ndim == 4 and 4 in (shape[1], shape[3]):
        raise RequestError(f"images have 4 channels: shape {shape}", where=where, allowed=allowed)
    raise RequestError(f"images have shape {shape}", where=where, allowed=allowed)
