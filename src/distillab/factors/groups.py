"""Which groups of images there are, and in what proportion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError, unknown_name
from distillab.factors.factor import Amount, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import ranks_in_class, rounded


@factor("groups")
class Groups(Factor):
    """Which groups of images there are. Level: the share of those of ``group``, or the name of a group.

    Groups are what the data have: domains, patients, cameras, sources. A share lies in [0, 1].
    ``kind: proportion`` mixes images of ``group`` with the rest. With ``hold: total`` every class keeps
    ``images_per_class`` images at every level, so that only the mix changes; by default as many as any level
    can be made of: the lesser of those in the group and those outside it. Within a class the images of the
    group that are there at one level are there at all higher ones, and those of the rest at all lower ones.
    With ``hold: rest`` all images outside the group stay, and a share p of a class is p / (1 - p) images of
    the group for each of them. ``only`` keeps the images of the named group, ``without`` all others.

    Every group of the test set is tested on its own as well, under its name.
    """

    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": 0.33, "group": "north", "hold": "rest"},
        {"level": 0.2, "group": "north", "hold": "rest"},
        {"level": 0.0, "group": "north", "hold": "rest"},
        {"level": 0.0, "group": "west"},
        {"level": 0.25, "group": "west", "images_per_class": 4},
        {"level": 0.5, "group": "west", "images_per_class": 6},
        {"level": 1.0, "group": "west", "images_per_class": 5},
        {"level": "north", "kind": "only"},
        {"level": "south", "kind": "without"},
    )

    level: Amount | str
    kind: Literal["proportion", "only", "without"] = "proportion"
    group: str | None = None
    hold: Literal["total", "rest"] = "total"
    images_per_class: Annotated[int, Field(strict=True, ge=1)] | None = None

    @property
    def phrase(self) -> str:
        group = str(self.group).replace("{", "{{").replace("}", "}}")
        words = {
            "proportion": f"a share {{}} from {group}",
            "only": "{} only",
            "without": "all but {}",
        }
        return words[self.kind]

    @model_validator(mode="after")
    def _level_fits_kind(self) -> Self:
        proportion = self.kind == "proportion"
        if proportion == isinstance(self.level, str):
            wanted = "a share of the images" if proportion else "the name of a group"
            raise ValueError(f"level {self.level!r} does not fit: for kind {self.kind} it is {wanted}")
        if proportion != (self.group is not None):
            raise ValueError("'group' names the group of kind proportion, and of no other")
        if not proportion and (self.hold != "total" or self.images_per_class is not None):
            raise ValueError("'hold' and 'images_per_class' are for kind proportion")
        if not isinstance(self.level, str):
            highest = 1 if self.hold == "total" else np.nextafter(1, 0)
            if not 0 <= self.level <= highest:
                raise ValueError(f"{self.level:g} is not a share: it must be at least 0 and at most 1")
        if self.hold == "rest" and self.images_per_class is not None:
            raise ValueError("'images_per_class' is for 'hold: total'")
        return self

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """A subset. Raises RequestError if there is no such group, or too few of its images, or of others."""
        inside = self._inside(images)
        if isinstance(self.level, str):
            kept = inside if self.kind == "only" else ~inside
            self._must_hold_every_class(images, kept)
            return images.select(kept)
        key = int(rng.integers(2**63))
        mine, rest = images.select(inside), images.select(~inside)
        of_group, of_rest = self._counts(images, mine.counts, rest.counts, self.level)
        kept = np.empty(len(images), dtype=bool)
        kept[inside] = ranks_in_class(mine, key) < of_group[mine.labels]
        kept[~inside] = ranks_in_class(rest, key) < of_rest[rest.labels]
        return images.select(kept)

    @property
    def _name(self) -> str:
        return self.level if isinstance(self.level, str) else str(self.group)

    def _inside(self, images: Examples) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which images are in the group, bool ``[N]``. Raises RequestError if there is no such group."""
        if images.groups is None:
            raise RequestError(
                "these images have no groups",
                where="groups",
                allowed="a source whose images have groups in all splits (`group`, or a folder's `layout`)",
            )
        there = [images.group_names[group] for group in np.unique(images.groups)]
        if self._name not in images.group_names:
            raise unknown_name("group", self._name, there, where="groups")
        if self._name not in there:
            raise RequestError(
                f"group {self._name!r} has no images here", where="groups", allowed=", ".join(there)
            )
        return np.equal(images.groups, images.group_names.index(self._name))

    def _must_hold_every_class(self, images: Examples, kept: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        left = images.select(kept).counts
        if (empty := np.flatnonzero((left == 0) & (images.counts > 0))).size:
            raise RequestError(
                f"{self.phrase.format(self.level)} leaves class {images.classes[empty[0]]!r} without images",
                where="groups",
                allowed=f"groups of images of every class, or `classes` of the source: {self._told(images)}",
            )

    def _told(self, images: Examples) -> str:
        """The groups with the number of classes they hold."""
        groups = np.unique(np.stack([np.asarray(images.groups), images.labels]), axis=1)[0]
        names, counts = np.unique(groups, return_counts=True)
        return ", ".join(f"{images.group_names[n]} has {c}" for n, c in zip(names, counts, strict=True))

    def _counts(
        self, images: Examples, mine: Indices, rest: Indices, level: float
    ) -> tuple[Indices, Indices]:
        """Images a class from the group and from the rest, int64 ``[K]`` each."""
        if self.hold == "rest":
            wanted, others = rounded(rest * level / (1 - level)), rest
        else:
            each = (
                np.minimum(mine, rest)
                if self.images_per_class is None
                else np.full_like(mine, self.images_per_class)
            )
            wanted = rounded(level * each)
            others = each - wanted
            if (none := np.flatnonzero(each == 0)).size:
                c = none[0]
                raise RequestError(
                    f"class {images.classes[c]!r} has {mine[c]} images of group {self._name!r} and {rest[c]}"
                    " of others",
                    where="groups",
                    allowed="some of both, or `images_per_class`",
                )
        for counts, there, noun in ((wanted, mine, "of"), (others, rest, "outside")):
            if (short := np.flatnonzero(counts > there)).size:
                c = short[0]
                raise RequestError(
                    f"class {images.classes[c]!r} would need {counts[c]} images {noun} group {self._name!r}",
                    where="groups",
                    allowed=f"at most {there[c]}, all there are: another share, or fewer `images_per_class`",
                )
        return wanted, others

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """The test images of every group, by its name."""
        if test.groups is None:
            return {}
        return {
            _eval_name(name): test.select(test.groups == group)
            for group, name in enumerate(test.group_names)
            if (test.groups == group).any()
        }

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """The share of the images that are of the group. Every class is rounded by half an image at most."""
        names = after.group_names
        member = np.equal(after.groups, names.index(self._name)) if after.groups is not None else np.zeros(0)
        measured = float(member.mean()) if len(member) else float("inf")
        measure = f"share of images of group {self._name}"
        if isinstance(self.level, str):
            return Manipulation(self.name, measure, float(self.kind == "only"), measured, 0.0)
        tolerance = 0.5 * np.count_nonzero(before.counts) / max(len(after), 1) + 1e-9
        return Manipulation(self.name, measure, self.level, measured, float(tolerance))


def _eval_name(group: str) -> str:
    """A group's name as that of a test set; the primary one is called ``test``."""
    return group if group != "test" else "group test"
