"""Arms: differences from the network as given, the front, and the choice, which val alone decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distillab.deploy.compression.arms import (
    CompressionArm,
    NetworkCost,
    TestedNetwork,
    compared,
    difference,
    smallest_within,
    with_front,
)
from distillab.deploy.compression.result import Compressed

RNG = np.random.default_rng(0)


def outcome(right: int, val: float = 0.8, n: int = 200, seed: int | None = 0) -> TestedNetwork:
    """A network that predicts the first ``right`` of n test examples correctly."""
    return TestedNetwork(f"run-{right}-{seed}", seed, val, np.arange(n) < right)


def arm(label: str, *networks: TestedNetwork, size: int = 1000, gzip_size: int = 900) -> CompressionArm:
    cost = NetworkCost(10, 10, 100, size, gzip_size, 0.1, 0.2)
    kinds = {"given": ((), False), "int8": (("int8",), False), "KD": (("KD",), True), "further": ((), True)}
    techniques, fine_tuned = kinds[label]
    return CompressionArm(techniques, None, 0.0, fine_tuned, networks, cost)  # type: ignore[arg-type]


GIVEN = arm("given", outcome(160, val=0.80, seed=None))


def test_difference_is_the_mean_over_seeds() -> None:
    found = difference(arm("KD", outcome(150), outcome(154, seed=1)), GIVEN)
    assert found.gain == pytest.approx((150 + 154) / 2 / 200 - 0.8)
    assert found.n_pairs == 2
    assert found.ci_low < found.gain < found.ci_high


def test_interval_of_one_network_covers_the_draw_of_test_examples() -> None:
    few = difference(arm("int8", outcome(40, n=50)), arm("given", outcome(42, n=50)))
    many = difference(arm("int8", outcome(4000, n=5000)), arm("given", outcome(4200, n=5000)))
    assert few.gain == many.gain == pytest.approx(-0.04)
    assert few.ci_high - few.ci_low > 3 * (many.ci_high - many.ci_low)


def test_interval_is_not_empty_where_nothing_changed() -> None:
    found = difference(arm("int8", outcome(160)), GIVEN)
    assert found.gain == 0
    assert found.ci_low < 0 < found.ci_high


def test_interval_of_several_seeds_covers_test_examples_too() -> None:
    same = arm("KD", *(outcome(150, seed=seed) for seed in range(5)))
    found = difference(same, GIVEN)
    assert found.ci_high - found.ci_low > 0.02  # all seeds agree, and ten of 200 examples changed


def test_front_ignores_the_test_set() -> None:
    small = arm("int8", outcome(199, val=0.70), size=500)
    worse = arm("KD", outcome(200, val=0.79), size=1000)
    marked = with_front([GIVEN, small, worse])
    assert [each.on_front for each in marked] == [True, True, False]


def test_arms_of_equal_size_and_accuracy_are_both_on_the_front() -> None:
    twin = arm("further", outcome(100, val=0.80))
    assert all(each.on_front for each in with_front([GIVEN, twin]))


@pytest.mark.parametrize(("max_drop", "chosen"), [(0.0, "KD"), (1.0, "KD"), (3.0, "int8"), (10.0, "int8")])
def test_smallest_within_the_drop_is_shipped(max_drop: float, chosen: str) -> None:
    arms = with_front(
        [GIVEN, arm("KD", outcome(0, val=0.81), size=700), arm("int8", outcome(200, val=0.77), size=300)]
    )
    found = smallest_within(arms, arms[0], max_drop)
    assert found is not None
    assert found.label == chosen


def test_nothing_is_shipped_that_is_not_smaller() -> None:
    arms = with_front([GIVEN, arm("KD", outcome(200, val=0.95), size=1000)])
    assert smallest_within(arms, arms[0], 1.0) is None


def test_smaller_gzip_decides_between_equal_files() -> None:
    arms = with_front(
        [
            GIVEN,
            arm("int8", outcome(1, val=0.8), size=300, gzip_size=250),
            arm("KD", outcome(1, val=0.8), size=300, gzip_size=150),
        ]
    )
    found = smallest_within(arms, arms[0], 1.0)
    assert found is not None
    assert found.label == "KD"


def test_shipped_network_is_that_of_the_best_seed_on_val() -> None:
    several = arm("KD", outcome(10, val=0.7), outcome(5, val=0.9, seed=1), outcome(20, val=0.8, seed=2))
    assert several.chosen.seed == 1


def test_arms_without_the_given_network_are_refused() -> None:
    with pytest.raises(ValueError, match="as given is not among"):
        compared([arm("KD", outcome(1))])


def compressed(*arms: CompressionArm, winner: CompressionArm | None = None) -> Compressed:
    from pathlib import Path

    return Compressed(
        folder=Path("out"),
        network="resnet8",
        dataset="digits",
        teacher="the unpruned network",
        arms=compared(arms),
        recovery=(),
        winner=winner,
        model=None,
        max_drop=1.0,
        margin=0.005,
    )


@pytest.mark.parametrize(
    ("right", "size", "verdict"),
    [
        (1600, 300, "equal within 0.5 points"),
        (1300, 300, "its accuracy is not equal"),
        (1590, 300, "undecided"),
        (1600, 500, "No arm is 3 times smaller"),
    ],
)
def test_claim_of_three_times_smaller_is_judged_by_the_interval(right: int, size: int, verdict: str) -> None:
    given = arm("given", outcome(1600, n=2000))
    found = compressed(given, arm("int8", outcome(right, n=2000), size=size))
    assert verdict in found.sentences[0]


def test_answer_without_a_winner_ships_the_network_as_it_is() -> None:
    found = compressed(GIVEN)
    assert found.headline.startswith("Ship resnet8 as it is")
    values = found.as_dict()
    assert (values["ship"], values["artifact"], values["ratio"]) == (None, None, 1.0)


def test_unbounded_intervals_are_null_in_json() -> None:
    found = compressed(GIVEN, arm("KD", outcome(150)))
    made = replace(found.arms[1], difference=replace(found.arms[1].difference, ci_low=-np.inf))  # type: ignore[arg-type, type-var]
    assert made.as_dict()["ci_low"] is None
