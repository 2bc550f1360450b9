"""How many pixels an image has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from distillab.data.derived import derived
from distillab.data.examples import Examples, Indices, Pixels
from distillab.data.student_transform import StudentTransform
from distillab.errors import RequestError
from distillab.factors.factor import Change, Factor, FactorContext, Manipulation, factor

SAMPLE = 256  # images that a check looks at
FAINT = 1.0  # mean square, in grey levels, of what a check takes for the rounding of pixels


@dataclass(frozen=True)
class Resampled:
    """Images of another size: what a lens shows a student, for everybody."""

    student_transform: StudentTransform

    @property
    def facts(self) -> Mapping[str, Any]:
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
    """Pixels as a lens shows them, float32 ``[N, C, H', W']`` in [0, 255]."""
    import torch  # image sets are opened where torch is not needed

    return np.asarray(student_transform(torch.from_numpy(pixels).float()).numpy(), dtype=np.float32)


@factor("resolution")
class Resolution(Factor):
    """How many pixels an image has. Level: pixels a side, a whole number.

    ``sees``: whose images are resampled (antialiased bilinear): the ``student``'s, whose teacher is shown the
    same views whole, or ``both``'s. ``hold: architecture`` gives the network smaller images, or larger ones:
    its layers stay as they are and its compute changes. ``hold: compute`` spreads what is left over the old
    size again: the same compute on less detail.

    All images of a study must be of one size, so unless roles are named these are transfer, val and eval,
    and teacher as well where both see less. With ``hold: compute`` other roles can be named: a test on
    coarser images than those one learned from, say.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"pixels"})
    takes_unlabelled: ClassVar[bool] = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
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
    def _everybody_unless_told(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "roles" in values:
            return values
        teacher = ("teacher",) if values.get("sees") == "both" else ()
        return {**values, "roles": (*teacher, "transfer", "val", "eval")}

    @property
    def phrase(self) -> str:
        whose = {"student": " for the student", "both": ""}[self.sees]
        return {"compute": "detail of {} pixels", "architecture": "{} pixels"}[self.hold] + whose

    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The same images resampled, or under a lens. Raises RequestError if they cannot be."""
        side = self._side(images)
        if side == self.level:
            return images
        student_transform = StudentTransform(int(self.level), back=self.hold == "compute")
        if self.sees == "student":
            return replace(images, student_transform=student_transform)
        return derived(images, [Resampled(student_transform)])

    def _side(self, images: Examples) -> int:
        """Pixels a side of the images as they are."""
        _, height, width = images.shape
        if height != width:
            raise RequestError(
                f"images of {height}x{width} pixels have no one side",
                where="resolution",
                allowed="square images: write `resolution` under `data` as well",
            )
        if self.hold == "compute" and self.level > height:
            raise RequestError(
                f"at the compute of {height} pixels there cannot be the detail of {self.level:g}",
                where="resolution",
                allowed=f"levels of at most {height}, or `hold: architecture`",
            )
        return height

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Pixels a side of what a student sees; where the size is held, how many are independent (see
        :func:`effective_side`), which cannot be more than there were. Faint detail is not counted: a
        difference of one pixel, or of a twentieth of the level, is accepted."""
        if self.hold == "architecture":
            return Manipulation(self.name, "pixels a side", self.level, float(after.student_shape[1]), 0.0)
        asked = min(self.level, effective_side(before))
        measure = "independent pixels a side"
        return Manipulation(
            self.name, measure, float(asked), float(effective_side(after)), max(1.0, 0.05 * self.level)
        )


def effective_side(images: Examples) -> int:
    """How many numbers a column of these images really holds, as a student sees them.

    Images that were spread from s pixels a side have columns in a space of s dimensions. These are counted:
    eigenvalues of the columns' second moments, over an even sample of images, above :data:`FAINT`. Rounding
    to whole numbers alone causes 1/12, and n/12 where a resampled image repeats a row n times at its edge.
    """
    positions = np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(np.int64))
    pixels = images.pixels(positions)
    seen = (
        pixels.astype(np.float32)
        if images.student_transform is None
        else _through(images.student_transform, pixels)
    )
    height = seen.shape[2]
    columns = np.moveaxis(seen, 2, 0).reshape(height, -1).astype(np.float64)
    moments = columns @ columns.T / columns.shape[1]
    return int(np.count_nonzero(np.linalg.eigvalsh(moments) > FAINT))
