"""Drawing: images with known generating factors, bit-identical on every machine.

The arithmetic is restricted to element-wise additions, subtractions, multiplications, divisions, roundings,
comparisons and square roots, whose results IEEE 754 fixes to the last bit. Sines come from a table of whole
numbers. Matrix products sum whole numbers below 2**24, so that the sum is exact in float32, in any order,
with or without fused multiply-adds.
"""

from distillab.sources.drawing.compose import draw
from distillab.sources.drawing.scene import Nuisances, Scene
from distillab.sources.drawing.tree import ClassTree
from distillab.sources.drawing.variables import FAMILY_OF, SHAPE_FAMILIES, VARIABLES, Sketch

__all__ = ["FAMILY_OF", "SHAPE_FAMILIES", "VARIABLES", "ClassTree", "Nuisances", "Scene", "Sketch", "draw"]
