"""What a mean gain varies over: the draws of seeds, teachers and test examples.

The gain of example i under seed s with teacher t is ``d_si = mu + a_s + b_t + c_i + e_si``, all terms random
and independent. Each seed has one teacher, so seeds are nested in teachers, and both are crossed with test
examples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variance:
    """An estimated variance of a mean, with its degrees of freedom.

    Attributes:
        value: The variance; 0 if there is none.
        freedom: Degrees of freedom (Satterthwaite, 1946); infinite for a variance of 0.

    Example:
        >>> half = Variance(0.5, freedom=4.0)
        >>> half + half
        Variance(value=1.0, freedom=8.0)
    """

    value: float
    freedom: float = float("inf")

    def __add__(self, other: Variance) -> Variance:
        value = self.value + other.value
        doubt = self.value**2 / self.freedom + other.value**2 / other.freedom
        return Variance(value, value**2 / doubt if doubt > 0 else float("inf"))

    def t(self, tail: float) -> float:
        """Return the quantile of Student's t with these degrees of freedom."""
        return float(ndtri(tail) if np.isinf(self.freedom) else stdtrit(self.freedom, tail))


@dataclass(frozen=True)
class MeanSquares:
    """The one-way analysis of variance of differences by teacher.

    Attributes:
        between: Mean square between teachers.
        within: Mean square within teachers.
        sizes: Pairs of each teacher, float64 ``[teachers]``.

    Example:
        >>> found = MeanSquares.of(np.array([0.0, 2.0, 4.0, 6.0]), ["a", "a", "b", "b"])
        >>> found.between, found.within, found.share_of_teachers
        (16.0, 2.0, 0.7777777777777778)
    """

    between: float
    within: float
    sizes: FloatArray

    @classmethod
    def of(cls, differences: FloatArray, teachers: Sequence[Hashable]) -> MeanSquares:
        """Return the mean squares of some pairs, of more than one teacher and fewer than pairs."""
        of = _numbered(teachers)
        sizes = np.bincount(of).astype(np.float64)
        means = np.bincount(of, differences) / sizes
        between = float((sizes * (means - differences.mean()) ** 2).sum() / (len(sizes) - 1))
        within = float(((differences - means[of]) ** 2).sum() / (len(differences) - len(sizes)))
        return cls(between, within, sizes)

    @property
    def typical_size(self) -> float:
        """Pairs per teacher, were they equally many."""
        n = self.sizes.sum()
        return float((n - (self.sizes**2).sum() / n) / (len(self.sizes) - 1))

    @property
    def share_of_teachers(self) -> float:
        """The part of the variance of a difference that lies between teachers, at least 0."""
        of_teachers = max(0.0, (self.between - self.within) / self.typical_size)
        total = of_teachers + self.within
        return of_teachers / total if total > 0 else 0.0


def _numbered(teachers: Sequence[Hashable]) -> npt.NDArray[np.intp]:
    """Return the number of the teacher of each pair, from 0."""
    return np.unique([str(each) for each in teachers], return_inverse=True)[1]


def variance_over_seeds(differences: FloatArray, teachers: Sequence[Hashable] | None = None) -> Variance:
    """Return the variance of a mean of paired differences over draws of the seeds, and of the teachers.

    With one teacher for all pairs, or one for each, it is the squared standard error. With fewer teachers
    than pairs it is that of one-way random effects: the variance between teachers and the variance within
    one, by analysis of variance (Searle, Casella and McCulloch, Variance Components, 1992, chapter 3), with
    Satterthwaite's degrees of freedom. Where teachers differ less than chance makes them differ, the variance
    is at least that of independent pairs, with one degree of freedom less than there are teachers. With two
    teachers the mean has one degree of freedom.

    Args:
        differences: One per seed, float ``[n]``, n > 1.
        teachers: The teacher of each pair; None if all have the same, or none.

    Example:
        >>> gains = np.array([0.01, 0.03, 0.02, 0.06])
        >>> variance_over_seeds(gains).freedom, variance_over_seeds(gains, ["a", "b", "a", "b"]).freedom
        (3.0, 1.0)
    """
    n = len(differences)
    independent = Variance(float(differences.var(ddof=1)) / n, n - 1.0)
    if len({str(each) for each in teachers or ()}) in (0, 1, n):
        return independent
    found = MeanSquares.of(differences, teachers or ())
    sizes = found.sizes
    if len(sizes) == 2:
        return Variance(max(found.between / n, independent.value), 1.0)
    share = float((sizes**2).sum() / n**2 / found.typical_size)
    mean_square_between = Variance(share * found.between, len(sizes) - 1.0)
    mean_square_within = Variance((1.0 / n - share) * found.within, float(n - len(sizes)))
    if found.between <= found.within:
        # That few teachers happen to be alike does not make more of them: there are no further degrees of
        # freedom, or stricter levels than 95 % would be missed (benchmarks/sequential_seeds.py).
        together = (mean_square_between + mean_square_within).value
        return Variance(max(together, independent.value), len(sizes) - 1.0)
    return mean_square_between + mean_square_within


def sums_by_teacher(differences: FloatArray, teachers: Sequence[Hashable] | None) -> FloatArray:
    """Return the independent parts of a sum of differences: the sum per teacher, if several serve more pairs.

    Example:
        >>> sums_by_teacher(np.array([1.0, 2.0, 3.0]), ["a", "b", "a"]).tolist()
        [4.0, 2.0]
    """
    of = _numbered(teachers or ())
    if not of.any():  # one teacher, or none
        return differences
    sums: FloatArray = np.bincount(of, weights=differences).astype(np.float64)
    return sums


def variance_of_the_mean(values: FloatArray) -> Variance:
    """Return the variance of the mean of independent values, float ``[m]``; NaN for a single one.

    Example:
        >>> variance_of_the_mean(np.array([1.0, 0.0, 0.0, 1.0]))
        Variance(value=0.08333333333333333, freedom=3)
    """
    m = len(values)
    return Variance(float(values.var(ddof=1)) / m if m > 1 else float("nan"), m - 1)


def variance_over_examples(contributions: FloatArray) -> Variance:
    """Return the variance that a mean over seeds and test examples has from the draw of the examples.

    It is that of the examples' own effect, by analysis of variance of the two-way table: what differs between
    examples under all seeds alike. What differs between seeds is in :func:`variance_over_seeds`.

    Args:
        contributions: The difference of each seed on each test example, float ``[n, m]``, n > 1.

    Returns:
        A variance of 0 with a single example, or where examples differ no more than chance makes them differ.

    Example:
        >>> variance_over_examples(np.tile([1.0, 0.0, 0.0, 1.0], (5, 1)))
        Variance(value=0.08333333333333333, freedom=3.0)
    """
    n, m = contributions.shape
    if m < 2:
        return Variance(0.0)
    by_example, by_seed = contributions.mean(axis=0), contributions.mean(axis=1)
    rest = contributions - by_example - by_seed[:, None] + contributions.mean()
    observed = float(by_example.var(ddof=1)) / m
    chance = float((rest**2).sum()) / ((n - 1) * (m - 1)) / (n * m)
    if observed <= chance:
        return Variance(0.0)
    doubt = observed**2 / (m - 1) + chance**2 / ((n - 1) * (m - 1))
    # A difference of two estimates can have less than one degree of freedom, whose quantiles mean nothing.
    return Variance(observed - chance, max(1.0, (observed - chance) ** 2 / doubt))


def covariance_over_examples(parts: FloatArray) -> Variance:
    """Return the variance that a mean over seeds has from test examples that only some of its parts share.

    A value per seed is a sum over test examples, such as a difference of two metrics on different test sets.
    Examples that occur under several seeds make the values of these seeds vary together: the variance is the
    mean covariance of two seeds, the sum over examples of the products of their parts. Examples that occur
    under a single seed are in :func:`variance_over_seeds`. Where all seeds have the same m examples, it
    is (m - 1) / m of that of :func:`variance_over_examples`.

    Args:
        parts: What each test example adds to the value of each seed, less its mean, float ``[n, m]``, n > 1;
            0 where a seed lacks the example.

    Returns:
        A variance of 0 where seeds vary together no more than chance makes them.

    Example:
        >>> effect = (np.tile([1.0, 0.0, 0.0, 1.0], (5, 1)) - 0.5) / 4
        >>> covariance_over_examples(effect).value
        0.0625
    """
    n = len(parts)
    together = float((parts.sum(axis=0) ** 2).sum())
    apart = float((parts**2).sum())
    shared = int(((parts != 0).sum(axis=0) > 1).sum())
    variance = (together - apart) / (n * (n - 1))
    if variance <= 0 or shared < 2:
        return Variance(0.0)
    observed, chance = variance + apart / n**2, apart / n**2
    doubt = observed**2 / (shared - 1) + chance**2 / ((n - 1) * (shared - 1))
    return Variance(variance, max(1.0, variance**2 / doubt))
