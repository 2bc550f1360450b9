"""The contract of a modality: what an example is, from normalization to how it is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from distillab.data.channel_statistics import ChannelStatistics
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples, Items, ItemShape
from distillab.data.originals import Original
from distillab.errors import RequestError
from distillab.modalities.normalization import Normalization
from distillab.modalities.views.operation import Operation
from distillab.modalities.views.views import Views
from distillab.modalities.views.written import WrittenViews, canonical_views
from distillab.registry import Registry


@dataclass(frozen=True)
class Preview:
    """How one example is shown.

    Attributes:
        picture: uint8 ``[C, H, W]`` with 1 or 3 channels.
        sound: A WAV file, if there is a sound.
        text: What is read, if the example is a text.

    Example:
        >>> Preview(np.zeros((1, 8, 8), np.uint8)).sound is None
        True
    """

    picture: npt.NDArray[np.uint8]
    sound: bytes | None = None
    text: str | None = None


class Modality(ABC):
    """What an example is: how it is normalized, augmented, embedded and shown.

    Subclasses live one per folder and are registered by :func:`modality`. The first line of their docstring
    is what ``distillab list modalities`` prints. Sources name their modality, and decode their examples with
    its functions into items of one shape and dtype.

    Attributes:
        name: The registered name, as in :attr:`Pool.modality`.
        embedding: Name of the embedding that is used unless another is requested.
        is_exportable: Whether trained networks can be exported as models of files.

    Example:
        >>> images = modalities["image"]
        >>> images.name, images.embedding, images.views("auto", (3, 32, 32)).label
        ('image', 'patches', 'crop_flip (pad 4)')
    """

    name: ClassVar[str]
    embedding: ClassVar[str]
    is_exportable: ClassVar[bool] = True

    @abstractmethod
    def statistics(self, examples: Examples) -> ChannelStatistics:
        """Return the mean and standard deviation that inputs are normalized with, from training examples."""

    @abstractmethod
    def normalization(self, statistics: ChannelStatistics) -> Normalization:
        """Return the normalization by given statistics."""

    @abstractmethod
    def usual_views(self, shape: ItemShape) -> WrittenViews:
        """Return what the views ``auto`` mean for items of a shape."""

    @abstractmethod
    def strong_operation(self) -> Operation:
        """Return the operation that makes strong views of the usual ones."""

    @abstractmethod
    def preview(self, item: Items, original: Original | None = None) -> Preview:
        """Return how an item is shown.

        Args:
            item: ``[C, H, W]``, in the dtype of its pool or float.
            original: What it was computed from, if that is kept.
        """

    @abstractmethod
    def describe(self, shape: ItemShape) -> str:
        """Return the shape of an item in words, such as ``32x32 RGB``."""

    def views(self, written: WrittenViews, shape: ItemShape) -> Views:
        """Return the views that a recipe states, for items of a shape.

        Raises:
            RequestError: As :meth:`Views.resolve`.
        """
        written = canonical_views(written)
        return Views.resolve(self.usual_views(shape) if written == "auto" else written, shape, self.name)


def require_exportable(name: str, where: str) -> None:
    """Raise RequestError if networks for examples of a modality cannot be exported.

    Args:
        name: The modality.
        where: What is to be exported, for the message.

    Example:
        >>> require_exportable("image", "a run")
    """
    if not modalities[name].is_exportable:
        known = [each for each in modalities if modalities[each].is_exportable]
        raise RequestError(
            f"networks for {name} examples cannot be exported",
            where=where,
            allowed=f"{' and '.join(known)} examples",
        )


modalities: Registry[Modality] = Registry("modality")
"""All modalities, by name."""


def modality(name: str) -> Callable[[type[Modality]], type[Modality]]:
    """Return a class decorator that registers a modality under ``name``.

    Example:
        >>> sorted(modalities)
        ['audio', 'image', 'text']
    """

    def register(cls: type[Modality]) -> type[Modality]:
        cls.name = name
        modalities.register(name)(cls())
        return cls

    return register


def modality_of(examples: Examples | Dataset) -> Modality:
    """Return the modality of some examples.

    Example:
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("cat", "dog"))
        >>> modality_of(images).name
        'image'
    """
    return modalities[examples.modality]


def normalization_of(dataset: Dataset) -> Normalization:
    """Return the normalization of the inputs of a dataset, by the statistics of its training split.

    Example:
        >>> from distillab.data import DataReport
        >>> images = Examples.of(np.full((2, 1, 8, 8), 51, np.uint8), [0, 1], ("cat", "dog"))
        >>> dataset = Dataset("pets", images, images, {"test": images}, DataReport())
        >>> normalization_of(dataset).mean
        array([0.2], dtype=float32)
    """
    return modality_of(dataset).normalization(dataset.normalization())
