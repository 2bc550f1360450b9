"""How many images there are."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors.factor import Amount, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import first_of_each_class, must_have_each, ranks_in_class, rounded


@factor("size")
class Size(Factor):
    """How many images there are. Level: images a class, or a share of the images, or their number.

    ``unit: images_per_class`` takes the same number of every class. ``fraction`` and ``total`` keep the
    classes in proportion: the j-th image (from 0) of a class of n stands at (j + 1/2) / n, and the first
    images in that order are taken. These are Webster's divisor rule and its numbers; unlike largest
    remainders they never take an image back when the total grows (the Alabama paradox), so sets are nested.
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": 20},
        {"level": 7},
        {"level": 1},
        {"level": 1.0, "unit": "fraction"},
        {"level": 0.5, "unit": "fraction"},
        {"level": 0.33, "unit": "fraction"},
        {"level": 47, "unit": "total"},
        {"level": 40, "unit": "total"},
    )

    level: Amount
    unit: Literal["images_per_class", "fraction", "total"] = "images_per_class"

    @property
    def phrase(self) -> str:
        words = {
            "images_per_class": "{} images a class",
            "fraction": "{} of the images",
            "total": "{} images",
        }
        return words[self.unit]

    @model_validator(mode="after")
    def _level_fits_unit(self) -> Self:
        if self.unit == "fraction":
            if not 0 < self.level <= 1:
                raise ValueError(f"{self.level:g} is not a fraction: it must lie above 0 and be at most 1")
        elif self.level < 1 or not self.level.is_integer():
            raise ValueError(f"{self.level:g} is not a number of images: it must be whole and at least 1")
        return self

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """A stratified subset. Raises RequestError if a class, or the set, is too small for the level."""
        key = int(rng.integers(2**63))
        if self.unit == "images_per_class":
            must_have_each(images, self.level, "size")
            return first_of_each_class(images, key, int(self.level))
        place = (ranks_in_class(images, key) + 0.5) / images.counts[images.labels]
        total = self._total(images, place)
        # Equal places, one in each of several classes, are taken in the order of the classes.
        return images.select(np.sort(np.lexsort((images.labels, place))[:total]))

    def _total(self, images: Examples, place: np.ndarray[Any, np.dtype[np.float64]]) -> int:
        total = int(rounded(self.level * len(images))) if self.unit == "fraction" else int(self.level)
        if total > len(images):
            raise RequestError(
                f"{total} images were asked for",
                where="size",
                allowed=f"at most {len(images)}, all there are",
            )
        scarcest = int(np.where(images.counts > 0, images.counts, len(images) + 1).argmin())
        least = self._least(images, place)
        if total < least:
            raise RequestError(
                f"a stratified set of {total} images leaves {images.classes[scarcest]!r} without any",
                where="size",
                allowed=f"at least {least} images" + (f" ({least / len(images):.2g} of them)" * self._shares),
            )
        return total

    @property
    def _shares(self) -> bool:
        return self.unit == "fraction"

    @staticmethod
    def _least(images: Examples, place: np.ndarray[Any, np.dtype[np.float64]]) -> int:
        """The smallest total that gives every class that has images one of them."""
        return int(np.count_nonzero(place <= 0.5 / images.counts[images.counts > 0].min()))

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Count: the class count that is furthest from the level, the share kept, or the total."""
        if self.unit == "images_per_class":
            worst = after.counts[np.abs(after.counts - self.level).argmax()]
            return Manipulation(self.name, "images a class", self.level, float(worst), 0.0)
        kept = int(np.isin(after.ids, before.ids).sum())
        if self.unit == "total":
            return Manipulation(self.name, "images", self.level, float(kept), 0.0)
        tolerance = 0.5 / len(before) + 1e-9
        return Manipulation(self.name, "share of images kept", self.level, kept / len(before), tolerance)
