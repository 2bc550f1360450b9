"""Principal axes: many features are reduced to few, and the largest variances are softened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""float32 ``[N, D]``, one vector per example."""

# The variance of an axis is divided by its square root: all axes count for neighbors, the first ones most.
_SOFTENED = 0.5
_SMALLEST_SHARE = 1e-6  # of the largest variance; axes below it hold rounding errors


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """A linear map from F standardized features to D principal axes.

    Attributes:
        mean: float32 ``[F]``.
        axes: float32 ``[F, D]``, with the scale of the features and the softening folded in.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
        >>> vectors = PrincipalAxes.of(features, 3)(features)
        >>> vectors.shape, float((vectors**2).sum(axis=1).mean().round(3))
        ((100, 3), 1.0)
    """

    mean: Vectors
    axes: Vectors

    @classmethod
    def of(cls, features: Vectors, dimensions: int) -> PrincipalAxes:
        """Return the axes of features, float32 ``[N, F]``: ``dimensions``, or fewer if N or F allow no more.

        They are scaled so that vectors of these features have a mean squared length of 1.
        """
        mean = features.mean(axis=0, dtype=np.float64)
        scale = np.maximum(features.std(axis=0, dtype=np.float64), 1e-6)
        standard = ((features - mean) / scale).astype(np.float32)
        variances, vectors = _axes(standard)
        kept = min(dimensions, int((variances > _SMALLEST_SHARE * variances[0]).sum()))
        soft = np.maximum(variances[:kept], 1e-12) ** (_SOFTENED / 2)
        length = np.sqrt((variances[:kept] / soft**2).sum()) or 1.0
        axes = vectors[:, :kept] / (soft * length) / scale[:, None]
        return cls(mean.astype(np.float32), axes.astype(np.float32))

    def __call__(self, features: Vectors) -> Vectors:
        """Project float32 ``[N, F]`` to float32 ``[N, D]``."""
        return np.asarray((features - self.mean) @ self.axes, dtype=np.float32)


def _axes(standard: Vectors) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return variances (descending) and axes of centered features.

    Each axis has the sign that makes its largest entry positive, so that the same features give the same axes
    everywhere.
    """
    count, width = standard.shape
    if count < width:  # the axes lie in the span of the examples, which is the smaller problem
        values, left = np.linalg.eigh(standard @ standard.T / count)
        values, left = np.maximum(values[::-1], 0.0), left[:, ::-1]
        vectors = standard.T @ left / np.sqrt(np.maximum(values * count, 1e-12))
    else:
        values, vectors = np.linalg.eigh(standard.T @ standard / count)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return values, vectors * np.where(signs == 0, 1.0, signs)
