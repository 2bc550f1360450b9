"""How closely a mark that has nothing to do with an image's content goes with its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from distillab.data.derived import DerivedItems, ItemOperation, Unchanged, derived
from distillab.data.examples import Examples, Indices
from distillab.data.randomness import uniform
from distillab.errors import RequestError
from distillab.factors.cues import OPACITY, Cue, CueKind
from distillab.factors.factor import Change, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import ranks_in_class, rounded

NO_CUE = -1
GROUPS = ("aligned", "conflicting")


@factor("spurious")
class Spurious(Factor):
    """A cue that goes with the class. Level: the share of images with the cue of their own class.

    The share lies in [0, 1].
    There are as many cues as classes, and every image gets one. In each class the share of the level, rounded
    to whole images, gets that of the class; the others get that of any *other* class with equal chance. With
    K classes 1 / K is no association, 1 a perfect one; a cue is as frequent as its class at every level.
    Which image is how early in line for its own cue, and which it has otherwise, are drawn for its id.

    Images get the groups ``aligned`` and ``conflicting``, in place of those they had. Test sets stay without
    cues; beside them stand ``aligned`` (each image with the cue of its class), ``conflicting`` (with
    another's) and ``crossed`` (half of each class either way, so that its worst group is that of the two). If
    ``roles`` name ``eval``, a ``neutral`` set, without cues, is added.

    ``cue``: ``tint``, ``patch`` in a corner, ``background`` (a texture around a central ellipse, whatever the
    image shows there) or ``frame``; grey images get grey levels for colours. ``opacity`` is 0.4 for ``tint``
    and 1 for the others, if not said otherwise. After Arjovsky et al., "Invariant risk minimization", 2019
    (colours), and Sagawa et al., "Distributionally robust neural networks", ICLR 2020 (backgrounds, groups).
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"pixels"})
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
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
    def phrase(self) -> str:
        return f"{self.cue} of the own class on a share {{}}"

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The same images with cues, and groups. Raises RequestError if there is a single class."""
        who, what = self._keys(rng)
        return self._bearing(images, self._arranged(images, who, what, self.level))

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """The test set with cues that tell the truth, with cues that lie, and half and half."""
        who, what = self._keys(rng)
        sets = {
            "aligned": self._bearing(test, test.labels),
            "conflicting": self._bearing(test, self._another(test, what)),
            "crossed": self._bearing(test, self._arranged(test, who, what, 0.5)),
        }
        if "eval" in self.roles:
            sets["neutral"] = self._without(test)
        return sets

    def cues_of(self, images: Examples) -> Indices:
        """The class whose cue each image bears, int64 ``[N]``, or :data:`NO_CUE`."""
        base = self._base(images)
        return np.full(len(images), NO_CUE) if base is None else images.rows // base - 1

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """The share of images that bear the cue of their class, -1 if some bear none at all. Each class is
        rounded by half an image at most."""
        cues = self.cues_of(after)
        share = float(np.mean(cues == after.labels)) if (cues != NO_CUE).all() else -1.0
        tolerance = 0.5 * np.count_nonzero(after.counts) / max(len(after), 1) + 1e-9
        measure, note = f"share of images with the {self.cue} of their class", "Cramér's V of cue and class "
        note += f"{cramers_v(cues, after.labels):.2f}"
        return Manipulation(self.name, measure, self.level, share, float(tolerance), note)

    @staticmethod
    def _keys(rng: np.random.Generator) -> tuple[int, int]:
        who, what = rng.integers(2**63, size=2)
        return int(who), int(what)

    def _arranged(self, images: Examples, who: int, what: int, share: float) -> Indices:
        """The cue that each image gets if ``share`` of every class get their own, int64 ``[N]``."""
        own = ranks_in_class(images, who) < rounded(share * images.counts)[images.labels]
        return np.where(own, images.labels, self._another(images, what))

    @staticmethod
    def _another(images: Examples, what: int) -> Indices:
        """A class that is not its own for each image, int64 ``[N]``."""
        classes = len(images.classes)
        if classes < 2:
            raise RequestError("a single class has no other's cue to bear", where="spurious")
        step = 1 + (uniform(images.ids, what) * (classes - 1)).astype(np.int64)
        return np.asarray((images.labels + step) % classes)

    def _looks(self, classes: int) -> tuple[ItemOperation, ...]:
        """All that can be done to an image: nothing, and the cue of each class."""
        opacity = OPACITY[self.cue] if self.opacity is None else self.opacity
        return (Unchanged(), *(Cue(self.cue, number, classes, opacity) for number in range(classes)))

    def _bearing(self, images: Examples, cues: Indices) -> Examples:
        """The images with these cues, in place of those they have. All share one pool."""
        base = self._base(images)
        if base is None:
            made = derived(images, self._looks(len(images.classes)), cues + 1)
        else:
            made = replace(images, rows=images.rows % base + base * (cues + 1))
        conflicting = np.not_equal(cues, images.labels).astype(np.int64)
        return replace(made, groups=conflicting, group_names=GROUPS)

    def _without(self, images: Examples) -> Examples:
        base = self._base(images)
        if base is None:
            raise RequestError(
                "the cues of the test images cannot be taken off any more",
                where="spurious",
                allowed="spurious written after the factors that change the pixels of eval",
            )
        return replace(images, rows=images.rows % base, groups=None, group_names=())

    def _base(self, images: Examples) -> int | None:
        """How many images lie below the cues, if these images lie in a pool of cues."""
        pixels = images.pool.items
        if isinstance(pixels, DerivedItems) and pixels.operations == self._looks(len(images.classes)):
            return len(pixels.base)
        return None


def cramers_v(first: Indices, second: Indices) -> float:
    """The association of two categories, from 0 (none) to 1 (one tells the other); 0 if one never varies.

    sqrt(chi^2 / (N min(rows - 1, columns - 1))), without correction for small samples (Cramer, 1946).
    """
    from scipy.stats import contingency  # not needed where sets are only opened

    table = contingency.crosstab(first, second).count
    if min(table.shape) < 2:
        return 0.0
    return float(contingency.association(table, method="cramer"))
