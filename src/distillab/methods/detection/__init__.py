"""Methods that are made for detectors, and what their losses have in common."""

from distillab.methods.detection import mskd

__all__ = ["mskd"]
