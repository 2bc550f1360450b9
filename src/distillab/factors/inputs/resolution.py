"""How many pixels an image has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from distillab.data.derived import derived
from distillab.data.examples import IMAGE, Examples, Indices, Pixels
from distillab.data.student_transform import StudentTransform
from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.factors.factor import Aspect, Configuration, Factor, FactorContext, Manipulation, factor
from distillab.factors.subsets import LABELS_OR_SETS

_SAMPLED_IMAGES = 256  # by a check
_FAINT = 1.0  # mean square, in gray levels, below which detail counts as rounding


@dataclass(frozen=True)
class Resampled:
    """The student transform applied to the images themselves, so that teachers see its output as well."""

    student_transform: StudentTransform

    @property
    def facts(self) -> Mapping[str, object]:
        return {
            "operation": "resampled",
            "side": self.student_transform.side,
            "back": self.student_transform.back,
        }

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        return self.student_transform.output_shape(before)

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        return (_through(self.student_transform, pixels) + np.float32(0.5)).clip(0, 255).astype(np.uint8)


def _through(student_transform: StudentTransform, pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return transformed pixels, float32 ``[N, C, H', W']`` in [0, 255]."""
    import torch  # slow to import

    return np.asarray(student_transform(torch.from_numpy(pixels).float()).numpy(), dtype=np.float32)


@factor("resolution")
class Resolution(Factor):
    """How many pixels an image has. Level: pixels per side, a whole number.

    All images of a study must have one size, so the default roles are transfer, val and eval, and teacher as
    well for ``sees: both``. With ``hold: compute`` other roles can be named, for example to test on coarser
    images than those of training.

    Attributes:
        level: Pixels per side.
        sees: Whose images are resampled (antialiased bilinear): the ``student``'s alone, while the teacher
            gets the same views in full, or those of ``both``.
        hold: ``architecture`` gives the network smaller or larger images: its layers stay and its compute
            changes. ``compute`` resizes the images back to their old size: the same compute on less detail.

    Example:
        >>> examples = Examples.of(np.zeros((2, 3, 8, 8), np.uint8), [0, 1], ("a", "b"))
        >>> Resolution(level=4, sees="both").apply(examples, np.random.default_rng(0)).shape
        (3, 4, 4)
        >>> coarse = Resolution(level=4).apply(examples, np.random.default_rng(0))
        >>> coarse.shape, coarse.student_shape
        ((3, 8, 8), (3, 4, 4))
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset({"pixels"})
    takes_unlabelled: ClassVar[bool] = True
    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": 8, "sees": "both"},
        {"level": 6, "sees": "both"},
        {"level": 16, "sees": "both"},
        {"level": 8, "sees": "both", "hold": "compute"},
        {"level": 5, "sees": "both", "hold": "compute"},
        {"level": 6},
        {"level": 16},
        {"level": 4, "hold": "compute"},
    )

    level: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=1, multiple_of=1)]
    sees: Literal["student", "both"] = "student"
    hold: Literal["compute", "architecture"] = "architecture"

    @model_validator(mode="before")
    @classmethod
    def _default_roles(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "roles" in values:
            return values
        teacher = ("teacher",) if values.get("sees") == "both" else ()
        return {**values, "roles": (*teacher, "transfer", "val", "eval")}

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        return LABELS_OR_SETS

    @property
    def kinds_of_items(self) -> tuple[str, ...] | None:
        return (IMAGE,)

    @property
    def phrase(self) -> str:
        whose = {"student": " for the student", "both": ""}[self.sees]
        return {"compute": "detail of {} pixels", "architecture": "{} pixels"}[self.hold] + whose

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the same images, resampled or with a student transform. Raises RequestError."""
        side = self._side(examples)
        if side == self.level:
            return examples
        student_transform = StudentTransform(int(self.level), back=self.hold == "compute")
        if self.sees == "student":
            return replace(examples, student_transform=student_transform)
        return derived(examples, [Resampled(student_transform)])

    def _side(self, examples: Examples) -> int:
        """Return the pixels per side of the images before the factor."""
        _, height, width = examples.shape
        if height != width:
            raise RequestError(
                f"images of {height}x{width} pixels are not square",
                where="resolution",
                allowed="square images: write `resolution` under `data` as well",
            )
        if self.hold == "compute" and self.level > height:
            raise RequestError(
                f"the compute of {height} pixels cannot hold the detail of {self.level:g}",
                where="resolution",
                allowed=f"levels of at most {height}, or `hold: architecture`",
            )
        return height

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the pixels per side that a student sees.

        For ``hold: compute``, measure how many of them are independent (see :func:`effective_side`), which
        cannot be more than before. Faint detail is not counted: a difference of one pixel, or of a twentieth
        of the level, is accepted.
        """
        if self.hold == "architecture":
            return Manipulation(self.name, "pixels per side", self.level, float(after.student_shape[1]), 0.0)
        requested = min(self.level, effective_side(before))
        measure = "independent pixels per side"
        return Manipulation(
            self.name, measure, float(requested), float(effective_side(after)), max(1.0, 0.05 * self.level)
        )


def effective_side(examples: Examples) -> int:
    """Return how many independent numbers a column of these images holds, as a student sees them.

    Images that were resized from s pixels per side have columns in a space of s dimensions. Those are
    counted: eigenvalues of the columns' second moments, over an evenly spaced sample of images, above 1
    squared gray level. Rounding to whole numbers alone causes 1/12, and n/12 where a resampled image repeats
    a row n times at its edge.
    """
    positions = np.unique(
        np.linspace(0, len(examples) - 1, min(_SAMPLED_IMAGES, len(examples))).astype(np.int64)
    )
    pixels = examples.pixels(positions)
    seen = (
        pixels.astype(np.float32)
        if examples.student_transform is None
        else _through(examples.student_transform, pixels)
    )
    height = seen.shape[2]
    columns = np.moveaxis(seen, 2, 0).reshape(height, -1).astype(np.float64)
    moments = columns @ columns.T / columns.shape[1]
    return int(np.count_nonzero(np.linalg.eigvalsh(moments) > _FAINT))
