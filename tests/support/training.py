"""Examples, recipes and networks that train in a moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillab.data.examples import Examples, Indices, Pool
from distillab.modalities.image import PixelNormalization
from distillab.training.batches import TrainingBatch
from distillab.training.loop.member import Seeds
from distillab.training.recipe import Recipe, ResolvedRecipe
from distillab.training.stages import RoleSets

CPU = torch.device("cpu")
MODEL = "resnet8"
CLASSES = ("a", "b", "c")
SEEDS = Seeds(init=1, order=2, views=3)


def examples_of(n: int = 40, channels: int = 1, *, first_id: int = 0, seed: int = 0) -> Examples:
    """``n`` images of 8x8 pixels in three classes of different brightness."""
    rng = np.random.default_rng([seed, first_id])
    labels = np.arange(n) % len(CLASSES)
    pixels = rng.integers(0, 120, (n, channels, 8, 8)) + 60 * labels[:, None, None, None]
    return Examples.of(pixels.astype(np.uint8), labels, CLASSES, first_id=first_id)


def role_sets(channels: int = 1, *, n: int = 40, evals: tuple[str, ...] = ("test",)) -> RoleSets:
    """Train, val and test sets with different ids and images."""
    return RoleSets(
        train=examples_of(n, channels),
        val=examples_of(24, channels, first_id=1000),
        eval={
            name: examples_of(30, channels, first_id=2000 + 100 * place) for place, name in enumerate(evals)
        },
        normalize=normalization(channels),
    )


def normalization(channels: int = 1) -> PixelNormalization:
    """A normalization of mean 0.45 and standard deviation 0.25."""
    return PixelNormalization(np.full(channels, 0.45, np.float32), np.full(channels, 0.25, np.float32))


def recipe(train: Examples | None = None, **keys: Any) -> ResolvedRecipe:
    """A recipe of a few steps, resolved for ``train``."""
    chosen = {"steps": 8, "batch_size": 10, **keys}
    if "epochs" in keys:
        del chosen["steps"]
    return Recipe(**chosen).resolve(train or examples_of())


@dataclass
class SealedPixels:
    """Pixels that cannot be read before :attr:`open` is set."""

    pixels: Any
    open: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pixels.shape)

    def __getitem__(self, rows: Indices) -> Any:
        assert self.open, "a test set was read while training"
        return self.pixels[rows]


def sealed(images: Examples) -> tuple[Examples, SealedPixels]:
    """The same set over sealed pixels, and the seal."""
    seal = SealedPixels(images.pool.items)
    return replace(images, pool=Pool(seal, images.pool.digest)), seal  # type: ignore[arg-type]


def fingerprint(step: TrainingBatch) -> tuple[Any, ...]:
    """All inputs of a network in a step."""
    pixels = hashlib.sha256(step.inputs.contiguous().numpy().tobytes()).hexdigest()
    return step.index, step.epoch, step.positions.tolist(), step.ids.tolist(), pixels


def recorded(steps: Iterator[TrainingBatch], into: list[tuple[Any, ...]]) -> Iterator[TrainingBatch]:
    """The steps, each with its fingerprint recorded."""
    for step in steps:
        into.append(fingerprint(step))
        yield step


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Return True if two states are equal to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
