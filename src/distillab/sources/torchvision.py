"""The ``torchvision`` source: the classes of ``torchvision.datasets`` by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from distillab.data.raw import RawImage
from distillab.errors import RequestError, unknown_name
from distillab.sources.labels import encode_labels
from distillab.sources.npz import channels_last_images
from distillab.sources.source import ImageSource, RawSplit, RawSplits, SourcePath, source

# The names of torchvision's ``split=`` arguments; of several, the first that a class accepts is used.
SPLIT_CHOICES = {"train": ("train", "trainval"), "val": ("val", "valid", "validation"), "test": ("test",)}

# Arguments that are set by keys of the source, and are no options.
RESERVED = {"root": "`root`", "download": "`download`", "train": "nothing: both splits are read"}


@source("torchvision")
class Torchvision(ImageSource):
    """A class of torchvision.datasets by name, such as FashionMNIST, CIFAR10 or SVHN.

    Attributes:
        dataset: The name of the class.
        root: The folder that torchvision keeps the files in, relative to the study file.
        download: Whether missing files are downloaded.
        options: Further arguments of the constructor, such as ``{split: letters}`` for EMNIST.

    Example:
        >>> Torchvision(dataset="FashionMNIST").entry()
        {'source': 'torchvision', 'dataset': 'FashionMNIST'}
    """

    argument: ClassVar[str | None] = "dataset"

    dataset: str
    root: SourcePath = Field(default=Path("data"), validate_default=True)
    download: bool = False
    options: dict[str, object] = Field(default_factory=dict)

    def default_name(self) -> str:
        return self.dataset

    def read(self) -> RawSplits:
        constructors = dataset_constructors()
        if self.dataset not in constructors:
            raise unknown_name("torchvision dataset", self.dataset, constructors, where="dataset")
        splits = self._load(constructors[self.dataset])
        labels = {split: _labels(data) for split, data in splits.items()}
        names = getattr(splits["train"], "classes", None)
        named = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
        classes, encoded = encode_labels(labels, list(names) if named and names else None, self.dataset)
        raw = {
            split: RawSplit(
                _images(data, f"{self.dataset}: {split}"),
                encoded[split],
                [f"{split}[{row}]" for row in range(len(encoded[split]))],
            )
            for split, data in splits.items()
        }
        return RawSplits(classes, raw["train"], raw.get("val"), raw.get("test"))

    def check_paths(self) -> None:
        """Accept any root: torchvision finds the dataset there, or downloads it into a new folder."""

    def _load(self, constructor: Callable[..., Any]) -> dict[str, object]:
        """Return a torchvision dataset per split, train first."""
        known = inspect.signature(constructor).parameters
        for option in self.options:
            if option in RESERVED:
                raise RequestError(f"{option!r} is not an option", where="options", allowed=RESERVED[option])
            if option not in known:
                raise unknown_name(f"argument of {self.dataset}", option, known, where="options")
        fixed = {**({"download": self.download} if "download" in known else {}), **self.options}
        if "train" in known:
            return {
                "train": self._construct(constructor, train=True, **fixed),
                "test": self._construct(constructor, train=False, **fixed),
            }
        if "split" not in known or "split" in self.options:
            return {"train": self._construct(constructor, **fixed)}
        splits: dict[str, object] = {}
        for split, choices in SPLIT_CHOICES.items():
            for choice in choices:
                loaded = self._construct(constructor, split=choice, **fixed)
                if loaded is not None:
                    splits[split] = loaded
                    break
        if "train" not in splits:
            raise RequestError(f"torchvision's {self.dataset} has no train split", where="dataset")
        return splits

    def _construct(self, constructor: Callable[..., Any], **arguments: Any) -> Any:
        """Return the dataset, or None if it does not have the split."""
        try:
            return constructor(root=str(self.root), **arguments)
        except (RuntimeError, OSError, ValueError, TypeError, ModuleNotFoundError) as error:
            # torchvision refuses an unknown split, and only that, with a ValueError that names the argument
            if isinstance(error, ValueError) and "argument split" in str(error):
                return None
            if self.download or isinstance(error, (ValueError, TypeError, ModuleNotFoundError)):
                raise RequestError(f"torchvision's {self.dataset} cannot be made: {error}") from None
            raise RequestError(
                f"the files of torchvision's {self.dataset} are missing or damaged",
                where=str(self.root),
                allowed="`root`, the folder that holds them, or `download: true` to fetch them",
            ) from None


def dataset_constructors() -> dict[str, Callable[..., Any]]:
    """Return the classes of ``torchvision.datasets`` that read files below a ``root``, by name."""
    from torchvision import datasets

    found: dict[str, Callable[..., Any]] = {}
    for name in datasets.__all__:
        entry = getattr(datasets, name)
        if isinstance(entry, type) and issubclass(entry, datasets.VisionDataset):
            parameters = inspect.signature(entry).parameters
            if "root" in parameters and (
                "train" in parameters or "split" in parameters or "download" in parameters
            ):
                found[name] = entry
    return found


def _images(data: Any, where: str) -> list[RawImage]:
    """Return the images of a torchvision dataset: views of its array if it has one, else a loader each."""
    array = getattr(data, "data", None)
    if isinstance(array, np.ndarray) or hasattr(array, "numpy"):
        pixels = array if isinstance(array, np.ndarray) else array.numpy()  # type: ignore[union-attr]
        return list(channels_last_images(pixels, where))
    return [partial(_load_image, data, row) for row in range(len(data))]


def _load_image(data: Any, row: int) -> Image.Image:
    image = data[row][0]
    if not isinstance(image, Image.Image):
        raise ValueError(f"{type(image).__name__} is not an image")
    return image


def _labels(data: Any) -> npt.NDArray[Any]:
    """Return the labels of a torchvision dataset, read item by item if no attribute holds them.

    Raises:
        RequestError: An item cannot be read.
    """
    for attribute in ("targets", "labels", "_labels", "y"):
        if len(values := getattr(data, attribute, ())) == len(data):
            return np.asarray(values)
    if len(samples := getattr(data, "_samples", ())) == len(data) and all(len(each) == 2 for each in samples):
        return np.asarray([label for _, label in samples])
    found = []
    for row in range(len(data)):
        try:
            found.append(data[row][1])
        except (OSError, ValueError, RuntimeError, SyntaxError) as error:
            raise RequestError(f"image {row} cannot be read: {error}", where=type(data).__name__) from None
    return np.asarray(found)
