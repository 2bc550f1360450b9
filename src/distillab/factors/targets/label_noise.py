"""How many labels are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits, uniform
from distillab.data.targets import Labels, Targets
from distillab.errors import RequestError, unknown_name
from distillab.factors.factor import Aspect, Configuration, Factor, FactorContext, Level, Manipulation, factor
from distillab.factors.subsets import LABELS_OR_SETS, places_in_class, ranks_in_class, rounded
from distillab.factors.targets.centroids import class_centroids, nearest_other

_SHARPNESS = 2.0


def _pairs(value: Any) -> Any:
    """Return a mapping of class names as pairs; YAML reads ``{3: 8}`` as numbers, but they are names."""
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise ValueError("the class map is empty")
    pairs = tuple((str(old), str(new)) for old, new in value.items())
    if same := [first for first, second in pairs if first == second]:
        raise ValueError(f"class {same[0]!r} is mapped to itself")
    return pairs


LabelMap = Annotated[  # pairs, since a factor must be hashable; a mapping where it is read or written
    tuple[tuple[str, str], ...], BeforeValidator(_pairs), PlainSerializer(dict, return_type=dict[str, str])
]


@factor("label_noise")
class LabelNoise(Factor):
    """How many labels are wrong. Level: the share of labels changed, in [0, 1).

    The same share of every class is changed, rounded to whole examples. ``kind: symmetric`` changes a label
    to any *other* class with equal probability (many papers allow the true class as well, so that their
    "40 %" of 10 classes is 36 % here); ``pair`` to the next class by index (Han et al., "Co-teaching", 2018);
    ``map`` to the class that ``to`` gives (Patrini et al., "Making deep neural networks robust to label
    noise", CVPR 2017), where the level is the share of the classes named and the others stay as they are.

    ``instance`` changes an example's label to the nearest other class, and examples that are about as near to
    that class as to their own are changed first (after Xia et al., "Part-dependent label noise", NeurIPS
    2020). Nearness is the cosine to class centroids in the reference embedding of the training examples, and
    examples of a class are changed in the order of Efraimidis and Spirakis (2006): drawn one by one, each
    with odds exp(-``sharpness`` z), where z is the margin, own nearness minus other, in standard deviations.
    With sharpness 0 the examples of a class are drawn uniformly.

    Of label sets, ``symmetric`` flips bits: of every label, a share of the examples that have it lose it, and
    as many that lack it get it, so that labels stay as frequent. Unknown labels stay unknown.

    The new label of an example, and its place in the order of its class, are drawn for the example's id. A
    set and a subset of it hence agree on the new labels, and on which examples are changed but for rounding.
    ``roles`` decides whether labels of val and test examples are wrong as well; by default they are clean.

    Attributes:
        level: Share of labels changed.
        kind: How the new label is chosen.
        to: For ``kind: map``, the class that each class changes to.
        sharpness: For ``kind: instance``, 2 by default.

    Example:
        >>> examples = Examples.of(np.zeros((8, 1, 4, 4), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> noisy = LabelNoise(level=0.25).apply(examples, np.random.default_rng(0))
        >>> int((noisy.labels != examples.labels).sum())
        2
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"labels"})
    needs_context: ClassVar[bool] = True  # for kind instance
    examples: ClassVar[tuple[Configuration, ...]] = (
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
    references: ClassVar[tuple[Level, ...]] = (0.0,)

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
    kind: Literal["symmetric", "pair", "map", "instance"] = "symmetric"
    to: LabelMap | None = None
    sharpness: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)] | None = None

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return LABELS_OR_SETS if self.kind == "symmetric" else (Labels,)

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
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the same examples with some labels changed.

        Raises:
            RequestError: There is no other class, or a class of ``to`` is unknown.
        """
        order_key, label_key = (int(key) for key in rng.integers(2**63, size=2))
        if not isinstance(examples.targets, Labels):
            return examples.relabel(self._flipped(examples, order_key))
        if len(examples.classes) < 2:
            raise RequestError("a single class has no other label to change to", where="label_noise")
        if self.kind == "instance":
            others, order = self._by_similarity(examples, order_key, self.require_context(context))
            ranks = places_in_class(examples, order)
        else:
            others, ranks = self._others(examples, label_key), ranks_in_class(examples, order_key)
        changed = ranks < rounded(self.level * examples.counts)[examples.labels]
        return examples.relabel(np.where(changed, others, examples.labels))

    def _flipped(self, examples: Examples, key: int) -> npt.NDArray[np.int8]:
        """Return label sets with bits flipped, int8 ``[N, K]``."""
        values = examples.targets.values.copy()
        for label, column in enumerate(values.T):
            order = np.lexsort((examples.ids, random_bits(examples.ids, key, label)))
            has, lacks = (order[column[order] == bit] for bit in (1, 0))
            number = int(rounded(self.level * len(has)))
            column[has[:number]], column[lacks[:number]] = 0, 1
        return values

    def _others(self, examples: Examples, key: int) -> Indices:
        """Return the label that each label changes to if it changes, int64 ``[N]``."""
        classes = len(examples.classes)
        if self.to is not None:
            return self._map(examples.classes)[examples.labels]
        step: Indices = np.ones(len(examples), dtype=np.int64)
        if self.kind == "symmetric":
            step += (uniform(examples.ids, key) * (classes - 1)).astype(np.int64)
        return (examples.labels + step) % classes

    def _map(self, classes: tuple[str, ...]) -> Indices:
        """Return the class that each class changes to, int64 ``[K]``; itself if it is not named."""
        mapped = np.arange(len(classes), dtype=np.int64)
        for pair in self.to or ():
            for name in pair:
                if name not in classes:
                    raise unknown_name("class", name, classes, where="label_noise.to")
            mapped[classes.index(pair[0])] = classes.index(pair[1])
        return mapped

    def _by_similarity(
        self, examples: Examples, key: int, context: FactorContext
    ) -> tuple[Indices, npt.NDArray[np.float64]]:
        """Return the nearest other class of each example, int64 ``[N]``, and its order in its class.

        The order is a number, float64 ``[N]``; examples with smaller numbers are changed first.
        """
        placed = class_centroids(context.dataset.train).of(examples.classes, "label_noise")
        others, margins = nearest_other(placed.cosines(examples), examples.labels)
        waits = -np.log1p(-uniform(examples.ids, key))  # exponential: the shortest of several is a fair draw
        sharpness = _SHARPNESS if self.sharpness is None else self.sharpness
        return others, np.log(np.maximum(waits, 1e-300)) + sharpness * margins / placed.spread

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the share of labels that differ, matched by id, among the classes that can change.

        Rounding to whole examples changes each class by at most half an example.
        """
        old = _targets_by_id(before, after.ids)
        if not isinstance(before.targets, Labels):
            return self._check_flips(old, after.targets.values, before.counts)
        can = np.ones(len(before.classes), dtype=bool)
        if self.to is not None:
            can = self._map(before.classes) != np.arange(len(before.classes))
        differ = (after.labels != old)[can[old]]
        return self._manipulation(differ, before.counts[can])

    def _check_flips(
        self, old: npt.NDArray[np.int8], new: npt.NDArray[np.int8], counts: Indices
    ) -> Manipulation:
        added = float((new == 1)[old == 0].mean()) if (old == 0).any() else 0.0
        return self._manipulation((new != 1)[old == 1], counts, f"{added:.2%} of absent labels were added")

    def _manipulation(self, differ: npt.NDArray[np.bool_], counts: Indices, note: str = "") -> Manipulation:
        tolerance = 0.5 * np.count_nonzero(counts) / max(int(counts.sum()), 1) + 1e-9
        measured = float(differ.mean()) if len(differ) else 0.0
        return Manipulation(
            self.name, "share of labels changed", self.level, measured, float(tolerance), note
        )


def _targets_by_id(examples: Examples, ids: Indices) -> npt.NDArray[np.signedinteger]:
    """Return the targets that each of ``ids`` has in ``examples``. Raises ValueError for an unknown id."""
    order = np.argsort(examples.ids)
    found = np.minimum(np.searchsorted(examples.ids, ids, sorter=order), len(examples) - 1)
    positions = order[found]
    if not np.array_equal(examples.ids[positions], ids):
        raise ValueError("an example after the factor was not in the set before it")
    values: npt.NDArray[np.signedinteger] = examples.targets.values[positions]
    return values
