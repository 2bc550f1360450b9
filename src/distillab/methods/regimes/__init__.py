"""Methods without a separate teacher: peers, the student's own past, its own depths, its labels."""

from distillab.methods.regimes import (
    multi_exit,
    mutual_learning,
    progressive_self,
    simclr,
    teacher_free,
    tskd,
)

__all__ = ["multi_exit", "mutual_learning", "progressive_self", "simclr", "teacher_free", "tskd"]
