"""What a context is described by: facts, measures of its profile, and predictors of its teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from distillab.base.schema import PREDICTOR, PROFILE
from distillab.canonical import JsonObject
from distillab.evidence.draws import FloatArray

Facts: TypeAlias = JsonObject
"""The columns of ``contexts.parquet`` by name; what is not known is None or missing."""

MOST_MISSING = 0.5  # share of contexts without a value above which a feature is left out
_LOGARITHMS = (
    *("n_classes", "n_train", "resolution", "steps", "epochs", "teacher_steps"),
    *("teacher_params", "student_params"),
)
_PROVENANCES = ("full", "external")
_COUNTS = ("images", "classes")  # measures of a profile that grow with the data: their logarithm is used


def features_of(facts: Facts) -> dict[str, float]:
    """Return the features of a context by name; NaN for what is not known.

    Counts are logarithms, so that a doubling is the same step everywhere; ratios that theory singles out
    (examples per class, teacher to student parameters) are features of their own.

    Example:
        >>> found = features_of({"n_classes": 10, "n_train": 1000, "provenance": "full"})
        >>> round(found["log n_train per class"], 2), found["provenance full"], found["log steps"]
        (4.61, 1.0, nan)
    """
    found = {f"log {name}": _log(facts.get(name)) for name in _LOGARITHMS}
    found["log n_train per class"] = found["log n_train"] - found["log n_classes"]
    found["log parameters teacher / student"] = found["log teacher_params"] - found["log student_params"]
    found["channels"] = _number(facts.get("channels"))
    provenance = facts.get("provenance")
    for name in _PROVENANCES:
        found[f"provenance {name}"] = math.nan if provenance is None else float(provenance == name)
    start = facts.get("initialisation")
    found["pretrained student"] = math.nan if start is None else float(start == "pretrained")
    for name, value in facts.items():
        if name.startswith(PROFILE):
            is_count = name.removeprefix(PROFILE) in _COUNTS
            found[name] = _log(value) if is_count else _number(value)
        elif name.startswith(PREDICTOR):
            found[name] = _number(value)
    return found


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of several contexts.

    Attributes:
        names: Names of the features.
        values: float64 ``[contexts, features]``, NaN for what is not known.

    Example:
        >>> table = FeatureTable.of([{"n_train": 100, "channels": 1}, {"n_train": 200, "channels": 3}])
        >>> table.names, table.values.shape
        (('log n_train', 'channels'), (2, 2))
        >>> table.row({"n_train": 100}).round(1).tolist()
        [4.6, nan]
    """

    names: tuple[str, ...]
    values: FloatArray

    @classmethod
    def of(cls, contexts: Sequence[Facts]) -> FeatureTable:
        """Return the table of contexts, without features that are constant or mostly unknown."""
        rows = [features_of(facts) for facts in contexts]
        names = list(dict.fromkeys(name for row in rows for name in row))
        values = np.array([[row.get(name, math.nan) for name in names] for row in rows], dtype=np.float64)
        values = values.reshape(len(rows), len(names))
        kept = [place for place in range(len(names)) if _varies(values[:, place])]
        return cls(tuple(names[place] for place in kept), values[:, kept])

    def row(self, facts: Facts) -> FloatArray:
        """Return the features of another context, float64 ``[features]``."""
        found = features_of(facts)
        return np.array([found.get(name, math.nan) for name in self.names], dtype=np.float64)


def _varies(column: npt.NDArray[np.float64]) -> bool:
    known = column[np.isfinite(column)]
    return len(known) >= (1 - MOST_MISSING) * len(column) and len(known) > 1 and bool(np.ptp(known) > 1e-12)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _log(value: Any) -> float:
    number = _number(value)
    return math.log(number) if number > 0 else math.nan
