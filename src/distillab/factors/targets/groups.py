"""Which groups of examples there are, and in what proportion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from distillab.data.examples import Examples, Indices
from distillab.data.targets import Labels, Targets
from distillab.errors import RequestError, unknown_name
from distillab.factors.factor import Amount, Configuration, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import LABELS_OR_SETS, ranks_in_class, rounded, stratified


@factor("groups")
class Groups(Factor):
    """Which groups of examples there are. Level: the share of those of ``group``, or the name of a group.

    Groups are those of the data: domains, patients, cameras, sources. A share is in [0, 1].
    ``kind: proportion`` mixes examples of ``group`` with the rest. With ``hold: total`` every class keeps
    ``images_per_class`` examples at every level, so that only the mix changes; by default as many as every
    level can provide: the smaller of the numbers inside and outside the group. Within a class the examples of
    the group that are there at one level are there at all higher ones, and those of the rest at all lower
    ones. With ``hold: rest`` all examples outside the group stay, and a share p of a class is p / (1 - p)
    examples of the group for each of them. ``only`` keeps the examples of the named group, ``without`` all
    others.

    Of examples with label sets the whole set is mixed, instead of every class. Every group of the test set is
    also tested on its own, under its name.

    Attributes:
        level: A share for ``kind: proportion``, else the name of a group.
        kind: What the level does.
        group: The group whose share is the level, for ``kind: proportion``.
        hold: What is the same at every level, the total or the examples outside the group.
        images_per_class: Examples per class for ``hold: total``.

    Example:
        >>> Groups(level=0.25, group="hospital A").description
        'a share 0.25 from hospital A'
        >>> Groups(level="hospital A", kind="without").description
        'all but hospital A'
    """

    examples: ClassVar[tuple[Configuration, ...]] = (
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
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return (Labels,) if self.images_per_class is not None else LABELS_OR_SETS

    @property
    def phrase(self) -> str:
        group = str(self.group).replace("{", "{{").replace("}", "}}")
        phrases = {
            "proportion": f"a share {{}} from {group}",
            "only": "{} only",
            "without": "all but {}",
        }
        return phrases[self.kind]

    @model_validator(mode="after")
    def _level_fits_kind(self) -> Self:
        proportion = self.kind == "proportion"
        if proportion == isinstance(self.level, str):
            wanted = "a share of the examples" if proportion else "the name of a group"
            raise ValueError(f"level {self.level!r} does not fit: for kind {self.kind} it is {wanted}")
        if proportion != (self.group is not None):
            raise ValueError("'group' names the group of kind proportion, and of no other kind")
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
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return a subset. Raises RequestError for an unknown group, or too few examples."""
        inside = self._inside(examples)
        if isinstance(self.level, str):
            kept = inside if self.kind == "only" else ~inside
            self._check_classes(examples, kept)
            return examples.select(kept)
        key = int(rng.integers(2**63))
        strata = stratified(examples)
        members, rest = strata.select(inside), strata.select(~inside)
        of_group, of_rest = self._counts(strata, members.counts, rest.counts, self.level)
        kept = np.empty(len(examples), dtype=bool)
        kept[inside] = ranks_in_class(members, key) < of_group[members.labels]
        kept[~inside] = ranks_in_class(rest, key) < of_rest[rest.labels]
        return examples.select(kept)

    @property
    def _group(self) -> str:
        return self.level if isinstance(self.level, str) else str(self.group)

    def _inside(self, examples: Examples) -> npt.NDArray[np.bool_]:
        """Return whether each example is in the group, bool ``[N]``. Raises RequestError if none is."""
        if examples.groups is None:
            raise RequestError(
                "these examples have no groups",
                where="groups",
                allowed="a source whose examples have groups in all splits (`group`, or a folder's `layout`)",
            )
        present = [examples.group_names[group] for group in np.unique(examples.groups)]
        if self._group not in examples.group_names:
            raise unknown_name("group", self._group, present, where="groups")
        if self._group not in present:
            raise RequestError(
                f"group {self._group!r} has no examples here", where="groups", allowed=", ".join(present)
            )
        return np.equal(examples.groups, examples.group_names.index(self._group))

    def _check_classes(self, examples: Examples, kept: npt.NDArray[np.bool_]) -> None:
        """Raise RequestError if a class loses all its examples."""
        left = examples.select(kept).counts
        if (empty := np.flatnonzero((left == 0) & (examples.counts > 0))).size:
            raise RequestError(
                f"{self.phrase.format(self.level)} leaves class {examples.classes[empty[0]]!r} without"
                " examples",
                where="groups",
                allowed="groups with examples of every class, or `classes` of the source: "
                + _classes_by_group(examples),
            )

    def _counts(
        self, examples: Examples, inside: Indices, outside: Indices, level: float
    ) -> tuple[Indices, Indices]:
        """Return the examples per class to take from the group and from the rest, int64 ``[K]`` each."""
        if self.hold == "rest":
            wanted, others = rounded(outside * level / (1 - level)), outside
        else:
            each = (
                np.minimum(inside, outside)
                if self.images_per_class is None
                else np.full_like(inside, self.images_per_class)
            )
            wanted = rounded(level * each)
            others = each - wanted
            if (none := np.flatnonzero(each == 0)).size:
                c = none[0]
                raise RequestError(
                    f"class {examples.classes[c]!r} has {inside[c]} examples of group {self._group!r} and"
                    f" {outside[c]} of others",
                    where="groups",
                    allowed="some of both, or `images_per_class`",
                )
        for counts, present, place in ((wanted, inside, "of"), (others, outside, "outside")):
            if (short := np.flatnonzero(counts > present)).size:
                c = short[0]
                raise RequestError(
                    f"class {examples.classes[c]!r} would need {counts[c]} examples {place} group"
                    f" {self._group!r}",
                    where="groups",
                    allowed=f"at most {present[c]}, all there are: another share, or fewer"
                    " `images_per_class`",
                )
        return wanted, others

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """Return the test examples of every group, by its name."""
        if test.groups is None:
            return {}
        return {
            _eval_name(name): test.select(test.groups == group)
            for group, name in enumerate(test.group_names)
            if (test.groups == group).any()
        }

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the share of examples that are in the group, each class rounded by half an example."""
        names = after.group_names
        member = np.equal(after.groups, names.index(self._group)) if after.groups is not None else np.zeros(0)
        measured = float(member.mean()) if len(member) else float("inf")
        measure = f"share of examples of group {self._group}"
        if isinstance(self.level, str):
            return Manipulation(self.name, measure, float(self.kind == "only"), measured, 0.0)
        tolerance = 0.5 * np.count_nonzero(stratified(before).counts) / max(len(after), 1) + 1e-9
        return Manipulation(self.name, measure, self.level, measured, float(tolerance))


def _classes_by_group(examples: Examples) -> str:
    """Describe how many classes each group has."""
    groups = np.asarray(examples.groups)
    counts = {
        name: np.count_nonzero(examples.select(groups == group).counts)
        for group, name in enumerate(examples.group_names)
    }
    return ", ".join(f"{name} has {count}" for name, count in counts.items() if count)


def _eval_name(group: str) -> str:
    """Return a group's name as that of a test set; ``test`` is the name of the primary one."""
    return group if group != "test" else "group test"
