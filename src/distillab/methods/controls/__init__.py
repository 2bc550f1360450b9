"""Controls that methods are compared with: no teacher, or one that cannot know more than the student."""

from distillab.methods.controls import (
    ce,
    ce_long,
    ce_throughout,
    exits,
    label_smoothing,
    random_teacher,
    self_distillation,
)

__all__ = [
    "ce",
    "ce_long",
    "ce_throughout",
    "exits",
    "label_smoothing",
    "random_teacher",
    "self_distillation",
]
