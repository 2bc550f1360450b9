"""Base sets: real data sets, prepared once as small arrays from which contexts are drawn quickly.

A set is read by any source of distillab, and written as one ``.npz`` file of images of 32 pixels, at most so
many per class. Studies of the evidence base read these files, so that no context decodes large photographs
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE, Examples, Pixels
from distillab.data.randomness import random_bits
from distillab.data.resplit import merge_splits
from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source
from distillab.study.spec.environment import expand_environment

SIDE = 32
PRETRAINED_ON = "cifar100"
"""The base set that pretrained students were trained on; contexts of it start from scratch."""
_SEED = 0xBA5E
_DECIBELS = 80.0  # of spectrograms, which are clipped so far below their maximum

OnSet = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BaseSet:
    """What the design needs to know of a base set.

    Attributes:
        name: Its name, the cluster in statistics across data sets.
        path: The file.
        classes: Names of its classes.
        channels: 1 or 3.
        smallest: Training examples of its smallest class, from which val is carved.

    Example:
        >>> BaseSet("usps", Path("usps.npz"), ("0", "1"), 1, 542).channels
        1
    """

    name: str
    path: Path
    classes: tuple[str, ...]
    channels: int
    smallest: int


def prepare_sets(
    entries: Mapping[str, JsonObject], folder: Path, on_set: OnSet | None = None
) -> dict[str, BaseSet]:
    """Write the files of the base sets that a folder lacks, and return the facts of all.

    Args:
        entries: By name, the keys of a source, with ``${DISTILLAB_DATA}`` in paths, and: ``train_images`` and
            ``test_images``, the most per class (600 and 150), ``one_per_group``, whether one example of each
            group is taken, and ``names``, other names of the classes, in their order.
        folder: Where the files are, ``NAME.npz``; made if it does not exist.
        on_set: Called before each set that is read, with its name, its number and how many there are.

    Raises:
        RequestError: A source cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, entry) in enumerate(entries.items()):
        path = folder / f"{name}.npz"
        if not path.is_file():
            if on_set:
                on_set(name, number, len(entries))
            _write(path, name, entry)
    return {name: read_facts(name, folder / f"{name}.npz") for name in entries}


def read_facts(name: str, path: Path) -> BaseSet:
    """Return the facts of a base set from its file. Raises RequestError if there is none."""
    if not path.is_file():
        raise RequestError("there is no such base set", where=str(path))
    with np.load(path, allow_pickle=False) as arrays:
        classes = tuple(str(each) for each in arrays["class_names"])
        labels, shape = arrays["y_train"], arrays["x_train"].shape
    counts = np.bincount(labels, minlength=len(classes))
    return BaseSet(name, path, classes, 3 if len(shape) == 4 else 1, int(counts.min()))


def _write(path: Path, name: str, entry: JsonObject) -> None:
    values = dict(expand_environment(dict(entry), f"sets.{name}"))
    most_train, most_test = int(values.pop("train_images", 600)), int(values.pop("test_images", 150))
    one_per_group, names = bool(values.pop("one_per_group", False)), values.pop("names", None)
    source = parse_source(values, Path(), f"sets.{name}")
    if source.modality == IMAGE:
        source = source.model_copy(update={"resolution": SIDE})
    dataset = load_dataset(source)
    train = merge_splits([dataset.train, dataset.val])
    test = dataset.eval["test"]
    if one_per_group:
        train, test = _first_of_groups(train), _first_of_groups(test)
    train, test = _at_most(train, most_train), _at_most(test, most_test)
    if names is not None and len(names) != len(dataset.classes):
        raise RequestError(
            f"{len(names)} names for {len(dataset.classes)} classes", where=f"sets.{name}: names"
        )
    arrays: dict[str, npt.NDArray[np.generic]] = {"class_names": np.array(names or dataset.classes)}
    for split, examples in {"train": train, "test": test}.items():
        arrays[f"x_{split}"] = _images(examples)
        arrays[f"y_{split}"] = examples.labels
    with write_atomically(path) as draft, draft.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _at_most(examples: Examples, count: int) -> Examples:
    """Return at most so many examples of each class, drawn by their ids."""
    order = np.argsort(random_bits(examples.ids, _SEED), kind="stable")
    labels = examples.labels[order]
    kept = [order[labels == label][:count] for label in range(len(examples.classes))]
    return examples.select(np.sort(np.concatenate(kept)))


def _first_of_groups(examples: Examples) -> Examples:
    """Return one example of each group and class, drawn by their ids."""
    if examples.groups is None:
        raise RequestError("one_per_group needs a source with groups")
    order = np.argsort(random_bits(examples.ids, _SEED), kind="stable")
    keys = np.stack([examples.groups[order], examples.labels[order]])
    _, first = np.unique(keys, axis=1, return_index=True)
    return examples.select(np.sort(order[first]))


def _images(examples: Examples) -> Pixels:
    """Return examples as uint8 images, ``[N, H, W]`` or ``[N, H, W, 3]``; spectrograms as gray images."""
    items = examples.items(np.arange(len(examples)))
    if examples.modality != IMAGE:
        items = _spectrogram_images(items)
    images = items.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images[..., 0] if images.shape[-1] == 1 else images)


def _spectrogram_images(items: npt.NDArray[np.generic]) -> Pixels:
    """Return spectrograms in decibels as small gray images: black is 80 dB below the loudest value."""
    values = torch.from_numpy(np.asarray(items, dtype=np.float32))
    loudest = values.amax(dim=(1, 2, 3), keepdim=True)
    gray = ((values - loudest) / _DECIBELS + 1).clamp(0, 1) * 255
    small = interpolate(gray, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    resized: Pixels = small.round().clamp(0, 255).to(torch.uint8).numpy()
    return resized
