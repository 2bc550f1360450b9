"""Accuracy against the size of the training set: several forms, averaged by how well they predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence.across.curve_forms import CURVE_FORMS, CurveForm, fit_form, refit_form
from distillab.evidence.across.monotone import MonotoneCheck, as_curve, check_monotone
from distillab.evidence.draws import FloatArray

LEAST_SIZES = 4
FARTHEST = 4.0  # times the largest measured size
SMALLEST_NOISE = 1e-4
SMALLEST_WEIGHT = 0.02  # forms with less are not fitted again to resamples


@dataclass(frozen=True)
class Refused:
    """Why a quantity is not computed.

    Attributes:
        kind: ``too far``, ``too small``, ``too few sizes``, ``not monotone``, ``flat`` or ``no crossing``.
        reason: A sentence.

    Example:
        >>> Refused("too far", "800 is more than 4 times the largest measured size, 100.").kind
        'too far'
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class FittedForm:
    """A form with its parameters and its weight in the average.

    Attributes:
        form: The form.
        theta: Its parameters, float64.
        weight: Its share in the average; the weights of a curve add up to 1.
        held_out_error: Root mean squared error at the largest sizes, when fitted to the others.

    Example:
        >>> FittedForm(CURVE_FORMS[0], np.array([0.9, 0.2, 0.5]), 0.8, 0.01).form.formula
        'c - a n^-b'
    """

    form: CurveForm
    theta: FloatArray
    weight: float
    held_out_error: float


@dataclass(frozen=True)
class SizeCurve:
    """A score as a function of the size of the training set.

    Attributes:
        sizes: The measured sizes, float64 ``[k]``.
        means: Mean scores over seeds, float64 ``[k]``.
        noise: Their standard errors, shrunk half-way to the mean, float64 ``[k]``.
        forms: The fitted forms.
        held_out: The sizes that the weights rest on.
        monotone: Whether the scores fall somewhere.
        n_seeds: Number of seeds.

    Example:
        >>> curve = fit_size_curve([10, 20, 40, 80], [[0.50, 0.60, 0.66, 0.70], [0.51, 0.59, 0.66, 0.71]])
        >>> curve.farthest, curve.held_out, curve.n_seeds
        (320.0, (80.0,), 2)
    """

    sizes: FloatArray
    means: FloatArray
    noise: FloatArray
    forms: tuple[FittedForm, ...]
    held_out: tuple[float, ...]
    monotone: MonotoneCheck
    n_seeds: int

    @property
    def farthest(self) -> float:
        """The largest size that predictions are made for."""
        return float(FARTHEST * self.sizes[-1])

    def at(self, size: float) -> float | Refused:
        """Return the predicted score at a size, or why there is no prediction.

        Example:
            >>> curve = fit_size_curve([10, 20, 40, 80], [[0.50, 0.60, 0.66, 0.70], [0.51, 0.59, 0.66, 0.71]])
            >>> curve.at(1000)
            Refused(kind='too far', reason='1000 is more than 4 times the largest measured size, 80.')
        """
        if size > self.farthest * (1.0 + 1e-9):
            reason = (
                f"{size:g} is more than {FARTHEST:g} times the largest measured size, {self.sizes[-1]:g}."
            )
            return Refused("too far", reason)
        if size < self.sizes[0] * (1.0 - 1e-9):
            reason = f"{size:g} is below the smallest measured size, {self.sizes[0]:g}."
            return Refused("too small", reason)
        if self.monotone.falls:
            return not_monotone(self.monotone)
        return float(self.predict(np.array([size]))[0])

    def predict(self, sizes: FloatArray) -> FloatArray:
        """Return the averaged forms at sizes, whatever they are; scores stay within [0, 1]."""
        center = _center(self.sizes)
        parts = [each.weight * each.form.predict(sizes / center, each.theta) for each in self.forms]
        return np.asarray(np.clip(np.sum(parts, axis=0), 0.0, 1.0))

    def resampled(self, means: FloatArray, sizes: FloatArray) -> FloatArray:
        """Return the predictions at sizes of the same average, fitted to the means of resamples.

        Args:
            means: Mean scores of each resample, float64 ``[R, k]``.
            sizes: Sizes, float64 ``[m]``.

        Returns:
            float64 ``[R, m]``.
        """
        center, found = _center(self.sizes), np.zeros((len(means), len(sizes)))
        for each in self.forms:
            theta = each.theta
            if each.weight > SMALLEST_WEIGHT:
                theta = refit_form(each.form, self.sizes / center, means, self.noise, each.theta)
            found += each.weight * each.form.predict(sizes / center, theta)
        return np.clip(found, 0.0, 1.0)


def fit_size_curve(sizes: npt.ArrayLike, scores: npt.ArrayLike, *, alpha: float = 0.05) -> SizeCurve:
    """Return a curve of scores over sizes, of several forms averaged by their held-out error.

    Each form of :data:`distillab.evidence.across.curve_forms.CURVE_FORMS` is fitted to all sizes but the
    largest quarter (at least one) and predicts these; its weight is proportional to ``1 / (e^2 + s^2)``, with
    e its root mean squared error there and s the noise of what it predicts. Forms with more parameters than
    sizes to fit have no weight. A single form errs systematically beyond the data (Mahmood et al., CVPR
    2022).

    Args:
        sizes: Increasing sizes, float ``[k]``, at least 4.
        scores: Scores in [0, 1], larger is better, one row per seed, float ``[seeds, k]``.
        alpha: Error rate of the check that scores do not fall.

    Raises:
        ValueError: There are fewer than 4 sizes, shapes do not match, sizes do not increase, or a score is
            not in [0, 1].

    Example:
        >>> n = np.array([25, 50, 100, 200, 400])
        >>> curve = fit_size_curve(n, [0.9 - 0.8 * n**-0.3] * 2)
        >>> max(curve.forms, key=lambda each: each.weight).form.name, round(float(curve.at(1600)), 2)
        ('inverse power law with offset', 0.81)
    """
    n, table = as_curve(sizes, scores)
    if len(n) < LEAST_SIZES:
        raise ValueError(f"a curve needs at least {LEAST_SIZES} sizes, not {len(n)}")
    if table.min() < 0.0 or table.max() > 1.0:
        raise ValueError("scores must be in [0, 1]")
    means, noise = table.mean(axis=0), _noise(table)
    left_out = max(1, len(n) // 4)
    relative, first = n / _center(n), slice(0, len(n) - left_out)
    errors = np.full(len(CURVE_FORMS), np.inf)
    for place, form in enumerate(CURVE_FORMS):
        if form.parameters <= len(n) - left_out:
            theta, _ = fit_form(form, relative[first], means[first], noise[first])
            missed = form.predict(relative[-left_out:], theta) - means[-left_out:]
            errors[place] = np.sqrt((missed**2).mean())
    raw = 1.0 / (errors**2 + (noise[-left_out:] ** 2).mean())
    fitted = tuple(
        FittedForm(form, fit_form(form, relative, means, noise)[0], float(weight), float(error))
        for form, weight, error in zip(CURVE_FORMS, raw / raw.sum(), errors, strict=True)
    )
    checked = check_monotone(n, table, alpha=alpha)
    return SizeCurve(n, means, noise, fitted, tuple(n[-left_out:].tolist()), checked, len(table))


def not_monotone(check: MonotoneCheck) -> Refused:
    """Return the refusal for a curve whose scores fall.

    Example:
        >>> not_monotone(MonotoneCheck(0.001, True, 100.0, 200.0, 0.03)).reason
        'The score falls by 0.030 from 100 to 200, beyond its noise (p = 0.001).'
    """
    where = f"from {check.fall_from:g} to {check.fall_to:g}"
    reason = f"The score falls by {check.drop:.3f} {where}, beyond its noise (p = {check.p_value:.2g})."
    return Refused("not monotone", reason)


def _center(sizes: FloatArray) -> float:
    return float(np.exp(np.log(sizes).mean()))


def _noise(table: FloatArray) -> FloatArray:
    """Return the standard error per size, its variance shrunk half-way to the mean of all sizes."""
    if len(table) < 2:
        return np.full(table.shape[1], SMALLEST_NOISE)
    variances = table.var(axis=0, ddof=1)
    shrunk = (variances + variances.mean()) / 2.0 / len(table)
    return np.asarray(np.sqrt(np.maximum(shrunk, SMALLEST_NOISE**2)))
