"""A mixed model of gains beside the cluster bootstrap, which refuses where its optimizer is known to fail."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.evidence.across.regression import RANK_TOLERANCE, Term, regression_arrays
from distillab.evidence.draws import FloatArray
from distillab.extras import install_command

SMALLEST_VARIANCE = 1e-8  # in units of the residual variance; statsmodels drops what is below 1e-10
LEAST_GROUPS = 5
INTERCEPT = "intercept"


@dataclass(frozen=True)
class MixedEffect:
    """A fixed effect of the mixed model.

    Attributes:
        term: Name of the term.
        estimate: Its coefficient.
        ci_low: Lower end of the Wald interval.
        ci_high: Upper end of that interval.

    Example:
        >>> MixedEffect("size", -0.02, -0.03, -0.01).term
        'size'
    """

    term: str
    estimate: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class MixedModel:
    """The mixed model ``gain ~ terms + (1 | base set)``, or why there is no estimate.

    Attributes:
        effects: The fixed effects, the intercept first; empty without an estimate.
        between: Variance between base sets.
        residual: Variance within base sets.
        reason: Why there is no estimate; empty if there is one.

    Example:
        >>> MixedModel(reason="the variance between base sets collapses to 0").estimated
        False
    """

    effects: tuple[MixedEffect, ...] = ()
    between: float = np.nan
    residual: float = np.nan
    reason: str = ""

    @property
    def estimated(self) -> bool:
        """Whether there is an estimate."""
        return not self.reason


def fit_mixed_model(
    gains: npt.ArrayLike, terms: Sequence[Term], base_sets: Sequence[str], *, confidence: float = 0.95
) -> MixedModel:
    """Return the mixed model by restricted maximum likelihood (statsmodels), guarded.

    Unlike the regression within base sets, it estimates terms that are constant within each. That is where
    statsmodels fails without notice: if the variance between base sets falls below 1e-10, it inverts it to 0,
    and the coefficients of all terms that are constant within base sets, the intercept included, become
    exactly 0.0 while ``converged`` is true (statsmodels issue 10239). There is no estimate, but a reason, if

    - the variance between base sets is below 1e-8 of that within (base sets then differ no more than
      contexts of one base set do),
    - a coefficient of a term that is constant within base sets is exactly 0.0, whatever the variance,
    - the optimizer does not converge, or a standard error is missing,
    - there are fewer than 5 base sets, or terms that are linear combinations of each other.

    Gains are scaled to a standard deviation of 1 for the fit, since statsmodels' limit is absolute.

    Args:
        gains: One per context, float ``[n]``.
        terms: The regressors.
        base_sets: The base set of each context.
        confidence: Nominal coverage of the intervals.

    Raises:
        ValueError: Lengths differ, or a value is NaN or infinite.

    Example:
        >>> fit_mixed_model([0.1, 0.2], [], ["mnist", "usps"]).reason
        'fewer than 5 base sets (2)'
    """
    y, columns, groups = regression_arrays(gains, terms, base_sets)
    names, x = [INTERCEPT, *(term.name for term in terms)], np.column_stack([np.ones(len(y)), columns])
    if reason := _cannot_fit(y, x, groups):
        return MixedModel(reason=reason)
    scale = float(y.std())
    fitted = _fitted(y / scale, x, groups)
    if isinstance(fitted, str):
        return MixedModel(reason=fitted)
    if reason := _failure(fitted, x, groups):
        return MixedModel(reason=reason)
    ends = np.asarray(fitted.conf_int(alpha=1.0 - confidence))[: x.shape[1]] * scale
    effects = tuple(
        MixedEffect(name, float(estimate) * scale, float(low), float(high))
        for name, estimate, (low, high) in zip(names, fitted.fe_params, ends, strict=True)
    )
    return MixedModel(effects, float(fitted.cov_re[0, 0]) * scale**2, float(fitted.scale) * scale**2)


def _cannot_fit(y: FloatArray, x: FloatArray, groups: npt.NDArray[np.intp]) -> str:
    """Return why a model cannot be fitted at all; empty if it can."""
    number = int(groups.max(initial=-1)) + 1
    if number < LEAST_GROUPS:
        return f"fewer than {LEAST_GROUPS} base sets ({number})"
    if number == len(y):
        return "every base set has a single context, so that the variance within them is unknown"
    if len(y) <= x.shape[1] + 1:
        return f"{len(y)} contexts are too few for {x.shape[1]} coefficients"
    if y.std() <= RANK_TOLERANCE:
        return "all gains are equal"
    if np.linalg.matrix_rank(x / np.maximum(np.abs(x).max(axis=0), 1e-300)) < x.shape[1]:
        return "some terms are linear combinations of others"
    return ""


def _fitted(y: FloatArray, x: FloatArray, groups: npt.NDArray[np.intp]) -> Any:
    """Return the fit of statsmodels, or why there is none."""
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM
    except ImportError:
        return f"statsmodels is not installed ({install_command('stats')})"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is judged from the result
        try:
            return MixedLM(y, x, groups).fit(reml=True, method=["bfgs", "lbfgs", "cg"])
        except (np.linalg.LinAlgError, ValueError) as error:
            return f"the fit failed ({error})"


def _failure(fitted: Any, x: FloatArray, groups: npt.NDArray[np.intp]) -> str:
    """Return why the result of a fit is no estimate; empty if it is one."""
    between, within = float(fitted.cov_re[0, 0]), float(fitted.scale)
    if not (within > 0 and between > SMALLEST_VARIANCE * within):
        return "the variance between base sets collapses to 0"
    estimates = np.asarray(fitted.fe_params, dtype=np.float64)
    if ((estimates == 0.0) & _constant_within(x, groups)).any():
        return "coefficients of terms that are constant within base sets come back as exactly 0"
    if not fitted.converged:
        return "the optimizer did not converge"
    if not np.isfinite(np.asarray(fitted.bse_fe, dtype=np.float64)).all():
        return "a standard error is missing"
    return ""


def _constant_within(x: FloatArray, groups: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return which columns are constant within every group, bool ``[columns]``."""
    spreads = [np.ptp(x[groups == group], axis=0) for group in range(int(groups.max()) + 1)]
    return np.asarray(np.max(spreads, axis=0) == 0.0)
