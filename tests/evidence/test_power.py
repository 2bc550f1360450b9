"""Power of the paired t test, compared with statsmodels."""

from __future__ import annotations

import math

import pytest
from statsmodels.stats.power import TTestPower

from distillab.evidence.power import detectable_effect, paired_power, pairs_needed


@pytest.mark.parametrize("n", [2, 3, 6, 10, 20])  # with 40 pairs and d = 1.5 statsmodels gives NaN
@pytest.mark.parametrize("d", [0.25, 0.5, 1.0, 1.5])
def test_power_agrees_with_statsmodels(n: int, d: float) -> None:
    assert paired_power(n, d) == pytest.approx(TTestPower().power(d, n, 0.05), abs=1e-6)


@pytest.mark.parametrize(("d", "pairs"), [(1.5, 6), (1.0, 10), (0.75, 16), (0.5, 34)])
def test_pairs_needed_are_the_known_sample_sizes(d: float, pairs: int) -> None:
    assert pairs_needed(sd=0.004, effect=0.004 * d) == pairs == pairs_needed(sd=0.004, effect=-0.004 * d)


@pytest.mark.parametrize("n", [2, 5, 6, 10, 100])
def test_detectable_effect_is_shown_with_the_required_power(n: int) -> None:
    effect = detectable_effect(n, sd=2.0, power=0.9)
    assert paired_power(n, effect / 2.0) == pytest.approx(0.9, abs=1e-9)
    if n > 2:
        assert effect < detectable_effect(n - 1, sd=2.0, power=0.9)
        assert pairs_needed(2.0, effect * 1.0001, power=0.9) == n


def test_extreme_designs_have_the_power_of_their_limits() -> None:
    assert paired_power(1, 5.0) == 0.0
    assert paired_power(6, 0.0) == pytest.approx(0.05)
    assert paired_power(6, 1e6) == pytest.approx(1.0)
    assert pairs_needed(0.0, 0.1) == 2
    assert pairs_needed(0.001, 1.0) == 2
    assert detectable_effect(1, 0.1) == math.inf
    assert detectable_effect(6, 0.0) == 0.0


@pytest.mark.parametrize("bad", [{"effect": 0.0}, {"sd": -1.0}, {"power": 1.0}])
def test_impossible_requirements_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        pairs_needed(**({"sd": 1.0, "effect": 1.0} | bad))
