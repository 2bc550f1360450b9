"""The profile of a context: the measures of the transfer set that cost little."""

from __future__ import annotations

import math

from distillab.data.dataset import DataReport, Dataset
from distillab.profile.families import FAMILIES
from distillab.profile.profile import measure_families
from distillab.profile.profiled_dataset import ProfiledDataset
from distillab.study.planning.conditions import PRIMARY, Roles

CHEAP_FAMILIES = (
    *("size", "imbalance", "labels", "shortcuts", "appearance", "separability", "granularity", "dimension"),
)
"""The families that are measured; the others compare files, splits or data sets, or take long."""


def profile_of_transfer(roles: Roles) -> dict[str, float]:
    """Return the measures of a condition's transfer set, by their names in ``distillab profile``.

    They describe the examples that a student learns from, as a factor left them, and neither val nor test.
    A measure that is not determined is left out.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> from distillab.study.planning.conditions import Condition, Conditions
        >>> roles = Conditions(load_dataset(Digits(classes=2))).roles(Condition((), seed=0))
        >>> profile_of_transfer(roles)["classes"]
        2.0
    """
    dataset = Dataset(roles.read.name, roles.labelled, roles.val, {"test": roles.eval[PRIMARY]}, DataReport())
    families = measure_families(
        ProfiledDataset.of(dataset), {name: FAMILIES[name] for name in CHEAP_FAMILIES}
    )
    return {
        measure.key: float(measure.value)
        for family in families
        for measure in family.measures
        if math.isfinite(measure.value)
    }
