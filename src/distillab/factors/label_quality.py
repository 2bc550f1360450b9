"""Whether factors leave the labels of a role clean."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.factors.factor import Factor, Role


def describe_label_quality(factors: Sequence[Factor], role: Role) -> str:
    """Return whether the labels of a role are noisy or clean, or an empty string if no factor adds noise.

    Coarser labels are other classes, not noise.

    Example:
        >>> from distillab.factors import LabelNoise
        >>> noise = LabelNoise(level=0.4, roles=("transfer",))
        >>> describe_label_quality([noise], "transfer"), describe_label_quality([noise], "val")
        ('labels noisy (label_noise)', 'labels clean')
    """
    noisy = [factor for factor in factors if "labels" in factor.changes and "classes" not in factor.changes]
    here = [factor.name for factor in noisy if role in factor.roles]
    if not noisy:
        return ""
    return f"labels noisy ({', '.join(here)})" if here else "labels clean"
