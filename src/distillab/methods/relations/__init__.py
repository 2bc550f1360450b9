"""Methods that learn how the teacher places images among one another."""

from distillab.methods.relations import rkd

__all__ = ["rkd"]
