"""Drawing: pictures with known causes, the same bits on every machine.

Arithmetic: numbers are only ever added, subtracted, multiplied, divided, rounded, compared or put under a
square root, element by element, and IEEE 754 fixes the result of each of these to the last bit. Sines come
from a table of whole numbers. What a matrix product sums are whole numbers below 2**24, so that the sum is
exact in float32, in any order, with or without fused multiply-adds.
"""

from distillab.sources.drawing.compose import draw
from distillab.sources.drawing.scene import Nuisances, Scene
from distillab.sources.drawing.tree import ClassTree
from distillab.sources.drawing.variables import FAMILIES, FAMILY_OF, VARIABLES, Sketch

__all__ = ["FAMILIES", "FAMILY_OF", "VARIABLES", "ClassTree", "Nuisances", "Scene", "Sketch", "draw"]
