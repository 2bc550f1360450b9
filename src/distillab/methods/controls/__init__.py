"""What methods are judged against: no teacher, or one that cannot know more than the student."""

from distillab.methods.controls import ce, label_smoothing, random_teacher, self_distillation

__all__ = ["ce", "label_smoothing", "random_teacher", "self_distillation"]
