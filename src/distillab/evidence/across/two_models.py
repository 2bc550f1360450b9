"""Two trained models on the same test examples: McNemar's test and the paired bootstrap over examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

EXAMPLE_RESAMPLES = 9_999


@dataclass(frozen=True)
class TwoModels:
    """How the accuracies of two models differ on the same test examples.

    The conclusion is about these two networks. Networks trained under other seeds may differ otherwise, which
    a study with several seeds finds out.

    Attributes:
        difference: Accuracy of the first less that of the second.
        ci_low: Lower end of the percentile interval over test examples.
        ci_high: Upper end of that interval.
        only_first: Examples that only the first model classifies correctly.
        only_second: Examples that only the second one does.
        n_test: Number of test examples.
        p_exact: Exact p-value of McNemar's test.
        p_mid: Its mid-p-value.

    Example:
        >>> found = compare_models([1, 1, 1, 0], [1, 0, 0, 0])
        >>> found.difference, found.only_first, found.p_exact, found.p_mid
        (0.5, 2, 0.5, 0.25)
    """

    difference: float
    ci_low: float
    ci_high: float
    only_first: int
    only_second: int
    n_test: int
    p_exact: float
    p_mid: float


def compare_models(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = EXAMPLE_RESAMPLES,
) -> TwoModels:
    """Return the comparison of two models by which examples each classifies correctly.

    Args:
        first: Whether the first model is correct, bool ``[m]``, one per test example.
        second: The same of the second model, for the same examples.
        confidence: Nominal coverage of the interval.
        resamples: Number of bootstrap resamples of the test examples.

    Raises:
        ValueError: Shapes differ, or there is no example.

    Example:
        >>> found = compare_models([True, True, False, True], [True, False, False, False])
        >>> found.only_first, found.only_second, found.n_test
        (2, 0, 4)
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise ValueError(f"both models need the same test examples, not {one.shape} and {other.shape}")
    gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
    m = len(one)
    # Examples on which both agree contribute nothing: a resample is a draw of three counts.
    rng = np.random.default_rng(m)
    counts = rng.multinomial(m, [gained / m, lost / m, 1.0 - (gained + lost) / m], size=resamples)
    drawn = (counts[:, 0] - counts[:, 1]) / m
    low, high = np.quantile(drawn, [0.5 - confidence / 2.0, 0.5 + confidence / 2.0])
    return TwoModels((gained - lost) / m, float(low), float(high), gained, lost, m, *mcnemar_p(gained, lost))


def mcnemar_p(only_first: int, only_second: int) -> tuple[float, float]:
    """Return the exact and the mid-p-value of McNemar's test (McNemar 1947; Fagerland et al. 2013).

    Given that b + c examples are classified correctly by one model only, b has the binomial distribution with
    probability 1/2. The exact p-value is twice the smaller tail, at most 1; the mid-p-value counts half of
    the observed outcome and has an error rate closer to the nominal one.

    Args:
        only_first: b, examples that only the first model classifies correctly.
        only_second: c, examples that only the second one does.

    Raises:
        ValueError: A number is negative.

    Example:
        >>> exact, mid = mcnemar_p(8, 1)
        >>> round(exact, 4), round(mid, 4)
        (0.0391, 0.0215)
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"numbers of examples must not be negative: {only_first}, {only_second}")
    n, fewer = only_first + only_second, min(only_first, only_second)
    observed = float(stats.binom.pmf(fewer, n, 0.5))
    exact = min(1.0, 2.0 * float(stats.binom.cdf(fewer, n, 0.5)))
    if only_first == only_second:
        return exact, 1.0 - observed / 2.0
    return exact, exact - observed
