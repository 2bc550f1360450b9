"""Images whose class is visible in their center only, and datasets made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples
from distillab.profile import Family, ProfiledDataset

CLASSES = ("upright", "level", "rising", "falling")
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def gratings(count: int = 480, side: int = 32, seed: int = 0, classes: int = 4) -> tuple[Pixels, Labels]:
    """Draw gratings in the center of images; direction is the class, background and phase are random.

    Returns:
        Images uint8 ``[count, 3, side, side]``, and labels int64 ``[count]`` that alternate.
    """
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.int64)
    x, y = np.meshgrid(np.arange(side) - side / 2, np.arange(side) - side / 2)
    angles = np.pi * labels / classes
    along = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
    waves = np.sin(2 * np.pi * along / 6 + rng.uniform(0, 2 * np.pi, (count, 1, 1)))
    window = np.exp(-(((x**2 + y**2) / (side / 5) ** 2) ** 2))
    ground = rng.uniform(60, 190, (count, 3, 1, 1))
    images = ground + 55 * (waves * window)[:, None] + rng.normal(0, 6, (count, 3, side, side))
    return images.clip(0, 255).astype(np.uint8), labels


def profiled(
    images: Pixels,
    labels: Labels,
    *,
    test: tuple[Pixels, Labels] | None = None,
    against: tuple[str, Examples] | None = None,
) -> ProfiledDataset:
    """Return the dataset that a source with these arrays would give, with or without a test split."""
    classes = CLASSES[: int(labels.max()) + 1]
    held = [] if test is None else [test]
    pixels = np.concatenate([images, *(part for part, _ in held)])
    whole = Examples.of(pixels, np.concatenate([labels, *(part for _, part in held)]), classes)
    train = whole.select(np.arange(len(images)))
    tested = train if test is None else whole.select(np.arange(len(images), len(pixels)))
    carved = ("test", "val") if test is None else ("val",)
    empty = train.select(np.array([], dtype=np.int64))
    data = Dataset(
        "planted", train, empty, {"test": empty if test is None else tested}, DataReport(carved=carved)
    )
    return ProfiledDataset.of(data, against=against)


def values(family: Family | None) -> dict[str, float]:
    """Return the values of a family by key."""
    assert family is not None
    return {measure.key: measure.value for measure in family.measures}


def alarms(family: Family | None) -> list[str]:
    """Return the alarms of a family."""
    assert family is not None
    return [measure.alarm for measure in family.measures if measure.alarm]


def write(path: Path, images: Pixels, labels: Labels, test: tuple[Pixels, Labels] | None = None) -> Path:
    """Write the arrays as a file of the ``npz`` source."""
    arrays: dict[str, Any] = {"x_train": images, "y_train": labels}
    if test is not None:
        arrays |= {"x_test": test[0], "y_test": test[1]}
    np.savez(path, **arrays)
    return path
