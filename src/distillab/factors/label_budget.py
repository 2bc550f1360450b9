"""How much is kept of a teacher's outputs: views per example, classes per view, bits per class."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from distillab.factors.factor import Amount, Configuration, Manipulation, NetworkFactor, factor

FULL_BITS = 16
"""Bits of a logit as it is cached: half precision."""
Limit = Annotated[int, Field(ge=1, strict=True)]


@factor("label_budget")
class LabelBudget(NetworkFactor):
    """How much is kept of the soft labels. Level: views per example, classes per view, or bits per class.

    Soft labels that are stored take views x classes x bits. One of the three varies, and keys of the same
    names fix the others, which are not limited by default.

    - ``views``: the epochs use so many views of an example in turn, for the plain student as well, so that
      both still see the same pixels;
    - ``top_k``: of a view the probabilities of the likeliest classes are kept, and the sum of the others,
      which is spread evenly (Wu et al., TinyViT, ECCV 2022);
    - ``bits``: log-probabilities are rounded to 2^bits levels, evenly spaced between the smallest and the
      largest that is kept of a view.

    A plan measures the level by :meth:`check_kept`.

    Attributes:
        level: The number of what ``unit`` counts.
        unit: What the level counts.
        views: Views per example; None for one per epoch.
        top_k: Classes per view; None for all.
        bits: Bits per class; None for those of the cache, 16.
        roles: The students.

    Example:
        >>> budget = LabelBudget(level=5, unit="top_k", bits=4)
        >>> budget.description, budget.views_kept, budget.classes_kept, budget.bits_kept
        ('5 classes per view', 0, 5, 4)
        >>> budget.bytes_per_view(classes=100)
        6.875
    """

    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 4},
        {"level": 2},
        {"level": 3, "unit": "top_k"},
        {"level": 1, "unit": "top_k"},
        {"level": 8, "unit": "bits"},
        {"level": 4, "unit": "bits"},
    )

    level: Amount
    unit: Literal["views", "top_k", "bits"] = "views"
    views: Limit | None = None
    top_k: Limit | None = None
    bits: Annotated[Limit, Field(le=FULL_BITS)] | None = None
    roles: Annotated[tuple[Literal["transfer"], ...], Field(min_length=1)] = ("transfer",)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        most = FULL_BITS if self.unit == "bits" else math.inf
        if not self.level.is_integer() or not 1 <= self.level <= most:
            allowed = f"1 to {FULL_BITS}" if self.unit == "bits" else "at least 1"
            raise ValueError(f"{self.level:g} is not a number of {_NOUNS[self.unit]}: it must be {allowed}")
        if getattr(self, self.unit) is not None:
            raise ValueError(
                f"key {self.unit!r} is what the levels vary: leave it out, or choose another unit"
            )
        return self

    @property
    def phrase(self) -> str:
        return f"{{}} {_NOUNS[self.unit]}"

    @property
    def views_kept(self) -> int:
        """Views per example; 0 for one per epoch."""
        return self._kept("views", self.views)

    @property
    def classes_kept(self) -> int:
        """Classes per view; 0 for all."""
        return self._kept("top_k", self.top_k)

    @property
    def bits_kept(self) -> int:
        """Bits per class."""
        return self._kept("bits", self.bits) or FULL_BITS

    @property
    def changes_outputs(self) -> bool:
        """Whether outputs for a view are changed, and not only their number."""
        return bool(self.classes_kept) or self.bits_kept < FULL_BITS

    def bytes_per_view(self, classes: int) -> float:
        """Return the bytes that the labels of a view take: values, and which classes they belong to."""
        kept = min(self.classes_kept or classes, classes)
        names = 0 if kept == classes else math.ceil(math.log2(classes))
        return kept * (self.bits_kept + names) / 8

    def check_kept(self, planned: int, views: int, classes: int) -> Manipulation:
        """Measure what a planned training keeps.

        Args:
            planned: The number of what the level counts.
            views: Views per example of the training.
            classes: The number of classes.
        """
        size = views * self.bytes_per_view(classes)
        note = f"{size:,.0f} bytes of soft labels per example"
        return Manipulation(self.name, _NOUNS[self.unit], self.level, float(planned), 0.0, note)

    def _kept(self, unit: str, fixed: int | None) -> int:
        return int(self.level) if self.unit == unit else fixed or 0


_NOUNS = {"views": "views per example", "top_k": "classes per view", "bits": "bits per class"}
