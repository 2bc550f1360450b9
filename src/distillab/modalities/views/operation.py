"""The contract of a view operation: items in, items out, and a random stream of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.canonical import seed_from
from distillab.config import PublicConfig
from distillab.data.examples import Indices, ItemShape
from distillab.data.randomness import random_bits, uniform
from distillab.registry import Registry
from distillab.spelling import american


class Operation(PublicConfig, ABC):
    """One operation of a chain of views, and its settings.

    Its draws are functions of (example id, epoch, seed) under keys of its own, so operations are independent
    of each other and of their order. Subclasses live one per file and are registered by :func:`operation`.

    Attributes:
        name: The registered name.
        mixes: Whether the view of an example also depends on another example of the training set.
        modality: The only modality whose items it accepts, or None for any whose values are quantities:
            not for texts, whose values are the numbers of characters.
        moves_boxes: Whether :meth:`maps` tells where a point of an image is in its view, so that boxes can
            be moved with it.

    Example:
        >>> operations["mixup"](alpha=0.4).label
        'mixup(alpha=0.4)'
    """

    name: ClassVar[str]
    mixes: ClassVar[bool] = False
    modality: ClassVar[str | None] = None
    moves_boxes: ClassVar[bool] = False

    def fitted(self, shape: ItemShape) -> Self:
        """Return the operation with ``auto`` settings resolved for items of a shape."""
        return self

    @property
    def label(self) -> str:
        """The name, with the settings that are not the defaults, such as ``rand_augment(n=3)``."""
        changed = {key: value for key, value in self if value != type(self).model_fields[key].default}
        settings = ", ".join(f"{key}={value}" for key, value in changed.items())
        name = american(self.name)
        return f"{name}({settings})" if changed else name

    @abstractmethod
    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return the views of a batch.

        Args:
            items: ``[N, C, H, W]`` as stored: uint8 for images, float for spectrograms.
            ids: int64 ``[N]``, the ids of the examples.
            epoch: Number of the epoch.
            seed: Seed of the views.

        Returns:
            A tensor of the same shape, dtype and device.
        """

    def maps(self, ids: Indices, epoch: int, seed: int, shape: ItemShape) -> Tensor:
        """Return where the points of images of a shape are in their views, float32 ``[N, 2, 3]``.

        By default they stay where they are. See :mod:`distillab.modalities.views.view_maps`.

        Raises:
            ValueError: The operation does not move boxes.
        """
        if not self.moves_boxes:
            raise ValueError(f"{self.name} does not move boxes")
        return torch.eye(2, 3).repeat(len(ids), 1, 1)

    def bits(self, part: str, ids: Indices, epoch: int, seed: int) -> npt.NDArray[np.uint64]:
        """Return 64 random bits per example for a ``part`` of this operation, uint64 ``[N]``."""
        return random_bits(ids, seed, epoch, _key(self.name, part))

    def uniform(self, part: str, ids: Indices, epoch: int, seed: int) -> npt.NDArray[np.float64]:
        """Return a number in [0, 1) per example for a ``part`` of this operation, float64 ``[N]``."""
        return uniform(ids, seed, epoch, _key(self.name, part))


@cache
def _key(name: str, part: str) -> int:
    return seed_from("view", name, part)


operations: Registry[type[Operation]] = Registry("view")
"""The operations of all modalities, by the name that a recipe uses."""


def operation(name: str) -> Callable[[type[Operation]], type[Operation]]:
    """Return a class decorator that registers an operation under ``name``.

    Example:
        >>> operations["flip"].name
        'flip'
    """

    def register(cls: type[Operation]) -> type[Operation]:
        cls.name = name
        return operations.register(name)(cls)

    return register


def to_bytes(values: Tensor) -> Tensor:
    """Round gray levels, float ``[...]``, to uint8 ``[...]``. Works in place."""
    return values.round_().clamp_(0, 255).to(torch.uint8)


def as_stored(values: Tensor, like: Tensor) -> Tensor:
    """Return float values in the dtype of ``like``: rounded for uint8. Works in place."""
    return to_bytes(values) if like.dtype == torch.uint8 else values.to(like.dtype)


def per_example(values: npt.NDArray[np.float64], like: Tensor) -> Tensor:
    """Return one number per example, float64 ``[N]``, as float32 ``[N, 1, 1, 1]`` on a tensor's device."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device).view(-1, 1, 1, 1)
