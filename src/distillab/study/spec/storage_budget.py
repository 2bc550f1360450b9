"""What a study may store: outputs of its teachers, and curves of what it trains."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from distillab.canonical import seed_from

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_DEFAULT_BUDGET = 8 * 10**9


class StoredOutputs(BaseModel):
    """What a study may store of its teachers' outputs.

    Attributes:
        budget: Bytes for the stored outputs of all teachers together, as a number or with a unit. Outputs
            that do not fit are computed live; 0 stores nothing.
        top_k: How many logits are stored per view, the largest ones; all by default.
        views: Whether a teacher sees the ``same`` view of an example as its student does, or an
            ``independent`` one, drawn with another seed. Independent views need stored outputs.

    Raises:
        ValueError: A value is out of its range, or the budget is not an amount of bytes.

    Example:
        >>> StoredOutputs(budget="8 GB").budget
        8000000000
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int = Field(default=_DEFAULT_BUDGET, ge=0)
    top_k: int | None = Field(default=None, ge=1)
    views: Literal["same", "independent"] = "same"

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_unit(cls, value: Any) -> Any:
        return parse_bytes(value)

    def view_seed(self, seed: int) -> int:
        """Return the seed of a teacher's views where ``seed`` is that of its student's."""
        return seed_from("teacher views", seed) if self.views == "independent" else seed


class CurvesSpec(BaseModel):
    """What a study keeps of a network at each point of its validation curve, beside the score on val.

    It is written while networks train and read by nothing that trains, selects or stops, so it is not part of
    run ids.

    Attributes:
        test: Whether networks are evaluated on the test sets.
        logits: Bytes for the logits of the test examples, of all networks of the study together, as a number
            or with a unit. If those of all points do not fit, each network keeps evenly spread ones.

    Raises:
        ValueError: A value is out of its range, or the amount is not one of bytes.

    Example:
        >>> CurvesSpec(test=True, logits="50 MB").logits
        50000000
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: bool = False
    logits: int = Field(default=0, ge=0)

    @field_validator("logits", mode="before")
    @classmethod
    def _parse_unit(cls, value: Any) -> Any:
        return parse_bytes(value)

    @model_validator(mode="after")
    def _logits_need_test(self) -> CurvesSpec:
        if self.logits and not self.test:
            raise ValueError("curves.logits keeps what curves.test evaluates: set test: true as well")
        return self


def parse_bytes(value: Any) -> Any:
    """Return an amount of bytes with a unit as a number; what is no text is returned as it is.

    Raises:
        ValueError: The text is not an amount of bytes.

    Example:
        >>> parse_bytes("8 GB"), parse_bytes(512)
        (8000000000, 512)
    """
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", value)
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not an amount of bytes: write a number, or one with kB, MB, GB or TB")
    return int(float(found[1]) * _UNITS[found[2].lower()])
