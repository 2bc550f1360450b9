"""How many labels are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import uniform
from distillab.errors import RequestError, unknown_name
from distillab.factors.centroids import class_centroids, nearest_other
from distillab.factors.factor import Change, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import places_in_class, ranks_in_class, rounded

SHARPNESS = 2.0


def _pairs(value: Any) -> Any:
    """A class map as pairs of names; YAML reads ``{3: 8}`` as numbers, but they are names."""
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise ValueError("the class map is empty")
    pairs = tuple((str(old), str(new)) for old, new in value.items())
    if same := [first for first, second in pairs if first == second]:
        raise ValueError(f"class {same[0]!r} is mapped to itself")
    return pairs


ClassMap = Annotated[  # pairs, for a factor must be hashable; a mapping where people read or write it
    tuple[tuple[str, str], ...], BeforeValidator(_pairs), PlainSerializer(dict, return_type=dict[str, str])
]


@factor("label_noise")
class LabelNoise(Factor):
    """How many labels are wrong. Level: the share of labels changed, in [0, 1).

    The same share of every class is changed, rounded to whole images. ``kind: symmetric`` changes a label to
    any *other* class with equal chance (many papers let it fall back on the true class, so that their "40 %"
    of 10 classes is 36 % here); ``pair`` to the next class by index (Han et al., "Co-teaching", 2018);
    ``map`` to the class that ``to`` gives (Patrini et al., "Making deep neural networks robust to label
    noise", CVPR 2017), the level being the share of the classes it names, the others staying as they are.

    ``instance`` changes an image's label to that of the other class it is nearest to, and sooner where it is
    about as near to that as to its own (after Xia et al., "Part-dependent label noise", NeurIPS 2020).
    Nearness is the cosine to class centroids in the reference embedding of the training images, and images of
    a class are changed in the order of Efraimidis and Spirakis (2006): drawn one by one, each with odds
    exp(-``sharpness`` z), where sharpness is 2 unless given and z the margin, own nearness minus other, in
    standard deviations. Sharpness 0 is any image of the class.

    What an image's label changes to, and how early in its class, are drawn for the image's id. A set and a
    subset of it hence agree on the new labels, and on who is changed but for the rounding. Whether labels of
    val and test images are wrong as well, ``roles`` says; by default they are clean.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"labels"})
    needs_context: ClassVar[bool] = True  # for kind instance
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": 0.0},
        {"level": 0.21},
        {"level": 0.4},
        {"level": 0.95},
        {"level": 0.0, "kind": "pair"},
        {"level": 0.3, "kind": "pair"},
        {"level": 0.45, "kind": "pair"},
        {"level": 0.1, "kind": "map", "to": {"class 0": "class 1", "class 2": "class 1"}},
        {"level": 0.6, "kind": "map", "to": {"class 0": "class 1", "class 2": "class 1"}},
        {"level": 0.2, "kind": "instance"},
        {"level": 0.5, "kind": "instance"},
    )

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
    kind: Literal["symmetric", "pair", "map", "instance"] = "symmetric"
    to: ClassMap | None = None
    sharpness: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)] | None = None

    @property
    def phrase(self) -> str:
        return "label noise {}" if "val" not in self.roles else "label noise {}, val too"

    @model_validator(mode="after")
    def _keys_fit_kind(self) -> Self:
        if (self.kind == "map") != (self.to is not None):
            raise ValueError("'kind: map' and 'to', the class that each class changes to, go together")
        if self.kind != "instance" and self.sharpness is not None:
            raise ValueError("'sharpness' is for 'kind: instance'")
        return self

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The same images with some labels changed. Raises RequestError if there is no other class, or one of
        ``to`` is not known."""
        who, what = (int(key) for key in rng.integers(2**63, size=2))
        if len(images.classes) < 2:
            raise RequestError("a single class has no other label to take", where="label_noise")
        if self.kind == "instance":
            others, order = self._by_looks(images, who, self.context_of(context))
            ranks = places_in_class(images, order)
        else:
            others, ranks = self._others(images, what), ranks_in_class(images, who)
        changed = ranks < rounded(self.level * images.counts)[images.labels]
        return images.relabel(np.where(changed, others, images.labels))

    def _others(self, images: Examples, key: int) -> Indices:
        """What each label changes to if it changes, int64 ``[N]``."""
        classes = len(images.classes)
        if self.to is not None:
            return self._map(images.classes)[images.labels]
        step: Indices = np.ones(len(images), dtype=np.int64)
        if self.kind == "symmetric":
            step += (uniform(images.ids, key) * (classes - 1)).astype(np.int64)
        return (images.labels + step) % classes

    def _map(self, classes: tuple[str, ...]) -> Indices:
        """The class that each class changes to, int64 ``[K]``; itself if it is not named."""
        mapped = np.arange(len(classes), dtype=np.int64)
        for pair in self.to or ():
            for name in pair:
                if name not in classes:
                    raise unknown_name("class", name, classes, where="label_noise.to")
            mapped[classes.index(pair[0])] = classes.index(pair[1])
        return mapped

    def _by_looks(
        self, images: Examples, key: int, context: FactorContext
    ) -> tuple[Indices, npt.NDArray[np.float64]]:
        """The nearest other class of each image, int64 ``[N]``, and a number, float64 ``[N]``, that is
        smaller the sooner it changes in its class."""
        placed = class_centroids(context.dataset.train).of(images.classes, "label_noise")
        others, margins = nearest_other(placed.cosines(images), images.labels)
        waits = -np.log1p(-uniform(images.ids, key))  # exponential: the shortest of several is a fair draw
        sharpness = SHARPNESS if self.sharpness is None else self.sharpness
        return others, np.log(np.maximum(waits, 1e-300)) + sharpness * margins / placed.spread

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """The share of labels that differ, image by image, among the classes that can change. Each class is
        rounded by half an image at most."""
        old = _labels_by_id(before, after.ids)
        can = np.ones(len(before.classes), dtype=bool)
        if self.to is not None:
            can = self._map(before.classes) != np.arange(len(before.classes))
        differ = (after.labels != old)[can[old]]
        counts = before.counts[can]
        tolerance = 0.5 * np.count_nonzero(counts) / max(int(counts.sum()), 1) + 1e-9
        measured = float(differ.mean()) if len(differ) else 0.0
        return Manipulation(self.name, "share of labels changed", self.level, measured, float(tolerance))


def _labels_by_id(images: Examples, ids: Indices) -> Indices:
    """The label that each of ``ids`` has in ``images``. Raises ValueError if one is not there."""
    order = np.argsort(images.ids)
    found = np.minimum(np.searchsorted(images.ids, ids, sorter=order), len(images) - 1)
    positions = order[found]
    if not np.array_equal(images.ids[positions], ids):
        raise ValueError("an image after the factor was not there before it")
    return images.labels[positions]
