"""How far images lie from those that others learned from, or are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from distillab.data.dataset import Dataset
from distillab.data.derived import StackedItems, derived, stacked
from distillab.data.examples import Examples, Indices
from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError, unknown_name
from distillab.factors.corruptions import Corrupted, Corruption, must_be_possible
from distillab.factors.distance import energy_distance
from distillab.factors.factor import Amount, Change, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import ranks_in_class, rounded

SAMPLE = 64  # images that a check makes and looks at
RECORRUPTED = 16  # of them are corrupted at every severity, some of which take long at 224 pixels
SEVERITIES = range(6)


def _pairs(value: Any) -> Any:
    """A mapping as pairs of names, which can be compared and hashed like the rest of a factor."""
    if isinstance(value, Mapping):
        return tuple((str(theirs), str(ours)) for theirs, ours in value.items())
    return tuple(map(tuple, value)) if isinstance(value, list) else value


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


ClassNames = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)]
Corruptions = Annotated[tuple[Corruption, ...], BeforeValidator(_several), Field(min_length=1)]


@factor("shift")
class Shift(Factor):
    """Images from elsewhere. Level: the severity of a corruption, 0 to 5, or the share of images replaced.

    ``corruption``: one or several names (of several, an image meets one, drawn for it), at least 32 pixels a
    side; severity 0 leaves images as they are (Hendrycks and Dietterich, ICLR 2019).

    ``to``: the name of another dataset of the study (``others``). The share of the level of each class,
    rounded to whole images, takes the pixels of images of the same class of it, each once: train for the
    roles teacher and transfer, val for val, test for eval. Classes are the same if they, or their coarser
    classes, are called the same; ``class_map`` says what of theirs is called what of ours.

    Beside the test sets stands ``shifted``: the corrupted test set, unless ``roles`` name ``eval`` and so
    the test set is it, or the test set of the other dataset.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"pixels"})
    needs_context: ClassVar[bool] = True  # for other datasets
    takes_unlabelled: ClassVar[bool] = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": 0.0, "to": "other"},
        {"level": 0.1, "to": "other"},
        {"level": 0.3, "to": "other"},
        {"level": 0.25, "to": "other", "class_map": {"class 0": "class 1", "class 1": "class 0"}},
    )

    level: Annotated[Amount, Field(ge=0, le=5)]
    corruption: Corruptions | None = None
    to: str | None = None
    class_map: ClassNames = ()

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
    def phrase(self) -> str:
        if self.corruption:
            return f"{' or '.join(self.corruption).replace('_', ' ')} of severity {{}}"
        return f"a share {{}} from {self.to}"

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The same images with other pixels. Raises RequestError if they do not fit, or there are too few."""
        key, theirs_key = (int(number) for number in rng.integers(2**63, size=2))
        if self.corruption:
            return self._corrupted(images, self.corruption)
        context = self.context_of(context)
        theirs = self._as_ours(self._split(self._other(context), context.role), images)
        wanted = rounded(self.level * images.counts)
        self._must_suffice(images, theirs, wanted)
        if self.level == 0:
            return images
        return _replaced(images, theirs, wanted, key, theirs_key)

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """The test set as it is elsewhere."""
        if self.to:
            return {
                "shifted": self._as_ours(self._split(self._other(self.context_of(context)), "eval"), test)
            }
        if self.corruption and self.level and "eval" not in self.roles:
            return {"shifted": self._corrupted(test, self.corruption)}
        return {}

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """The share of images of the other dataset, each class being rounded by half an image at most. Of a
        corruption, the severity to whose images those of an even sample are nearest, pixel by pixel."""
        if self.corruption:
            return self._check_of_corruption(before, after)
        elsewhere = _from_elsewhere(before, after)
        replaced = float(elsewhere[before.labelled].mean())
        tolerance = 0.5 * np.count_nonzero(before.counts) / max(int(before.counts.sum()), 1) + 1e-9
        sample = np.flatnonzero(elsewhere)
        sample = sample[_evenly(len(sample))]
        far = energy_distance(before.pixels(sample), after.pixels(sample)) if len(sample) > 1 else 0.0
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
        """The severity at which the images before come nearest to those after: 0 if they are the same; of
        severities that make the same images the level's own."""
        sample = _evenly(len(before), RECORRUPTED)
        was, rows, now = before.pixels(sample), before.rows[sample], after.pixels(sample).astype(np.int16)

        def apart(severity: int) -> tuple[float, bool, float]:
            made = Corrupted(self.corruption or (), severity)(was, rows) if severity else was
            return float(np.abs(now - made).mean()), severity > 0, abs(severity - self.level)

        return min(SEVERITIES, key=apart)

    def _corrupted(self, images: Examples, corruptions: tuple[Corruption, ...]) -> Examples:
        must_be_possible(images.shape)
        if self.level == 0:
            return images
        return derived(images, [Corrupted(corruptions, int(self.level))], keep=True)

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

    def _as_ours(self, theirs: Examples, ours: Examples) -> Examples:
        """The images of the other dataset whose classes are among ours, called like ours."""
        if theirs.shape != ours.shape:
            raise RequestError(
                f"{self.to} has {_size(theirs)}, and the images that it should replace are {_size(ours)}",
                where="shift",
                allowed="datasets of one size and number of channels; shift before factors that change it",
            )
        label = self._map(theirs, ours)[theirs.labels]
        known = np.flatnonzero(label != UNLABELLED)
        return replace(
            theirs.select(known),
            targets=ours.targets.with_values(label[known]),
            classes=ours.classes,
            parents=ours.parents,
            groups=None,
            group_names=(),
            student_transform=ours.student_transform,
        )

    def _map(self, theirs: Examples, ours: Examples) -> Indices:
        """For each of their classes ours, or -1; int64 ``[their classes + 1]``, the last for no label."""
        names, places = dict(self.class_map), {name: label for label, name in enumerate(ours.classes)}
        for their, our in self.class_map:
            if their not in theirs.classes:
                raise unknown_name("class", their, theirs.classes, where="shift.class_map")
            if our not in places:
                raise unknown_name("class", our, ours.classes, where="shift.class_map")
        parents = theirs.parents or theirs.classes
        found = [
            places.get(names.get(their, their), places.get(parent, UNLABELLED))
            for their, parent in zip(theirs.classes, parents, strict=True)
        ]
        if missing := [ours.classes[label] for label in range(len(places)) if label not in found]:
            raise RequestError(
                f"no class of {self.to} stands for {', '.join(map(repr, missing[:5]))}"
                + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
                where="shift.class_map",
                allowed="a class of theirs for every class of ours; theirs are "
                + ", ".join(map(repr, theirs.classes[:10])),
            )
        return np.array([*found, UNLABELLED], dtype=np.int64)

    def _must_suffice(self, images: Examples, theirs: Examples, wanted: Indices) -> None:
        if (wanted <= theirs.counts).all():
            return
        share = np.where(images.counts > 0, theirs.counts / np.maximum(images.counts, 1), np.inf)
        scarcest = int(share.argmin())
        raise RequestError(
            f"{self.to} has only {theirs.counts[scarcest]} images of {images.classes[scarcest]!r} to replace"
            f" {wanted[scarcest]} of {images.counts[scarcest]}",
            where="shift",
            allowed=f"levels of at most {np.floor(share.min() * 1000) / 1000:g}, or fewer images",
        )


def _replaced(images: Examples, theirs: Examples, wanted: Indices, key: int, theirs_key: int) -> Examples:
    """The first ``wanted[c]`` images of each class c in a random order take the pixels of the first of theirs
    in another, one for one."""
    labelled = np.flatnonzero(images.labelled)
    taken = labelled[_first(images.select(labelled), wanted, key)]
    givers = _first(theirs, wanted, theirs_key)
    both = stacked(images, theirs.select(givers))
    rows = both.rows[: len(images)].copy()
    rows[taken] = both.rows[len(images) :]
    return replace(images, pool=both.pool, rows=rows)


def _first(images: Examples, wanted: Indices, key: int) -> Indices:
    """Positions of the ``wanted[c]`` first images of each class c, class by class in their random order."""
    ranks = ranks_in_class(images, key)
    chosen = np.flatnonzero(ranks < wanted[images.labels])
    return chosen[np.lexsort((ranks[chosen], images.labels[chosen]))]


def _evenly(n: int, most: int = SAMPLE) -> Indices:
    """At most ``most`` positions among n, evenly apart, int64."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(np.int64))


def _from_elsewhere(before: Examples, after: Examples) -> npt.NDArray[np.bool_]:
    """Which images lie in a part of the pool that was not there before, bool ``[N]``."""
    own = len(before.pool.items)
    pixels = after.pool.items
    grown = isinstance(pixels, StackedItems) and len(pixels.parts[0]) == own
    return after.rows >= own if grown else np.zeros(len(after), bool)


def _size(images: Examples) -> str:
    channels, height, width = images.shape
    return (
        f"{height}x{width} {'grey' if channels == 1 else 'RGB' if channels == 3 else f'{channels} channels'}"
    )
