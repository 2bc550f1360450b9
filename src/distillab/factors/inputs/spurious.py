"""How strongly a mark unrelated to an image's content is associated with its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from distillab.data.derived import DerivedItems, ItemOperation, Unchanged, derived
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.randomness import uniform
from distillab.errors import RequestError
from distillab.factors.factor import Aspect, Configuration, Factor, FactorContext, Manipulation, factor
from distillab.factors.inputs.cues import OPACITY, CueKind, CueOverlay
from distillab.factors.subsets import ranks_in_class, rounded

NO_CUE = -1
_ALIGNMENTS = ("aligned", "conflicting")


@factor("spurious")
class Spurious(Factor):
    """A cue associated with the class. Level: the share of images with the cue of their own class, in [0, 1].

    There are as many cues as classes, and every image gets one. In each class the share of the level, rounded
    to whole images, gets the cue of the class; the others get that of any *other* class with equal
    probability. With K classes 1 / K is no association and 1 a perfect one; a cue is as frequent as its class
    at every level. The rank of an image for its own cue, and its cue otherwise, are drawn for its id.

    Images get the groups ``aligned`` and ``conflicting``, in place of their previous groups. Test sets stay
    without cues; three are added: ``aligned`` (each image with the cue of its class), ``conflicting`` (with
    another class's cue) and ``crossed`` (half of each class either way, so that its worst group is the worse
    of the two). If ``roles`` name ``eval``, a ``neutral`` set without cues is added.

    After Arjovsky et al., "Invariant risk minimization", 2019 (colors), and Sagawa et al.,
    "Distributionally robust neural networks", ICLR 2020 (backgrounds, groups).

    Attributes:
        level: Share of images with the cue of their own class.
        cue: ``tint``, ``patch`` in a corner, ``background`` (a texture around a central ellipse, whatever
            the image shows there) or ``frame``; gray images get gray levels for colors.
        opacity: Opacity of the cue, by default 0.4 for ``tint`` and 1 for the others.

    Example:
        >>> examples = Examples.of(np.zeros((8, 3, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> marked = Spurious(level=0.75).apply(examples, np.random.default_rng(0))
        >>> [marked.group_names[group] for group in marked.groups].count("aligned")
        6
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"pixels"})
    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 0.0},
        {"level": 0.34},
        {"level": 1.0},
        {"level": 0.5, "cue": "patch"},
        {"level": 0.9, "cue": "patch"},
        {"level": 0.95, "cue": "background"},
        {"level": 1.0, "cue": "background"},
        {"level": 0.7, "cue": "frame", "opacity": 0.5},
    )

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
    cue: CueKind = "tint"
    opacity: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None

    @property
    def kinds_of_items(self) -> tuple[str, ...] | None:
        return (IMAGE,)

    @property
    def phrase(self) -> str:
        return f"{self.cue} of the own class on a share {{}}"

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the same images with cues and groups. Raises RequestError if there is a single class."""
        order_key, cue_key = self._keys(rng)
        return self._marked(examples, self._cues(examples, order_key, cue_key, self.level))

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """Return the test set with aligned, conflicting and mixed cues."""
        order_key, cue_key = self._keys(rng)
        sets = {
            "aligned": self._marked(test, test.labels),
            "conflicting": self._marked(test, self._other_cues(test, cue_key)),
            "crossed": self._marked(test, self._cues(test, order_key, cue_key, 0.5)),
        }
        if "eval" in self.roles:
            sets["neutral"] = self._without(test)
        return sets

    def cues_of(self, examples: Examples) -> Indices:
        """Return the class whose cue each image has, int64 ``[N]``, or :data:`NO_CUE`."""
        base = self._base(examples)
        return np.full(len(examples), NO_CUE) if base is None else examples.rows // base - 1

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the share of images with the cue of their class, or -1 if some have no cue.

        Each class is rounded by at most half an image.
        """
        cues = self.cues_of(after)
        share = float(np.mean(cues == after.labels)) if (cues != NO_CUE).all() else -1.0
        tolerance = 0.5 * np.count_nonzero(after.counts) / max(len(after), 1) + 1e-9
        measure, note = f"share of images with the {self.cue} of their class", "Cramér's V of cue and class "
        note += f"{association(cues, after.labels):.2f}"
        return Manipulation(self.name, measure, self.level, share, float(tolerance), note)

    @staticmethod
    def _keys(rng: np.random.Generator) -> tuple[int, int]:
        order_key, cue_key = rng.integers(2**63, size=2)
        return int(order_key), int(cue_key)

    def _cues(self, examples: Examples, order_key: int, cue_key: int, share: float) -> Indices:
        """Return the cue that each image gets if ``share`` of every class get their own, int64 ``[N]``."""
        own = ranks_in_class(examples, order_key) < rounded(share * examples.counts)[examples.labels]
        return np.where(own, examples.labels, self._other_cues(examples, cue_key))

    @staticmethod
    def _other_cues(examples: Examples, key: int) -> Indices:
        """Return a class other than its own for each image, int64 ``[N]``."""
        classes = len(examples.classes)
        if classes < 2:
            raise RequestError("a single class has no other class's cue", where="spurious")
        step = 1 + (uniform(examples.ids, key) * (classes - 1)).astype(np.int64)
        return np.asarray((examples.labels + step) % classes)

    def _operations(self, classes: int) -> tuple[ItemOperation, ...]:
        """Return the variants of an image: unchanged, and with the cue of each class."""
        opacity = OPACITY[self.cue] if self.opacity is None else self.opacity
        return (Unchanged(), *(CueOverlay(self.cue, number, classes, opacity) for number in range(classes)))

    def _marked(self, examples: Examples, cues: Indices) -> Examples:
        """Return the images with these cues in place of those they have. All share one pool."""
        base = self._base(examples)
        if base is None:
            made = derived(examples, self._operations(len(examples.classes)), cues + 1)
        else:
            made = replace(examples, rows=examples.rows % base + base * (cues + 1))
        conflicting = np.not_equal(cues, examples.labels).astype(np.int64)
        return replace(made, groups=conflicting, group_names=_ALIGNMENTS)

    def _without(self, examples: Examples) -> Examples:
        """Return the images without cues. Raises RequestError if a later factor has changed them."""
        base = self._base(examples)
        if base is None:
            raise RequestError(
                "the cues of the test images can no longer be removed",
                where="spurious",
                allowed="spurious written after the factors that change the pixels of eval",
            )
        return replace(examples, rows=examples.rows % base, groups=None, group_names=())

    def _base(self, examples: Examples) -> int | None:
        """Return the size of the pool below the cues, or None if these images have no cues."""
        items = examples.pool.items
        if isinstance(items, DerivedItems) and items.operations == self._operations(len(examples.classes)):
            return len(items.base)
        return None


def association(first: Indices, second: Indices) -> float:
    """Return Cramér's V of two categories, from 0 (independent) to 1; 0 if one of them is constant.

    sqrt(chi^2 / (N min(rows - 1, columns - 1))), without correction for small samples (Cramér, 1946).

    Args:
        first: int64 ``[N]``.
        second: int64 ``[N]``.
    """
    from scipy.stats import contingency  # slow to import

    table = contingency.crosstab(first, second).count
    if min(table.shape) < 2:
        return 0.0
    return float(contingency.association(table, method="cramer"))
