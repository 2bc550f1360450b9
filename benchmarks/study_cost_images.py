"""The images of study_cost.py: a small subset of a dataset, with the same number of images per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source, source_from_argument

BATCH = 64


def read_data(data: str, label: str | None, classes: int | None = None) -> Dataset:
    """Load the dataset of ``--data``, or its first classes, as color images of 32 pixels per side.

    Raises:
        RequestError: The data cannot be read.
    """
    form: dict[str, Any] = {"resolution": 32, "channels": 3} | ({"classes": classes} if classes else {})
    if label is None:
        return load_dataset(source_from_argument(data).model_copy(update=form))
    key = "train" if data.endswith(".parquet") else "path"
    return load_dataset(
        parse_source({"source": "parquet", key: data, "label": label, **form}, Path(), "--data")
    )


def write_images(dataset: Dataset, images: int, path: Path) -> None:
    """Write a subset as .npz: ``images`` for train, a tenth as many for val, at most 2,000 for test."""
    classes = len(dataset.classes)
    if not max(classes, BATCH) <= images <= len(dataset.train):
        raise SystemExit(f"--images must lie between {max(classes, BATCH)} and {len(dataset.train)}")
    sizes = {"train": images, "val": max(classes, images // 10), "test": min(2000, max(classes, images // 2))}
    sets = {"train": dataset.train, "val": dataset.val, "test": dataset.eval["test"]}
    arrays: dict[str, Any] = {}
    for split, whole in sets.items():
        chosen = evenly(whole, sizes[split])
        arrays |= {f"x_{split}": whole.pixels(chosen), f"y_{split}": whole.labels[chosen]}
    np.savez(path, **arrays)


def evenly(images: Examples, size: int) -> npt.NDArray[np.int64]:
    """Return positions of ``size`` images, equally many of every class, or one more."""
    shuffled = np.random.default_rng(0).permutation(len(images))
    labels = images.labels[shuffled]
    rank = np.empty(len(images), dtype=np.int64)
    for label in range(len(images.classes)):
        mine = labels == label
        rank[mine] = np.arange(mine.sum())
    return np.sort(shuffled[np.argsort(rank, kind="stable")[:size]])


def moments(path: Path) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel of the training images, on the [0, 1] scale."""
    with np.load(path) as arrays:
        pixels = arrays["x_train"] / 255.0
    return pixels.mean((0, 2, 3)).tolist(), pixels.std((0, 2, 3)).tolist()
