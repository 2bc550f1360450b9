"""The contract of a view operation: pixels in, pixels out, and a random stream of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Annotated, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from distillab.canonical import seed_from
from distillab.data.examples import Indices
from distillab.data.randomness import random_bits, uniform
from distillab.registry import Registry

Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Operation(BaseModel, ABC):
    """One step of a chain of views, and its settings.

    Whatever it draws is a function of (image id, epoch, seed) under keys of its own, so that operations are
    independent of one another and of their order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    # Whether an image's view also depends on another image of the training set.
    mixes: ClassVar[bool] = False

    def fitted(self, resolution: int) -> Self:
        """The operation for images of a size: ``auto`` settings are resolved."""
        return self

    @property
    def label(self) -> str:
        """The name, with the settings that are not the defaults: ``rand_augment(n=3)``."""
        changed = {key: value for key, value in self if value != type(self).model_fields[key].default}
        settings = ", ".join(f"{key}={value}" for key, value in changed.items())
        return f"{self.name}({settings})" if changed else self.name

    @abstractmethod
    def render(self, pixels: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """The views of a batch: ``pixels`` uint8 [N, C, H, W] to the same shape, dtype and device."""

    def bits(self, part: str, ids: Indices, epoch: int, seed: int) -> npt.NDArray[np.uint64]:
        """64 random bits for a ``part`` of this operation, uint64 ``[N]``."""
        return random_bits(ids, seed, epoch, _key(self.name, part))

    def uniform(self, part: str, ids: Indices, epoch: int, seed: int) -> npt.NDArray[np.float64]:
        """A number in [0, 1) for a ``part`` of this operation, float64 ``[N]``."""
        return uniform(ids, seed, epoch, _key(self.name, part))


@cache
def _key(name: str, part: str) -> int:
    return seed_from("view", name, part)


operations: Registry[type[Operation]] = Registry("view")


def operation(name: str) -> Callable[[type[Operation]], type[Operation]]:
    """Class decorator that registers an operation under ``name``."""

    def enter(cls: type[Operation]) -> type[Operation]:
        cls.name = name
        return operations.register(name)(cls)

    return enter


def to_bytes(values: Tensor) -> Tensor:
    """Grey levels, float ``[...]``, to the nearest of 0 to 255: uint8 ``[...]``. Works in place."""
    return values.round_().clamp_(0, 255).to(torch.uint8)


def a_number_each(values: npt.NDArray[np.float64], like: Tensor) -> Tensor:
    """One number an image, float64 ``[N]``, as float32 ``[N, 1, 1, 1]`` on the device of ``like``."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device).view(-1, 1, 1, 1)
