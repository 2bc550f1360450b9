"""Small models of gains and of harm, chosen by their error on base sets that they were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.evidence.draws import FloatArray

RIDGE_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
IntArray = npt.NDArray[np.int64]
Model = Any  # a scikit-learn estimator, whose package has no types


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model with its predictions for base sets that it was not fitted on.

    Attributes:
        name: ``mean``, ``ridge`` or ``boosted trees``.
        model: The model, fitted on all contexts.
        held_out: For each base set, the predictions of the candidate that was fitted, and chosen, on the
            other base sets alone, float64 ``[n]``.
        errors: Root mean square error, base sets weighted equally, of each candidate by name.
    """

    name: str
    model: Model
    held_out: FloatArray
    errors: dict[str, float]

    def predict(self, features: FloatArray) -> float:
        """Return the prediction for a context, from its features ``[features]``."""
        return float(_predict(self.model, features[None, :])[0])


def fit_gains(values: FloatArray, gains: FloatArray, variances: FloatArray, groups: Sequence[str]) -> Fitted:
    """Fit the models of a gain, and choose the one with the smallest leave-one-base-out error.

    Candidates are the mean, a ridge regression and shallow boosted trees (scikit-learn). Base sets have equal
    weights whatever their number of contexts; within one, gains that were measured more exactly weigh more.

    Args:
        values: Features, float ``[n, features]``; NaN where unknown.
        gains: Mean gains, float ``[n]``.
        variances: The variance of the error of each, float ``[n]``.
        groups: The base set of each context; at least two different ones.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 2)); gains = 0.02 * x[:, 0] + 0.001 * rng.normal(size=60)
        >>> fitted = fit_gains(x, gains, np.full(60, 1e-6), [f"b{i % 6}" for i in range(60)])
        >>> fitted.name, round(fitted.predict(np.array([1.0, 0.0])), 2)
        ('ridge', 0.02)
    """
    return _choose(
        {"mean": _mean, "ridge": _ridge, "boosted trees": _boosted}, values, gains, variances, groups
    )


def fit_probability(values: FloatArray, happened: FloatArray, groups: Sequence[str]) -> Fitted:
    """Fit the models of the probability of an event, and choose by leave-one-base-out Brier score.

    Args:
        values: Features, float ``[n, features]``; NaN where unknown.
        happened: 1 where it happened, else 0; shares in between are allowed. Float ``[n]``.
        groups: The base set of each context; at least two different ones.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 1)); happened = (x[:, 0] > 0).astype(float)
        >>> fitted = fit_probability(x, happened, [f"b{i % 6}" for i in range(60)])
        >>> 0.5 < fitted.predict(np.array([2.0])) <= 1.0
        True
    """
    even = np.full(len(happened), 0.25)
    return _choose(
        {"mean": _mean, "ridge": _ridge, "boosted trees": _boosted}, values, happened, even, groups, _as_share
    )


def _as_share(values: FloatArray) -> FloatArray:
    return np.clip(values, 0.0, 1.0)


def _choose(
    candidates: dict[str, Callable[[], Model]],
    values: FloatArray,
    targets: FloatArray,
    variances: FloatArray,
    groups: Sequence[str],
    bounded: Callable[[FloatArray], FloatArray] = np.asarray,
) -> Fitted:
    of = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1].astype(np.int64)
    if of.max() < 1:
        raise ValueError("at least two base sets are needed, to test a model on one that it has not seen")
    predictions = {name: np.zeros(len(targets)) for name in candidates}
    for group in range(int(of.max()) + 1):
        rest, own = of != group, of == group
        weights = _weights(targets[rest], variances[rest], of[rest])
        for name, make in candidates.items():
            model = _fit(make(), values[rest], targets[rest], weights)
            predictions[name][own] = bounded(_predict(model, values[own]))
    squares = {name: (found - targets) ** 2 for name, found in predictions.items()}
    best, errors = _smallest_error(squares, of)
    held_out = np.zeros(len(targets))
    for group in range(int(of.max()) + 1):
        rest, own = of != group, of == group
        chosen, _ = _smallest_error({name: each[rest] for name, each in squares.items()}, of[rest])
        held_out[own] = predictions[chosen][own]
    fitted = _fit(candidates[best](), values, targets, _weights(targets, variances, of))
    return Fitted(best, fitted, held_out, errors)


def _smallest_error(squares: dict[str, FloatArray], of: IntArray) -> tuple[str, dict[str, float]]:
    """Return the candidate with the smallest error, and the errors; base sets have equal weights."""
    even = 1.0 / np.bincount(of)[of]
    errors = {name: float(np.sqrt(np.average(each, weights=even))) for name, each in squares.items()}
    return min(errors, key=lambda name: errors[name]), errors


def _weights(targets: FloatArray, variances: FloatArray, of: IntArray) -> FloatArray:
    """Return weights that are equal over base sets, and favor exact measurements within them."""
    spread = max(float(np.var(targets)), 1e-9)
    exact = 1.0 / (spread + np.where(np.isfinite(variances), variances, 4 * spread))
    totals = np.bincount(of, exact)[of]
    weights: FloatArray = exact / totals
    return np.asarray(weights * len(weights) / weights.sum())


def _mean() -> Model:
    from sklearn.dummy import DummyRegressor

    return DummyRegressor()


def _ridge() -> Model:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(filled, StandardScaler(), RidgeCV(RIDGE_PENALTIES))


def _boosted() -> Model:
    from sklearn.ensemble import GradientBoostingRegressor  # ten times as fast on so few rows as histograms
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    trees = GradientBoostingRegressor(
        max_depth=2, n_estimators=80, learning_rate=0.08, min_samples_leaf=8, random_state=0
    )
    return make_pipeline(filled, trees)


def _fit(model: Model, values: FloatArray, targets: FloatArray, weights: FloatArray) -> Model:
    from sklearn.pipeline import Pipeline

    key = f"{model.steps[-1][0]}__sample_weight" if isinstance(model, Pipeline) else "sample_weight"
    return model.fit(_finite(values), targets, **{key: weights})


def _predict(model: Model, values: FloatArray) -> FloatArray:
    return np.asarray(model.predict(_finite(values)), dtype=np.float64)


def _finite(values: FloatArray) -> FloatArray:
    """Return features with at least one column: a model without any predicts the mean."""
    return values if values.shape[1] else np.zeros((len(values), 1))
