"""The Bayesian signed-rank test: how probable it is that a method helps, makes no difference, or harms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence.draws import FloatArray

SAMPLES = 20_000
PRIOR_STRENGTH = 0.5
_BATCH = 2_000


@dataclass(frozen=True)
class SignedRank:
    """Posterior probabilities of where the pseudo-median of gains lies, relative to a margin.

    Attributes:
        harms: That it lies below -margin.
        equivalent: That it lies within the region of practical equivalence.
        helps: That it lies above margin.
        n: Number of gains.

    Example:
        >>> SignedRank(0.01, 0.09, 0.90, 12).likeliest
        'helps'
    """

    harms: float
    equivalent: float
    helps: float
    n: int

    @property
    def likeliest(self) -> str:
        """The most probable of the three."""
        return max(("harms", "equivalent", "helps"), key=lambda name: float(getattr(self, name)))


def bayesian_signed_rank(
    gains: npt.ArrayLike,
    margin: float,
    *,
    higher_is_better: bool = True,
    strength: float = PRIOR_STRENGTH,
    samples: int = SAMPLES,
) -> SignedRank:
    """Return the posterior probabilities of the Bayesian signed-rank test (Benavoli et al. 2014).

    The gains and one pseudo-observation of 0, which lies in the region of practical equivalence, have weights
    ``w ~ Dirichlet(strength, 1, ..., 1)``. Each draw weighs the Walsh averages ``(z_i + z_j) / 2`` of all i
    and j by ``w_i w_j``; a region's probability is the share of draws in which it has the largest weight
    (Benavoli, Corani, Demsar and Zaffalon, JMLR 18(77), 2017, section 4.2). Draws with equal weights count
    for each of the regions in equal parts.

    Args:
        gains: One gain per base set, float ``[n]``.
        margin: Half width of the region of practical equivalence.
        higher_is_better: Whether larger gains are better.
        strength: Weight of the pseudo-observation.
        samples: Draws from the posterior; the same every time.

    Raises:
        ValueError: There is no gain, one is not finite, the margin is negative or the strength not positive.

    Example:
        >>> found = bayesian_signed_rank([0.02, 0.03, 0.01, 0.04, 0.02, 0.03], margin=0.005)
        >>> found.helps > 0.99, found.likeliest
        (True, 'helps')
    """
    values = np.asarray(gains, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("gains must be finite numbers, at least one")
    if margin < 0 or strength <= 0:
        raise ValueError(f"margin {margin} must not be negative, strength {strength} must be positive")
    if not higher_is_better:
        values = -values
    observed = np.concatenate([[0.0], values])
    sums = observed[:, None] + observed[None, :]
    harmful = (sums < -2.0 * margin).astype(np.float64)
    helpful = (sums > 2.0 * margin).astype(np.float64)
    rng = np.random.default_rng(len(values))
    shape = np.concatenate([[strength], np.ones(len(values))])
    won = np.zeros(3)
    for start in range(0, samples, _BATCH):
        weights = rng.dirichlet(shape, size=min(_BATCH, samples - start))
        won += _wins(weights, harmful, helpful)
    harms, equivalent, helps = (float(share) for share in won / samples)
    return SignedRank(harms, equivalent, helps, len(values))


def _wins(weights: FloatArray, harmful: FloatArray, helpful: FloatArray) -> FloatArray:
    """Return in how many draws each region has the largest weight, float64 ``[3]``."""
    low = ((weights @ harmful) * weights).sum(axis=1)
    high = ((weights @ helpful) * weights).sum(axis=1)
    masses = np.stack([low, 1.0 - low - high, high], axis=1)
    best = masses >= masses.max(axis=1, keepdims=True) - 1e-12
    return np.asarray((best / best.sum(axis=1, keepdims=True)).sum(axis=0), dtype=np.float64)
