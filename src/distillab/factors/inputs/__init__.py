"""Factors of the inputs: what an example looks like, and how closely it resembles others."""

from distillab.factors.inputs.redundancy import Redundancy
from distillab.factors.inputs.resolution import Resolution
from distillab.factors.inputs.shift import Shift
from distillab.factors.inputs.spurious import Spurious

__all__ = ["Redundancy", "Resolution", "Shift", "Spurious"]
