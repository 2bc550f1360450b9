"""StoredOutputs: which teacher outputs a study stores."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_DEFAULT_BUDGET = 8 * 10**9


class StoredOutputs(BaseModel):
    """What a study may store of its teachers' outputs.

    Attributes:
        budget: Bytes for the stored outputs of all teachers together, as a number or with a unit. Outputs
            that do not fit are computed live; 0 stores nothing.
        top_k: How many logits are stored per view, the largest ones; all by default.

    Raises:
        ValueError: A value is out of its range, or the budget is not an amount of bytes.

    Example:
        >>> StoredOutputs(budget="8 GB").budget
        8000000000
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int = Field(default=_DEFAULT_BUDGET, ge=0)
    top_k: int | None = Field(default=None, ge=1)

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_unit(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", value)
        if found is None or found[2].lower() not in _UNITS:
            raise ValueError(
                f"{value!r} is not an amount of bytes: write a number, or one with kB, MB, GB or TB"
            )
        return int(float(found[1]) * _UNITS[found[2].lower()])
