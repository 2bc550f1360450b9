"""Three forms of how a score grows with the size of the training set, and how they are fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from distillab.evidence.draws import FloatArray

_STEPS = 40
_Predict = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class CurveForm:
    """A family of curves that never fall.

    Sizes are relative to the geometric mean of the measured ones, so that parameters are of order 1.

    Attributes:
        name: In plain words.
        formula: What it is, with ``n`` the relative size.
        low: Lower bounds of the parameters.
        high: Upper bounds.
        starts: Values of the parameters to start from; the offset is fitted to each.
        predict: Scores ``[..., k]`` at relative sizes ``[k]``, from parameters ``[..., p]``.
    """

    name: str
    formula: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    starts: tuple[tuple[float, ...], ...]
    predict: _Predict

    @property
    def parameters(self) -> int:
        """Number of free parameters."""
        return len(self.low)


def _power(n: FloatArray, theta: FloatArray) -> FloatArray:
    c, a, b = (theta[..., i, None] for i in range(3))
    return np.asarray(c - a * n**-b)


def _logarithm(n: FloatArray, theta: FloatArray) -> FloatArray:
    c, a = (theta[..., i, None] for i in range(2))
    return np.asarray(c + a * np.log(n))


def _arctan(n: FloatArray, theta: FloatArray) -> FloatArray:
    c, a, b = (theta[..., i, None] for i in range(3))
    return np.asarray(c + 2.0 / np.pi * np.arctan(np.pi / 2.0 * a * n + b))


INVERSE_POWER = CurveForm(
    "inverse power law with offset",
    "c - a n^-b",
    (0.0, 0.0, 0.02),
    (1.0, 2.0, 4.0),
    ((0.9, 0.2, 0.15), (0.8, 0.2, 0.5), (0.7, 0.1, 1.0), (0.6, 0.05, 2.0)),
    _power,
)
LOGARITHM = CurveForm("logarithm", "c + a log n", (-1.0, 0.0), (2.0, 1.0), ((0.5, 0.05),), _logarithm)
ARCTAN = CurveForm(
    "arctan",
    "c + 2/pi arctan(a n pi/2 + b)",
    (-1.0, 0.0, -1.0),
    (0.0, 50.0, 20.0),
    ((-0.2, 0.3, 0.5), (-0.3, 1.0, 1.0), (-0.4, 3.0, 2.0), (-0.1, 0.1, 0.0)),
    _arctan,
)
CURVE_FORMS = (INVERSE_POWER, LOGARITHM, ARCTAN)
"""The forms that are averaged (Mahmood et al., CVPR 2022, table 1, of which they are three)."""


def fit_form(
    form: CurveForm,
    sizes: FloatArray,
    scores: FloatArray,
    noise: FloatArray,
) -> tuple[FloatArray, float]:
    """Return the parameters of a form and the cost of the fit, robustly.

    Residuals are in units of their noise, with the soft absolute loss ``2 (sqrt(1 + r^2) - 1)``, so that one
    size that went wrong does not bend the curve (scipy.optimize.least_squares). Several starts are tried.

    Args:
        form: The form.
        sizes: Relative sizes, float64 ``[k]``.
        scores: Mean scores, float64 ``[k]``.
        noise: Standard error of each, float64 ``[k]``.

    Example:
        >>> n = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
        >>> theta, _ = fit_form(INVERSE_POWER, n, 0.9 - 0.2 * n**-0.5, np.full(5, 0.001))
        >>> theta.round(3).tolist()
        [0.9, 0.2, 0.5]
    """
    low, high = np.array(form.low), np.array(form.high)

    def residuals(theta: FloatArray) -> FloatArray:
        return np.asarray((form.predict(sizes, theta) - scores) / noise)

    first = np.array(form.starts)
    first[:, 0] += (scores - form.predict(sizes, first)).mean(axis=-1)
    tried = refit_form(form, sizes, np.tile(scores, (len(first), 1)), noise, np.clip(first, low, high))
    costs = _soft((form.predict(sizes, tried) - scores) / noise)
    inside = np.clip(tried[costs.argmin()], low + 1e-9, high - 1e-9)
    found = least_squares(residuals, inside, bounds=(low, high), loss="soft_l1")
    return np.asarray(found.x, dtype=np.float64), float(found.cost)


def refit_form(
    form: CurveForm, sizes: FloatArray, scores: FloatArray, noise: FloatArray, start: FloatArray
) -> FloatArray:
    """Return the parameters of a form for many resamples at once, ``[R, p]``.

    The loss is that of :func:`fit_form`. Its minimum is approached from the parameters of the sample by
    Levenberg and Marquardt's method with iterated weights; parameters are kept within their bounds.

    Args:
        form: The form.
        sizes: Relative sizes, float64 ``[k]``.
        scores: Mean scores of each resample, float64 ``[R, k]``.
        noise: Standard error of each size, float64 ``[k]``.
        start: Parameters to start from, those of the sample, float64 ``[p]`` or ``[R, p]``.

    Example:
        >>> n = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
        >>> scores = np.stack([0.9 - 0.2 * n**-0.5, 0.8 - 0.1 * n**-0.7])
        >>> start, noise = np.array([0.85, 0.15, 0.6]), np.full(5, 0.001)
        >>> refit_form(INVERSE_POWER, n, scores, noise, start).round(3).tolist()
        [[0.9, 0.2, 0.5], [0.8, 0.1, 0.7]]
    """
    low, high = np.array(form.low), np.array(form.high)
    theta = np.array(np.broadcast_to(start, (len(scores), len(low))))
    rest = (form.predict(sizes, theta) - scores) / noise
    cost, damping = _soft(rest), np.full(len(scores), 1e-2)
    for _ in range(_STEPS):
        slopes = _slopes(form, sizes, theta) / noise[:, None]
        weighted = slopes * (1.0 / np.sqrt(1.0 + rest**2))[..., None]
        square = np.einsum("rkp,rkq->rpq", weighted, slopes)
        scale = np.einsum("rpp->rp", square) + 1e-12
        square += np.einsum("r,rp,pq->rpq", damping, scale, np.eye(theta.shape[1]))
        step = np.linalg.solve(square, np.einsum("rkp,rk->rp", weighted, rest)[..., None])[..., 0]
        tried = np.clip(theta - step, low, high)
        rest_there = (form.predict(sizes, tried) - scores) / noise
        better = _soft(rest_there) < cost
        theta, rest = np.where(better[:, None], tried, theta), np.where(better[:, None], rest_there, rest)
        cost, damping = _soft(rest), np.clip(np.where(better, damping / 3.0, damping * 4.0), 1e-9, 1e9)
    return theta


def _soft(rest: FloatArray) -> FloatArray:
    return np.asarray((np.sqrt(1.0 + rest**2) - 1.0).sum(axis=-1))


def _slopes(form: CurveForm, sizes: FloatArray, theta: FloatArray) -> FloatArray:
    """Return the derivatives of the scores by the parameters, ``[R, k, p]``."""
    here, width = form.predict(sizes, theta), 1e-6
    shifted = [form.predict(sizes, theta + width * unit) for unit in np.eye(theta.shape[1])]
    return np.stack([(there - here) / width for there in shifted], axis=-1)
