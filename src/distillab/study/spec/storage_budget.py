"""StoredOutputs: what a study keeps of what its teachers say."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
DEFAULT_BUDGET = 8 * 10**9


class StoredOutputs(BaseModel):
    """``{budget: 8 GB, top_k: 100}``.

    ``budget``: bytes that the stored outputs of all teachers may take together, as a number or with a unit.
    Streams that do not fit are asked live; 0 stores nothing. ``top_k``: of the logits, keep the likeliest
    classes only (all, unless given).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int = Field(default=DEFAULT_BUDGET, ge=0)
    top_k: int | None = Field(default=None, ge=1)

    @field_validator("budget", mode="before")
    @classmethod
    def _with_unit(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", value)
        if found is None or found[2].lower() not in UNITS:
            raise ValueError(f"{value!r} is no amount of bytes: write a number, or one with kB, MB, GB or TB")
        return int(float(found[1]) * UNITS[found[2].lower()])
