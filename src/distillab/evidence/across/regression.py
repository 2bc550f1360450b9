"""Regression of gains on factors with inference by base set: cluster bootstrap and wild cluster bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from distillab.evidence.across.base_sets import FEW_BASE_SETS, cluster_weights, expanded_level
from distillab.evidence.draws import FloatArray

PAIRS_RESAMPLES = 1_999
WILD_RESAMPLES = 1_999
ENUMERATED_CLUSTERS = 11  # 2^11 sign patterns; with more base sets, they are drawn
LEAST_CLUSTERS = 4
LARGEST_LOSS = 0.05  # share of singular resamples from which on the pairs bootstrap gives no interval
RANK_TOLERANCE = 1e-9
_HALVINGS = 40


@dataclass(frozen=True)
class Term:
    """A regressor: a factor, or the product of two.

    Attributes:
        name: In plain words, such as ``label noise`` or ``size × provenance full``.
        values: One per context, float64 ``[n]``.

    Example:
        >>> Term("label noise", np.array([0.0, 0.5, 1.0])).name
        'label noise'
    """

    name: str
    values: FloatArray


@dataclass(frozen=True)
class Coefficient:
    """The effect of a term on the gain.

    Attributes:
        term: Name of the term.
        estimate: Least-squares coefficient; NaN if there is none.
        ci_low: Lower end of the interval over base sets; infinite if there is none.
        ci_high: Upper end of that interval.
        p_value: Wild cluster bootstrap p-value; 1 without an estimate.
        interval_by: ``cluster bootstrap``, ``wild cluster bootstrap`` where base sets are few, or empty.
        note: Why there is no estimate or no interval; empty otherwise.

    Example:
        >>> Coefficient("label noise", 0.02, 0.01, 0.03, 0.004, "cluster bootstrap").estimate
        0.02
    """

    term: str
    estimate: float
    ci_low: float
    ci_high: float
    p_value: float
    interval_by: str = ""
    note: str = ""


def regression_arrays(
    gains: npt.ArrayLike, terms: Sequence[Term], base_sets: Sequence[str]
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.intp]]:
    """Return gains ``[n]``, terms ``[n, k]`` and the number of the base set of each context ``[n]``.

    Raises:
        ValueError: Lengths differ, or a value is NaN or infinite.
    """
    y = np.asarray(gains, dtype=np.float64)
    columns = [np.asarray(term.values, dtype=np.float64) for term in terms]
    if any(each.shape != (len(base_sets),) for each in [y, *columns]):
        raise ValueError(f"gains and terms must have one value for each of {len(base_sets)} contexts")
    if not all(np.isfinite(each).all() for each in [y, *columns]):
        raise ValueError("a gain or a term is NaN or infinite")
    of = np.unique(np.asarray(base_sets, dtype=str), return_inverse=True)[1]
    return y, np.stack(columns, axis=1) if columns else np.zeros((len(y), 0)), of


def regress(
    gains: npt.ArrayLike, terms: Sequence[Term], base_sets: Sequence[str], *, confidence: float = 0.95
) -> tuple[Coefficient, ...]:
    """Return the coefficients of gains on terms within base sets, one per term, in order.

    Every base set has its own intercept, so that only differences between contexts of the same base set
    count: what varies between base sets alone is not separated from all else in which they differ, and has no
    estimate. From 12 base sets on, intervals are those of the pairs cluster bootstrap, which draws whole base
    sets, at the expanded level of :func:`distillab.evidence.across.base_sets.expanded_level`. Below, they
    invert the restricted wild cluster bootstrap t test (Cameron, Gelbach and Miller 2008; MacKinnon, Nielsen
    and Webb 2023), which is reliable with fewer clusters; p-values are always those of this test.

    Args:
        gains: One per context, float ``[n]``.
        terms: The regressors.
        base_sets: The base set of each context.
        confidence: Nominal coverage of the intervals.

    Raises:
        ValueError: Lengths differ, or a value is NaN or infinite.

    Example:
        >>> noise = np.tile([0.0, 1.0, 0.0, 1.0], 12)
        >>> gains = 0.03 * noise + np.repeat(np.linspace(-0.1, 0.1, 12), 4) + np.tile([0, 0, 0.01, 0.01], 12)
        >>> sets = [f"set-{i}" for i in range(12) for _ in range(4)]
        >>> [found] = regress(gains, [Term("label noise", noise)], sets)
        >>> round(found.estimate, 3), found.interval_by
        (0.03, 'cluster bootstrap')
    """
    design = WithinDesign.of_terms(gains, terms, base_sets)
    return tuple(design.coefficient(j, confidence) for j in range(len(terms)))


@dataclass(frozen=True)
class WithinDesign:
    """Gains and terms less their means within base sets: a regression problem with clusters.

    Attributes:
        gains: float64 ``[n]``.
        terms: float64 ``[n, k]``, those that have an estimate.
        names: Names of all terms.
        places: The column of ``terms`` of each term that has an estimate, by its position in ``names``.
        reasons: Why the other terms have none, by position.
        of: The number of the base set of each context, ``[n]``.
        count: Number of base sets.

    Example:
        >>> term = Term("x", np.array([1.0, 1.0, 2.0]))
        >>> design = WithinDesign.of_terms([0.0, 1.0, 2.0], [term], ["a", "a", "b"])
        >>> design.reasons
        {0: 'constant within every base set'}
    """

    gains: FloatArray
    terms: FloatArray
    names: tuple[str, ...]
    places: dict[int, int]
    reasons: dict[int, str]
    of: npt.NDArray[np.intp]
    count: int

    @classmethod
    def of_terms(cls, gains: npt.ArrayLike, terms: Sequence[Term], base_sets: Sequence[str]) -> WithinDesign:
        """Return the problem; the arguments and errors are those of :func:`regress`."""
        y, x, of = regression_arrays(gains, terms, base_sets)
        within = _less_means(x, of)
        reasons = _without_estimate(x, within)
        kept = [j for j in range(len(terms)) if j not in reasons]
        return cls(
            _less_means(y[:, None], of)[:, 0],
            within[:, kept],
            tuple(term.name for term in terms),
            {j: place for place, j in enumerate(kept)},
            reasons,
            of,
            len(set(base_sets)),
        )

    def coefficient(self, position: int, confidence: float) -> Coefficient:
        """Return the coefficient of a term with its interval and p-value."""
        name = self.names[position]
        if position in self.reasons:
            return Coefficient(name, np.nan, -np.inf, np.inf, 1.0, note=self.reasons[position])
        place = self.places[position]
        estimate, varies = float(self.estimates[place]), int(self.varying[place])
        if varies < LEAST_CLUSTERS:
            note = f"no interval: it varies within {varies} of {self.count} base sets only"
            return Coefficient(name, estimate, -np.inf, np.inf, 1.0, note=note)
        wild = _WildBootstrap.of(self, place)
        p_value = wild.p_value(0.0)
        note, by = "", "cluster bootstrap"
        if varies >= FEW_BASE_SETS:
            low, high, note = self._pairs_interval(place, confidence)
        if varies < FEW_BASE_SETS or note:
            low, high = wild.interval(confidence)
            by = "wild cluster bootstrap"
            few = f"few base sets: it varies within {varies}"
            note = note or (few if np.isfinite([low, high]).all() else f"{few}, too few for an interval")
        return Coefficient(name, estimate, low, high, p_value, by, note)

    @cached_property
    def estimates(self) -> FloatArray:
        """The least-squares coefficients, float64 ``[k]``."""
        return np.asarray(np.linalg.lstsq(self.terms, self.gains, rcond=None)[0], dtype=np.float64)

    @cached_property
    def varying(self) -> npt.NDArray[np.intp]:
        """In how many base sets each term varies, ``[k]``."""
        squares = np.stack([np.bincount(self.of, column**2) for column in self.terms.T], axis=1)
        return np.asarray((squares > RANK_TOLERANCE * (self.terms**2).sum(axis=0)).sum(axis=0))

    @cached_property
    def resampled(self) -> FloatArray:
        """Coefficients of resampled base sets, float64 ``[PAIRS_RESAMPLES, k]``; NaN where singular."""
        k = self.terms.shape[1]
        squares, moments = np.zeros((self.count, k, k)), np.zeros((self.count, k))
        np.add.at(squares, self.of, self.terms[:, :, None] * self.terms[:, None, :])
        np.add.at(moments, self.of, self.terms * self.gains[:, None])
        weights = cluster_weights(self.count, PAIRS_RESAMPLES)
        left = np.einsum("rg,gij->rij", weights, squares)
        right = weights @ moments
        scale = np.sqrt(np.einsum("gii->i", squares))
        left /= scale[:, None] * scale[None, :]
        regular = np.linalg.eigvalsh(left)[:, 0] > RANK_TOLERANCE
        found = np.full((len(weights), k), np.nan)
        solved = np.linalg.solve(left[regular], (right[regular] / scale)[..., None])[..., 0]
        found[regular] = solved / scale
        return found

    def _pairs_interval(self, place: int, confidence: float) -> tuple[float, float, str]:
        """Return the interval of the pairs cluster bootstrap, and why there is none, if so."""
        drawn = self.resampled[:, place]
        known = drawn[np.isfinite(drawn)]
        if len(known) < (1.0 - LARGEST_LOSS) * len(drawn):
            share = 1.0 - len(known) / len(drawn)
            return -np.inf, np.inf, f"{share:.0%} of resamples of base sets cannot estimate it"
        level = expanded_level(confidence, int(self.varying[place]))
        low, high = np.quantile(known, [level, 1.0 - level])
        return float(low), float(high), ""


@dataclass(frozen=True)
class _WildBootstrap:
    """The restricted wild cluster bootstrap of one coefficient, for any hypothesis about it.

    The residuals under the hypothesis that the coefficient is b are ``u - b x``, with u those under 0 and x
    the term less what the other terms explain of it. So everything that a resample needs is one number per
    base set, and sums of the others (Roodman, Nielsen, MacKinnon and Webb 2019, section 5).

    Attributes:
        estimate: The coefficient.
        spread: Its cluster-robust standard error.
        scores: Per base set, the products of x with u and with x, float64 ``[G, 2]``.
        moments: Per base set, the products of all terms with u and with x, ``[G, k, 2]``.
        leverage: What the sum of the moments takes off each base set's score, ``[G, k]``.
        signs: The sign of each base set in each resample, ``[R, G]``.
    """

    estimate: float
    spread: float
    scores: FloatArray
    moments: FloatArray
    leverage: FloatArray
    signs: FloatArray

    @classmethod
    def of(cls, design: WithinDesign, place: int) -> _WildBootstrap:
        """Return the bootstrap of one column of a design."""
        x, others = design.terms, np.delete(design.terms, place, axis=1)
        own = _residual(x[:, place], others)
        under_zero = _residual(design.gains, others)
        both = np.stack([under_zero, own], axis=1)
        scores = _sums(own[:, None] * both, design.of, design.count)
        k = x.shape[1]
        moments = _sums((x[:, :, None] * both[:, None, :]).reshape(len(x), -1), design.of, design.count)
        leverage = _sums(own[:, None] * x, design.of, design.count) @ np.linalg.pinv(x.T @ x)
        of_full = under_zero - own * design.estimates[place]
        parts = _sums((own * of_full)[:, None], design.of, design.count)[:, 0]
        spread = float(np.sqrt((parts**2).sum()) / (own**2).sum())
        return cls(
            float(design.estimates[place]),
            spread,
            scores,
            moments.reshape(design.count, k, 2),
            leverage,
            _signs(design.count),
        )

    def p_value(self, hypothesis: float) -> float:
        """Return the two-sided p-value of the hypothesis that the coefficient has this value."""
        against = np.array([1.0, -hypothesis])
        scores, moments = self.scores @ against, self.moments @ against
        taken = np.diag(scores) - self.leverage @ moments.T
        observed = _t(scores.sum(), taken.sum(axis=1)[None])[0]
        drawn = _t(self.signs @ scores, self.signs @ taken.T)
        extreme = int((drawn >= observed * (1.0 - 1e-9)).sum())
        if len(self.scores) <= ENUMERATED_CLUSTERS:
            return extreme / len(drawn)
        return (extreme + 1) / (len(drawn) + 1)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return all values that the test does not reject; infinite ends where it rejects none."""
        return self._end(-1.0, 1.0 - confidence), self._end(1.0, 1.0 - confidence)

    def _end(self, side: float, alpha: float) -> float:
        step = max(self.spread, 1e-12)
        inner, outer = self.estimate, self.estimate + side * 2.0 * step
        for _ in range(_HALVINGS):
            if self.p_value(outer) <= alpha:
                break
            inner, step = outer, 2.0 * step
            outer = self.estimate + side * 2.0 * step
        else:
            return float(side * np.inf)
        for _ in range(_HALVINGS):
            middle = (inner + outer) / 2.0
            if self.p_value(middle) <= alpha:
                outer = middle
            else:
                inner = middle
        return float(outer)


def _t(sums: npt.ArrayLike, parts: FloatArray) -> FloatArray:
    """Return absolute t statistics; 0 / 0 is 0."""
    spread = np.sqrt((parts**2).sum(axis=1))
    sums = np.abs(np.atleast_1d(np.asarray(sums, dtype=np.float64)))
    return np.asarray(np.where(sums == 0.0, 0.0, sums / np.where(spread > 0, spread, np.finfo(float).tiny)))


def _signs(clusters: int) -> FloatArray:
    """Return all patterns of signs with few base sets, else random ones that are the same every time."""
    if clusters <= ENUMERATED_CLUSTERS:
        return np.array(list(product((1.0, -1.0), repeat=clusters)))
    rng = np.random.default_rng(clusters)
    return np.asarray(2.0 * rng.integers(0, 2, size=(WILD_RESAMPLES, clusters)) - 1.0)


def _sums(values: FloatArray, of: npt.NDArray[np.intp], count: int) -> FloatArray:
    """Return the sums of rows per base set, ``[G, columns]``."""
    found = np.zeros((count, values.shape[1]))
    np.add.at(found, of, values)
    return found


def _less_means(values: FloatArray, of: npt.NDArray[np.intp]) -> FloatArray:
    """Return columns less their means within base sets; what only rounding leaves is 0."""
    means = _sums(values, of, int(of.max()) + 1) / np.bincount(of)[:, None]
    rest = values - means[of]
    rest[np.abs(rest) <= RANK_TOLERANCE * np.abs(values).max(axis=0, initial=0.0)] = 0.0
    return rest


def _residual(values: FloatArray, others: FloatArray) -> FloatArray:
    """Return what a column has beyond a linear combination of others."""
    if not others.shape[1]:
        return values
    return np.asarray(values - others @ np.linalg.lstsq(others, values, rcond=None)[0], dtype=np.float64)


def _without_estimate(x: FloatArray, within: FloatArray) -> dict[int, str]:
    """Return why terms have no estimate, by position."""
    reasons = {}
    for j in range(x.shape[1]):
        if not within[:, j].any():
            constant = not np.ptp(x[:, j])
            reasons[j] = "constant over all contexts" if constant else "constant within every base set"
    varying = [j for j in range(x.shape[1]) if j not in reasons]
    for j in varying:
        others = within[:, [i for i in varying if i != j]]
        rest = _residual(within[:, j], others / np.maximum(np.abs(others).max(axis=0), 1e-300))
        if (rest**2).sum() <= 1e-12 * (within[:, j] ** 2).sum():
            reasons[j] = "within base sets, it varies only together with other terms"
    return reasons
