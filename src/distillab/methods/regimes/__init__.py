"""Methods that differ in who teaches whom: peers, one's own past, one's own depths, nobody."""

from distillab.methods.regimes import multi_exit, mutual_learning, progressive_self, teacher_free

__all__ = ["multi_exit", "mutual_learning", "progressive_self", "teacher_free"]
