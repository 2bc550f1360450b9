"""Small sets of examples for the tests of factors, and contexts around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distillab.data.dataset import DataReport, Dataset
from distillab.data.derived import stacked
from distillab.data.examples import Examples
from distillab.data.targets import Labels, LabelSets
from distillab.factors import FactorContext, Role
from distillab.factors.factor import Probabilities

SIDE = 8


def examples_of(counts: list[int], *, shuffle: int = 0, first_id: int = 0) -> Examples:
    """Return ``counts[c]`` images of class c, in random order, with scattered ids.

    They are 8x8 RGB noise around a color of the class. Two neighboring classes share a parent, and the images
    of a class belong to three groups in turn.
    """
    rng = np.random.default_rng(shuffle)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    colors = np.random.default_rng(0).integers(60, 196, (len(counts), 3, 1, 1))
    noise = rng.integers(-40, 41, (len(labels), 3, SIDE, SIDE))
    pixels = np.clip(colors[labels] + noise, 0, 255).astype(np.uint8)
    made = Examples.of(pixels, labels, tuple(f"class {c}" for c in range(len(counts))))
    ids = first_id + 7 * np.random.default_rng(shuffle + 1).permutation(len(labels))
    turns = np.empty(len(labels), dtype=np.int64)
    turns[np.argsort(labels, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return replace(
        made,
        ids=ids.astype(np.int64),
        groups=turns % 3,
        group_names=("north", "south", "west"),
        parents=tuple(f"parent {c // 2}" for c in range(len(counts))),
    )


def label_sets_of(examples: Examples, seed: int = 0) -> Examples:
    """Return the same examples with label sets: their class, and each other label with a probability of 15 %.

    A tenth of the examples has no label.
    """
    rng = np.random.default_rng(seed)
    members = examples.targets.members | (rng.random((len(examples), len(examples.classes))) < 0.15)
    members[rng.random(len(examples)) < 0.1] = False
    targets = LabelSets(members.astype(np.int8), len(examples.classes))
    return replace(examples, targets=targets, parents=())


def context_around(train: Examples, role: Role = "transfer") -> FactorContext:
    """Return a context with one other dataset, called ``other``, and a teacher.

    The training set starts with the given one and has more images of its classes and, unless its targets are
    label sets, of two others.
    """
    sets = isinstance(train.targets, LabelSets)

    def some(each: int, shuffle: int, first_id: int) -> Examples:
        images = examples_of([each] * len(train.classes), shuffle=shuffle, first_id=first_id)
        named = with_classes(images, train.classes, train.parents)
        return label_sets_of(named, shuffle) if sets else named

    def dataset(name: str, train: Examples, first_id: int, others: dict[str, Dataset]) -> Dataset:
        val, test = some(4, 77, first_id), some(8, 78, first_id + 10_000)
        return Dataset(name, train, val, {"test": test}, DataReport(), others)

    other = dataset("other", some(40, 79, 3_000_000), 4_000_000, {})
    more = stacked(train, some(40, 80, 2_000_000)) if sets else _with_more(train)
    return FactorContext(dataset("main", more, 1_000_000, {"other": other}), role, teacher)


def _with_more(train: Examples) -> Examples:
    more = examples_of([40] * len(train.classes) + [80, 80], shuffle=80, first_id=2_000_000)
    classes = (*train.classes, "left out 1", "left out 2")
    parents = (*train.parents, "parent left", "parent left") if train.parents else ()
    return stacked(with_classes(train, classes, parents), with_classes(more, classes))


def with_classes(images: Examples, classes: tuple[str, ...], parents: tuple[str, ...] = ()) -> Examples:
    """Return the same images and labels under other class names, of which there may be more."""
    return replace(images, targets=Labels(images.labels, len(classes)), classes=classes, parents=parents)


def teacher(images: Examples) -> Probabilities:
    """Return probabilities that are more confident the more an image's channels differ."""
    powers = np.exp(images.images.mean(axis=(2, 3)) / 32)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
