"""How far the images of a role are from those of the other roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from distillab.data.dataset import Dataset
from distillab.data.derived import StackedItems, derived, stacked
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.targets import UNLABELLED, Labels, Targets
from distillab.errors import RequestError, unknown_name
from distillab.factors.factor import (
    Amount,
    Aspect,
    Configuration,
    Factor,
    FactorContext,
    Level,
    Manipulation,
    factor,
)
from distillab.factors.inputs.corruptions import Corrupted, Corruption, check_corruptible
from distillab.factors.inputs.energy_distance import energy_distance
from distillab.factors.subsets import LABELS_OR_SETS, ranks_in_class, rounded

_CHECKED_IMAGES = 64  # that a check makes and compares
_RECORRUPTED = 16  # images corrupted at every severity, which is slow at 224 pixels
_SEVERITIES = range(6)


def _pairs(value: Any) -> Any:
    """Return a mapping as pairs of names, which can be compared and hashed like the rest of a factor."""
    if isinstance(value, Mapping):
        return tuple((str(other), str(own)) for other, own in value.items())
    return tuple(map(tuple, value)) if isinstance(value, list) else value


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


NamePairs = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)]
Corruptions = Annotated[tuple[Corruption, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


@factor("shift")
class Shift(Factor):
    """Images from elsewhere. Level: the severity of a corruption, 0 to 5, or the share of images replaced.

    With ``corruption``, severity 0 leaves images as they are (Hendrycks and Dietterich, ICLR 2019).

    With ``to``, the share of the level of each class, rounded to whole images, takes the pixels of images of
    the same class of the other dataset, each used once: train for the roles teacher and transfer, val for
    val, test for eval. Classes are the same if they, or their coarser classes, have the same name, or by
    ``class_map``.

    A test set ``shifted`` is added: the corrupted test set, unless ``roles`` name ``eval`` so that the test
    set itself is corrupted, or the test set of the other dataset.

    Attributes:
        level: Severity (whole number) or share, in [0, 1].
        corruption: One or several names (of several, each image gets one, drawn for it), for images of at
            least 32 pixels per side.
        to: The name of another dataset of the study (``others``).
        class_map: Pairs of a class of the other dataset and the class of this one that it stands for.

    Example:
        >>> Shift(level=3, corruption=["fog", "motion_blur"]).description
        'fog or motion blur of severity 3'
        >>> Shift(level=0.5, to="scans").description
        'a share 0.5 from scans'
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"pixels"})
    needs_context: ClassVar[bool] = True  # for other datasets
    takes_unlabelled: ClassVar[bool] = True
    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 0.0, "to": "other"},
        {"level": 0.1, "to": "other"},
        {"level": 0.3, "to": "other"},
        {"level": 0.25, "to": "other", "class_map": {"class 0": "class 1", "class 1": "class 0"}},
    )
    references: ClassVar[tuple[Level, ...]] = (0.0,)

    level: Annotated[Amount, Field(ge=0, le=5)]
    corruption: Corruptions | None = None
    to: str | None = None
    class_map: NamePairs = ()

    @model_validator(mode="after")
    def _one_shift(self) -> Self:
        if (self.corruption is None) == (self.to is None):
            raise ValueError("a shift is either a `corruption` or `to` another dataset")
        if self.corruption and not self.level.is_integer():
            raise ValueError(f"{self.level:g} is not a severity: it must be a whole number from 0 to 5")
        if self.to and self.level > 1:
            raise ValueError(f"{self.level:g} is not a share of images: it must be at most 1")
        if self.corruption and self.class_map:
            raise ValueError("a corruption needs no `class_map`")
        return self

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return LABELS_OR_SETS if self.corruption else (Labels,)

    @property
    def kinds_of_items(self) -> tuple[str, ...] | None:
        return (IMAGE,) if self.corruption else None

    @property
    def other_dataset(self) -> str | None:
        return self.to

    @property
    def phrase(self) -> str:
        if self.corruption:
            return f"{' or '.join(self.corruption).replace('_', ' ')} of severity {{}}"
        return f"a share {{}} from {self.to}"

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the same images with other pixels.

        Raises:
            RequestError: The images cannot be corrupted, or the other dataset does not fit or is too small.
        """
        key, donor_key = (int(number) for number in rng.integers(2**63, size=2))
        if self.corruption:
            return self._corrupted(examples, self.corruption)
        context = self.require_context(context)
        donors = self._donors(self._split(self._other(context), context.role), examples)
        wanted = rounded(self.level * examples.counts)
        self._check_enough(examples, donors, wanted)
        if self.level == 0:
            return examples
        return _replaced(examples, donors, wanted, key, donor_key)

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """Return the shifted test set."""
        if self.to:
            other = self._other(self.require_context(context))
            return {"shifted": self._donors(self._split(other, "eval"), test)}
        if self.corruption and self.level and "eval" not in self.roles:
            return {"shifted": self._corrupted(test, self.corruption)}
        return {}

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the share of images of the other dataset, or the severity of the corruption.

        Each class is rounded by at most half an image. The severity is the one whose images are nearest,
        pixel by pixel, to those of an evenly spaced sample.
        """
        if self.corruption:
            return self._check_of_corruption(before, after)
        elsewhere = _from_elsewhere(before, after)
        replaced = float(elsewhere[before.labelled].mean())
        tolerance = 0.5 * np.count_nonzero(before.counts) / max(int(before.counts.sum()), 1) + 1e-9
        sample = np.flatnonzero(elsewhere)
        sample = sample[_evenly(len(sample))]
        pairs = before.items(sample), after.items(sample)
        far = energy_distance(*pairs, before.modality) if len(sample) > 1 else 0.0
        note = f"energy distance to those replaced {far:.2f}"
        what = f"share of images from {self.to}"
        return Manipulation(self.name, what, self.level, replaced, float(tolerance), note)

    def _check_of_corruption(self, before: Examples, after: Examples) -> Manipulation:
        sample = _evenly(len(before))
        was, now = before.pixels(sample), after.pixels(sample)
        change = np.abs(now.astype(np.float64) - was)
        share = float(np.mean(change.max(axis=(1, 2, 3)) > 0))
        far = energy_distance(was, now) if share else 0.0
        note = (
            f"{share:.0%} of images changed, a pixel by {change.mean():.1f} of 255, energy distance {far:.2f}"
        )
        found = self._nearest_severity(before, after)
        return Manipulation(self.name, "severity of the corruption", self.level, float(found), 0.5, note)

    def _nearest_severity(self, before: Examples, after: Examples) -> int:
        """Return the severity at which the images before come nearest to those after.

        It is 0 if they are the same; of severities that give the same images, the nearest to the level.
        """
        sample = _evenly(len(before), _RECORRUPTED)
        was, rows, now = before.pixels(sample), before.rows[sample], after.pixels(sample).astype(np.int16)

        def apart(severity: int) -> tuple[float, bool, float]:
            made = Corrupted(self.corruption or (), severity)(was, rows) if severity else was
            return float(np.abs(now - made).mean()), severity > 0, abs(severity - self.level)

        return min(_SEVERITIES, key=apart)

    def _corrupted(self, examples: Examples, corruptions: tuple[Corruption, ...]) -> Examples:
        check_corruptible(examples.shape)
        if self.level == 0:
            return examples
        return derived(examples, [Corrupted(corruptions, int(self.level))], keep=True)

    def _other(self, context: FactorContext) -> Dataset:
        others, name = context.dataset.others, str(self.to)
        if not others:
            raise RequestError(
                f"there is no other dataset {name!r}", where="shift", allowed="datasets named under `others`"
            )
        if name not in others:
            raise unknown_name("dataset", name, others, where="shift")
        return others[name]

    @staticmethod
    def _split(other: Dataset, role: str) -> Examples:
        splits = {"val": other.val, "eval": other.eval["test"]}
        return splits.get(role, other.train)

    def _donors(self, other: Examples, own: Examples) -> Examples:
        """Return the images of the other dataset whose classes are among our own, under our class names."""
        if other.shape != own.shape:
            raise RequestError(
                f"{self.to} has {_size(other)}, and the images to be replaced are {_size(own)}",
                where="shift",
                allowed="datasets of one size and number of channels; shift before factors that change it",
            )
        label = self._map(other, own)[other.labels]
        known = np.flatnonzero(label != UNLABELLED)
        return replace(
            other.select(known),
            targets=own.targets.with_values(label[known]),
            classes=own.classes,
            parents=own.parents,
            groups=None,
            group_names=(),
            student_transform=own.student_transform,
        )

    def _map(self, other: Examples, own: Examples) -> Indices:
        """Return the own class of each class of the other dataset, or -1.

        Returns:
            int64 ``[other classes + 1]``; the last entry is for unlabelled images.
        """
        names, places = dict(self.class_map), {name: label for label, name in enumerate(own.classes)}
        for other_name, own_name in self.class_map:
            if other_name not in other.classes:
                raise unknown_name("class", other_name, other.classes, where="shift.class_map")
            if own_name not in places:
                raise unknown_name("class", own_name, own.classes, where="shift.class_map")
        parents = other.parents or other.classes
        found = [
            places.get(names.get(name, name), places.get(parent, UNLABELLED))
            for name, parent in zip(other.classes, parents, strict=True)
        ]
        if missing := [own.classes[label] for label in range(len(places)) if label not in found]:
            raise RequestError(
                f"no class of {self.to} stands for {', '.join(map(repr, missing[:5]))}"
                + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
                where="shift.class_map",
                allowed=f"a class of {self.to} for every class of the data; {self.to} has "
                + ", ".join(map(repr, other.classes[:10])),
            )
        return np.array([*found, UNLABELLED], dtype=np.int64)

    def _check_enough(self, examples: Examples, donors: Examples, wanted: Indices) -> None:
        """Raise RequestError if the other dataset has too few images of a class."""
        if (wanted <= donors.counts).all():
            return
        share = np.where(examples.counts > 0, donors.counts / np.maximum(examples.counts, 1), np.inf)
        scarcest = int(share.argmin())
        raise RequestError(
            f"{self.to} has only {donors.counts[scarcest]} images of {examples.classes[scarcest]!r} to"
            f" replace {wanted[scarcest]} of {examples.counts[scarcest]}",
            where="shift",
            allowed=f"levels of at most {np.floor(share.min() * 1000) / 1000:g}, or fewer images",
        )


def _replaced(examples: Examples, donors: Examples, wanted: Indices, key: int, donor_key: int) -> Examples:
    """Give the first ``wanted[c]`` images of each class c the pixels of donors of that class, one for one.

    Both are in a random order of their class, drawn with ``key`` and ``donor_key``.
    """
    labelled = np.flatnonzero(examples.labelled)
    taken = labelled[_first(examples.select(labelled), wanted, key)]
    givers = _first(donors, wanted, donor_key)
    both = stacked(examples, donors.select(givers))
    rows = both.rows[: len(examples)].copy()
    rows[taken] = both.rows[len(examples) :]
    return replace(examples, pool=both.pool, rows=rows)


def _first(examples: Examples, wanted: Indices, key: int) -> Indices:
    """Return positions of the first ``wanted[c]`` images of each class c, class by class in random order."""
    ranks = ranks_in_class(examples, key)
    chosen = np.flatnonzero(ranks < wanted[examples.labels])
    return chosen[np.lexsort((ranks[chosen], examples.labels[chosen]))]


def _evenly(n: int, most: int = _CHECKED_IMAGES) -> Indices:
    """Return at most ``most`` evenly spaced positions among n, int64."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(np.int64))


def _from_elsewhere(before: Examples, after: Examples) -> npt.NDArray[np.bool_]:
    """Return which images are in a part of the pool that was added after ``before``, bool ``[N]``."""
    own = len(before.pool.items)
    items = after.pool.items
    grown = isinstance(items, StackedItems) and len(items.parts[0]) == own
    return after.rows >= own if grown else np.zeros(len(after), bool)


def _size(examples: Examples) -> str:
    channels, height, width = examples.shape
    return (
        f"{height}x{width} {'gray' if channels == 1 else 'RGB' if channels == 3 else f'{channels} channels'}"
    )
