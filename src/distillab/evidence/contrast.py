"""A contrast: pairs of runs in a cell, or in several, as one difference per seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples
from distillab.evidence.draws import (
    FloatArray,
    Variance,
    covariance_over_examples,
    variance_of_the_mean,
    variance_over_examples,
)
from distillab.evidence.gains import NO_DIFFERENCE, PairedDifferences, smallest_gap
from distillab.evidence.pairs import Row, resolution_of, teachers_of
from distillab.tasks import Metric, Task

RunPair = tuple[Row, Row]
"""The rows of a distilled and of a plain run."""


@dataclass(frozen=True)
class ExampleValues:
    """What each test example adds to a metric of a run.

    Attributes:
        values: float64 ``[m]``, whose mean is the metric.
        ids: int64 ``[m]``, the identity of each example.

    Example:
        >>> ExampleValues(np.array([1.0, 0.0]), np.array([3, 8])).values.mean()
        np.float64(0.5)
    """

    values: FloatArray
    ids: npt.NDArray[np.int64]


def values_of_groups(values: FloatArray, groups: npt.NDArray[np.int64]) -> ExampleValues:
    """Return what each group of test examples, such as a patient, adds to a metric of a run.

    Args:
        values: What each example adds, float64 ``[m]``, whose mean is the metric.
        groups: The group of each, int64 ``[m]``.

    Returns:
        One value per group, with the same mean.

    Example:
        >>> values_of_groups(np.array([1.0, 0.0, 0.5]), np.array([7, 7, 9]))
        ExampleValues(values=array([0.66666667, 0.33333333]), ids=array([7, 9]))
    """
    names, places = np.unique(groups, return_inverse=True)
    sums: FloatArray = np.bincount(places, weights=values).astype(np.float64)
    return ExampleValues(sums * (len(sums) / len(values)), names)


def values_of_strata(values: FloatArray, groups: npt.NDArray[np.int64]) -> FloatArray:
    """Return what each test example adds to the mean over groups of a metric, each group counted once.

    Examples are drawn within their group, and the groups are fixed: another study would test as many examples
    of the same ones. So groups are strata, and what differs between them is not part of the variance. In a
    group of n_g examples of mean m_g, an example of value v adds ``M + N / (G n_g) (v - m_g)``, with G groups
    of N examples in all and M the mean of their means (Cochran, Sampling Techniques, 1977, chapter 5).

    Args:
        values: What each example adds to the metric of its group, float64 ``[N]``, whose mean over the group
            is the metric there.
        groups: The group of each, int64 ``[N]``.

    Returns:
        float64 ``[N]``, whose mean is the mean over groups.

    Example:
        >>> values_of_strata(np.array([1.0, 0.0, 1.0]), np.array([7, 7, 9])).tolist()
        [1.125, 0.375, 0.75]
    """
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.bincount(places, weights=values) / sizes
    weights = len(values) / (len(sizes) * sizes)
    contributions: FloatArray = means.mean() + weights[places] * (values - means[places])
    return contributions


def values_of_gap(far: ExampleValues, near: ExampleValues) -> ExampleValues:
    """Return what each test example adds to the difference of a metric between two test sets.

    An example of both sets, such as an image with and without a cue, adds what it adds to one less what it
    adds to the other; an example of one set adds to that alone.

    Args:
        far: What the examples of one test set add to the metric.
        near: What those of the other add; their mean is subtracted.

    Example:
        >>> same = ExampleValues(np.array([1.0, 0.0]), np.array([4, 6]))
        >>> values_of_gap(same, ExampleValues(np.array([1.0, 1.0]), np.array([6, 4]))).values.tolist()
        [0.0, -1.0]
    """
    ids, places = np.unique(np.concatenate([far.ids, near.ids]), return_inverse=True)
    values = np.full(len(ids), far.values.mean() - near.values.mean())
    for sign, each, at in ((1, far, places[: len(far.ids)]), (-1, near, places[len(far.ids) :])):
        values[at] += sign * len(ids) / len(each.ids) * (each.values - each.values.mean())
    return ExampleValues(values, ids)


FEWEST_IDENTITIES = 5
"""With fewer tested identities, intervals hold for these alone."""

Contributions = Callable[[Row], FloatArray | ExampleValues]
"""What each test example adds to a metric of the run of a row. Bare values, float64 ``[m]``, are those of
the same examples for all runs."""
FurtherContributions = Callable[[str], Contributions | None]
"""The contributions to a metric other than the primary one, by its column; None where they are not known."""


def covering_draws(contributions: Contributions, task: Task, test: Examples) -> Contributions | None:
    """Return the contributions; None where too few identities are tested to tell how others would differ.

    Args:
        contributions: What test examples, or identities, add to the primary metric.
        task: The task.
        test: The primary test set.
    """
    few = task.draws_classes and len(test.classes) < FEWEST_IDENTITIES
    return None if few else contributions


def differences_of(
    paired: Sequence[RunPair], metric: Metric, contributions: Contributions | None = None
) -> PairedDifferences:
    """Return the differences between the runs of some pairs.

    Args:
        paired: (distilled, plain) rows, at least one pair.
        metric: The metric.
        contributions: Those to the metric, to cover new test examples. None takes them as fixed.

    Example:
        >>> from distillab.tasks import Classification
        >>> paired = [({"accuracy": 0.8}, {"accuracy": 0.7}), ({"accuracy": 0.9}, {"accuracy": 0.7})]
        >>> differences_of(paired, Classification.metrics["accuracy"]).values.round(2).tolist()
        [0.1, 0.2]
    """
    return combination_of([(pair,) for pair in paired], (1.0,), metric, contributions)


def combination_of(
    paired: Sequence[Sequence[RunPair]],
    weights: Sequence[float],
    metric: Metric,
    contributions: Contributions | None = None,
) -> PairedDifferences:
    """Return a weighted sum of the differences of several pairs, one per seed.

    With the weights 1 and -1 it is how much more one pair gains than another: the difference of a gain
    between two levels of a factor. Pairs that share a teacher at every term share it in the sum.

    Args:
        paired: For each seed one pair per term, in the order of the weights.
        weights: The weight of each term.
        metric: The metric.
        contributions: Those to the metric, to cover new test examples. None takes them as fixed.

    Example:
        >>> from distillab.tasks import Classification
        >>> here, there = ({"accuracy": 0.8}, {"accuracy": 0.7}), ({"accuracy": 0.9}, {"accuracy": 0.6})
        >>> found = combination_of([(there, here)], (1.0, -1.0), Classification.metrics["accuracy"])
        >>> found.values.round(2).tolist()
        [0.2]
    """
    name = metric.name
    after = np.array([[pair[0][name] for pair in terms] for terms in paired], dtype=np.float64)
    before = np.array([[pair[1][name] for pair in terms] for terms in paired], dtype=np.float64)
    flat = [pair for terms in paired for pair in terms]
    step = resolution_of(flat, metric)
    if step is not None:
        step *= max(abs(weight) for weight in weights)
    of_weights = np.asarray(weights)
    if step is None and np.ptp((after - before) @ of_weights) < NO_DIFFERENCE:
        step = smallest_gap(np.concatenate([after.ravel(), before.ravel()]))
    found = PairedDifferences.of(
        after @ of_weights, before @ of_weights, resolution=step, teachers=_teachers(paired, len(weights))
    )
    if contributions is None or len(paired) < 2:
        return found
    over_examples, same_runs = _over_examples(paired, weights, contributions)
    return replace(found, over_examples=over_examples, same_runs=same_runs)


def _teachers(paired: Sequence[Sequence[RunPair]], terms: int) -> list[str] | None:
    """Return the teachers behind each seed: those of its terms together."""
    by_term = [teachers_of([of_seed[term] for of_seed in paired]) for term in range(terms)]
    if any(names is None for names in by_term):
        return None
    together = zip(*(names or [] for names in by_term), strict=True)
    return [" ".join(dict.fromkeys(names)) for names in together]


def _over_examples(
    paired: Sequence[Sequence[RunPair]], weights: Sequence[float], contributions: Contributions
) -> tuple[Variance, Variance]:
    """Return the variances of the mean over test examples: of any networks, and of these very ones."""
    terms = [[_difference(pair, contributions) for pair in of_seed] for of_seed in paired]
    first = terms[0][0]
    if all(_same_examples(each, first) for of_seed in terms for each in of_seed):
        sums = [
            sum(weight * each.values for weight, each in zip(weights, of_seed, strict=True))
            for of_seed in terms
        ]
        table = np.stack(sums)
        return variance_over_examples(table), variance_of_the_mean(table.mean(axis=0))
    ids, places = np.unique(
        np.concatenate([each.ids for of_seed in terms for each in of_seed]), return_inverse=True
    )
    parts = np.zeros((len(terms), len(ids)))
    start = 0
    for row, of_seed in zip(parts, terms, strict=True):
        for weight, each in zip(weights, of_seed, strict=True):
            here = places[start : start + len(each.ids)]
            row[here] += weight * (each.values - each.values.mean()) / len(each.values)
            start += len(each.ids)
    of_means = float((parts.mean(axis=0) ** 2).sum())
    return covariance_over_examples(parts), Variance(of_means, max(1, len(ids) - 1))


def _difference(pair: RunPair, contributions: Contributions) -> ExampleValues:
    """Return what each test example adds to the difference between two runs on the same test set."""
    after, before = (contributions(row) for row in pair)
    if isinstance(after, ExampleValues) and isinstance(before, ExampleValues):
        return ExampleValues(after.values - before.values, after.ids)
    values = _bare(after) - _bare(before)
    return ExampleValues(values, np.arange(len(values)))


def _bare(values: FloatArray | ExampleValues) -> FloatArray:
    return values.values if isinstance(values, ExampleValues) else values


def _same_examples(one: ExampleValues, other: ExampleValues) -> bool:
    return one.ids is other.ids or np.array_equal(one.ids, other.ids)


def shared_examples(here: Sequence[RunPair], there: Sequence[RunPair], contributions: Contributions) -> float:
    """Return the share of the test examples of some pairs that others have as well, by seed.

    Example:
        >>> rows = [{"accuracy": 0.5}, {"accuracy": 0.6}]
        >>> ids = {0.5: np.array([1, 2]), 0.6: np.array([2, 3])}
        >>> def values(row: Row) -> ExampleValues:
        ...     return ExampleValues(np.zeros(2), ids[row["accuracy"]])
        >>> shared_examples([(rows[0], rows[0])], [(rows[1], rows[1])], values)
        0.5
    """
    shares = []
    for one, other in zip(here, there, strict=True):
        first, second = (_difference(pair, contributions) for pair in (one, other))
        same = _same_examples(first, second)
        shares.append(1.0 if same else float(np.isin(first.ids, second.ids).mean()))
    return float(np.mean(shares))
