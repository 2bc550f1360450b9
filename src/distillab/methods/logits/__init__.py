"""Methods that learn from the teacher's logits."""

from distillab.methods.logits import dist, dkd, kd

__all__ = ["dist", "dkd", "kd"]
