"""How many labels are wrong."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from distillab.data.imageset import ImageSet, Indices
from distillab.data.randomness import uniform
from distillab.errors import RequestError
from distillab.factors.factor import Change, Factor, Manipulation, Scene, factor
from distillab.factors.subsets import ranks_in_class, rounded


@factor("label_noise")
class LabelNoise(Factor):
    """How many labels are wrong. Level: the share of labels changed, in [0, 1).

    The same share of every class is changed, rounded to whole images. ``kind: symmetric`` changes a label to
    any *other* class with equal chance (many papers let it fall back on the true class, so that their "40 %"
    of 10 classes is 36 % here); ``pair`` to the next class by index (Han et al., "Co-teaching", 2018).

    What an image's label changes to, and how early in its class, are drawn for the image's id. A set and a
    subset of it hence agree on the new labels, and on who is changed but for the rounding.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"labels"})
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": 0.0},
        {"level": 0.21},
        {"level": 0.4},
        {"level": 0.95},
        {"level": 0.0, "kind": "pair"},
        {"level": 0.3, "kind": "pair"},
        {"level": 0.45, "kind": "pair"},
    )

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
    kind: Literal["symmetric", "pair"] = "symmetric"

    def apply(self, images: ImageSet, rng: np.random.Generator, scene: Scene | None = None) -> ImageSet:
        """The same images with some labels changed. Raises RequestError if there is no other class."""
        who, what = (int(key) for key in rng.integers(2**63, size=2))
        classes = len(images.classes)
        if classes < 2:
            raise RequestError("a single class has no other label to take", where="label_noise")
        changed = ranks_in_class(images, who) < rounded(self.level * images.counts)[images.labels]
        step: Indices = np.ones(len(images), dtype=np.int64)
        if self.kind == "symmetric":
            step += (uniform(images.ids, what) * (classes - 1)).astype(np.int64)
        return images.relabel(np.where(changed, (images.labels + step) % classes, images.labels))

    def check(self, before: ImageSet, after: ImageSet) -> Manipulation:
        """The share of labels that differ, image by image. Each class is rounded by half an image at most."""
        differ = after.labels != _labels_by_id(before, after.ids)
        classes = int(np.count_nonzero(before.counts))
        tolerance = 0.5 * classes / len(before) + 1e-9
        return Manipulation(self.name, "share of labels changed", self.level, float(differ.mean()), tolerance)


def _labels_by_id(images: ImageSet, ids: Indices) -> Indices:
    """The label that each of ``ids`` has in ``images``. Raises ValueError if one is not there."""
    order = np.argsort(images.ids)
    found = np.minimum(np.searchsorted(images.ids, ids, sorter=order), len(images) - 1)
    positions = order[found]
    if not np.array_equal(images.ids[positions], ids):
        raise ValueError("an image after the factor was not there before it")
    return images.labels[positions]
