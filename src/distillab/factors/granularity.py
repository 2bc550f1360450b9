"""Fine labels or coarse ones."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors.factor import Change, Factor, FactorContext, Manipulation, Role, factor


@factor("granularity")
class Granularity(Factor):
    """Fine labels or coarse ones, on the same images. Level: ``fine`` or ``coarse``.

    ``fine`` are the classes of the data, ``coarse`` the coarser classes that they belong to.
    The data must tell the coarser class of each class: the key ``coarse`` of a source names its column. By
    default every role changes, the teacher's as well; ``roles: [transfer, val, eval]`` leaves a teacher of
    provenance ``full`` its fine classes.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"classes", "labels"})
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"level": "fine"}, {"level": "coarse"})

    level: Literal["fine", "coarse"]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("teacher", "transfer", "val", "eval")

    @property
    def phrase(self) -> str:
        return "{} labels"

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The same images under the asked labels. Raises RequestError if there are no coarser classes."""
        coarser = len(set(images.parents))
        if not coarser:
            raise RequestError(
                "the classes of these data belong to no coarser classes",
                where="granularity",
                allowed="a source that tells them, such as parquet with `coarse:` and the column",
            )
        if coarser < 2:
            raise RequestError(
                f"all classes belong to one coarser class, {images.parents[0]!r}",
                where="granularity",
                allowed="at least two coarser classes",
            )
        return images if self.level == "fine" else images.with_parents_as_classes()

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """The share of images that bear the name of their class, or of its coarser class."""
        names = before.classes if self.level == "fine" else before.parents
        was = dict(zip(before.ids.tolist(), before.labels.tolist(), strict=True))
        hits = [
            after.classes[label] == names[was[image]]
            for image, label in zip(after.ids.tolist(), after.labels.tolist(), strict=True)
        ]
        measure = f"share of images under their {self.level} label"
        return Manipulation(self.name, measure, 1.0, float(np.mean(hits)), 0.0)
