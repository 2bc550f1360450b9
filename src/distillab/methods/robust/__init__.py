"""Methods for imbalanced, wrongly labelled or biased data."""

from distillab.methods.robust import (
    balanced_kd,
    last_layer_transplant,
    long_tail_kd,
    sample_weighted_kd,
    worst_group_kd,
)

__all__ = ["balanced_kd", "last_layer_transplant", "long_tail_kd", "sample_weighted_kd", "worst_group_kd"]
