"""What factors leave behind, in words."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.factors.factor import Factor, Role


def describe_label_quality(factors: Sequence[Factor], role: Role) -> str:
    """Whether labels of a role are noisy or clean; nothing if no factor changes labels alone.

    Coarser labels are other classes, not noise.
    """
    noisy = [factor for factor in factors if "labels" in factor.changes and "classes" not in factor.changes]
    here = [factor.name for factor in noisy if role in factor.roles]
    if not noisy:
        return ""
    return f"labels noisy ({', '.join(here)})" if here else "labels clean"
