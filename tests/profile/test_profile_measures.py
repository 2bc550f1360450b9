"""The measures of a profile: closed forms, known manifolds, and intervals that cover."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from distillab.data.examples import Examples
from distillab.profile import image_statistics as looks
from distillab.profile import intervals
from distillab.profile.families import (
    appearance,
    association,
    dimension,
    distance,
    granularity,
    imbalance,
    separability,
    shortcuts,
    teacher,
)
from distillab.profile.measure import Interval
from distillab.profile.neighbours import nearest, unit
from distillab.profile.probe import curved, out_of_fold
from support.planted import gratings, subject, values

RNG = np.random.default_rng(0)


# --- counts ----------------------------------------------------------------------------------------------


@given(count=st.integers(1, 50), each=st.integers(1, 99))
def test_balanced_classes_are_all_effective(count: int, each: int) -> None:
    counts = np.full(count, each)
    assert imbalance.effective_classes(counts) == pytest.approx(count)
    assert imbalance.entropy(counts) == pytest.approx(math.log(count))
    assert imbalance.imbalance_ratio(counts) == 1
    assert imbalance.gini(counts) == pytest.approx(0)


def test_imbalance_in_closed_form() -> None:
    counts = np.array([10, 20, 70])
    expected = -(0.1 * math.log(0.1) + 0.2 * math.log(0.2) + 0.7 * math.log(0.7))
    assert imbalance.entropy(counts) == pytest.approx(expected)
    assert imbalance.effective_classes(counts) == pytest.approx(math.exp(expected))
    assert imbalance.imbalance_ratio(counts) == 7
    # The mean difference of all pairs over twice the mean: (10 + 60 + 50) * 2 / 9 / (2 * 100 / 3).
    assert imbalance.gini(counts) == pytest.approx(0.4)
    assert imbalance.imbalance_ratio(np.array([0, 5])) == math.inf


# --- association -----------------------------------------------------------------------------------------


def test_an_attribute_that_is_the_class_has_cramers_v_of_one() -> None:
    labels = np.arange(300) % 3
    assert association.cramers_v(labels, labels) == pytest.approx(1.0)
    assert association.cramers_v((labels + 1) % 3 * 2, labels) == pytest.approx(1.0), "names do not matter"
    assert association.cramers_v(np.zeros(300, dtype=int), labels) == 0


def test_cramers_v_is_that_of_the_table() -> None:
    """2 x 2 with phi = 0.6; the correction for chance is of the order of 1 / n."""
    table = np.array([[80, 20], [20, 80]]) * 100
    attribute, labels = (np.repeat([0, 0, 1, 1], table.ravel()), np.repeat([0, 1, 0, 1], table.ravel()))
    assert association.cramers_v(attribute, labels) == pytest.approx(0.6, abs=1e-3)


def test_independent_attributes_have_none_even_with_many_values() -> None:
    attribute, labels = RNG.integers(0, 50, 2000), RNG.integers(0, 20, 2000)
    assert association.cramers_v(attribute, labels) < 0.05, "without the correction it would be 0.16"


@given(shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_the_correlation_ratio_knows_no_units(shift: float, scale: float) -> None:
    labels = np.arange(400) % 4
    data = labels + np.random.default_rng(0).normal(size=400)
    found = appearance.correlation_ratio(shift + scale * data, labels)
    assert found == pytest.approx(appearance.correlation_ratio(data, labels), abs=1e-9)
    # Class means 0, 1, 2, 3 have a variance of 1.25, noise has 1.
    assert found == pytest.approx(1.25 / 2.25, abs=0.06)


def test_a_constant_goes_with_nothing() -> None:
    assert appearance.correlation_ratio(np.full(40, 0.3), np.arange(40) % 4) == 0


# --- manifolds -------------------------------------------------------------------------------------------


def distances_of(points: np.ndarray, k: int = 12) -> np.ndarray:  # type: ignore[type-arg]
    return np.sort(cdist(points, points), axis=1)[:, 1 : k + 1]


def flat(dimensions: int, count: int = 2000) -> np.ndarray:  # type: ignore[type-arg]
    """An evenly filled cube of some dimensions, tilted into 30."""
    rng = np.random.default_rng(dimensions)
    axes, _ = np.linalg.qr(rng.normal(size=(30, dimensions)))
    found: np.ndarray = rng.uniform(-10, 10, (count, dimensions)) @ axes.T  # type: ignore[type-arg]
    return found


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_dimension_of_known_manifolds(dimensions: int) -> None:
    distances = distances_of(flat(dimensions))
    value, interval, _ = dimension.two_nn(distances)
    assert value == pytest.approx(dimensions, rel=0.12)
    assert interval.low < value < interval.high
    assert dimension.levina_bickel(distances) == pytest.approx(dimensions, rel=0.12)


def test_a_bent_manifold_has_the_dimension_it_has() -> None:
    """A Swiss roll is two-dimensional, however it is rolled."""
    rng = np.random.default_rng(0)
    turn, height = rng.uniform(5, 14, 2500), rng.uniform(0, 20, 2500)
    roll = np.stack([turn * np.cos(turn), height, turn * np.sin(turn)], axis=1)
    assert dimension.two_nn(distances_of(roll))[0] == pytest.approx(2, rel=0.1)


def test_copies_do_not_make_a_set_flat() -> None:
    points = flat(5, 800)
    doubled = np.concatenate([points, points[:200]])
    value, _, n = dimension.two_nn(distances_of(doubled))
    assert n <= 800 and value == pytest.approx(dimension.two_nn(distances_of(points))[0], rel=0.2)


def test_neighbours_are_those_of_the_full_table() -> None:
    vectors = unit(RNG.normal(size=(300, 8)).astype(np.float32))
    among = np.sort(RNG.permutation(300)[:200])
    found = nearest(vectors, np.arange(300), among, k=4)
    table = cdist(vectors, vectors[among])
    table[np.isin(np.arange(300)[:, None], among) & (np.arange(300)[:, None] == among)] = np.inf
    np.testing.assert_allclose(found.distances, np.sort(table, axis=1)[:, :4], atol=1e-3)
    assert not (found.positions == np.arange(300)[:, None]).any(), "no image is its own neighbour"


# --- separability ----------------------------------------------------------------------------------------


def test_fisher_ratio_of_gaussians() -> None:
    """Two classes 4 apart in one of 5 dimensions of unit variance: (2^2) / 5."""
    rng = np.random.default_rng(0)
    labels = np.arange(8000) % 2
    points = rng.normal(size=(8000, 5))
    points[:, 0] += 4 * labels
    assert separability.fisher_ratio(points, labels) == pytest.approx(0.8, rel=0.05)
    noise = rng.normal(size=(300, 5))
    assert separability.fisher_ratio(noise, np.arange(300) % 100) == pytest.approx(0, abs=0.05), (
        "not the noise"
    )


def test_majority_prefers_the_nearest_among_equals() -> None:
    votes = np.array([[2, 1, 1, 2, 0], [3, 3, 1, 1, 1]])
    assert separability.majority(votes, 4).tolist() == [2, 1]


def test_the_probe_is_as_good_as_bayes_on_gaussians() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(6000) % 2).astype(np.int64)
    points = rng.normal(size=(6000, 4))
    points[:, 1] += 2 * labels
    probed = out_of_fold(points, labels, np.arange(6000), 2)
    assert probed.accuracy == pytest.approx(0.841, abs=0.015), "Phi(1)"
    confident = probed.probabilities.max(axis=1)
    assert confident.mean() == pytest.approx(probed.accuracy, abs=0.02), "its probabilities are honest"


def test_the_probe_is_at_chance_where_there_is_nothing() -> None:
    labels = (np.arange(3000) % 5).astype(np.int64)
    noise = curved(np.random.default_rng(1).normal(size=(3000, 10)))
    probed = out_of_fold(noise, labels, np.arange(3000), 5, uniform_prior=True)
    assert probed.balanced_accuracy == pytest.approx(0.2, abs=0.04)
    assert abs(shortcuts.told(probed)) < 0.05


def test_the_probe_judges_every_image_and_survives_single_ones() -> None:
    labels = np.array([0] * 30 + [1] * 30 + [2])
    probed = out_of_fold(RNG.normal(size=(61, 3)), labels, np.arange(61), 4)
    assert np.isfinite(probed.probabilities).all() and (probed.predicted < 3).all()


def test_curved_features_see_a_ring() -> None:
    """A disc and the ring around it have one mean: no line parts them, a probe on waves does."""
    rng = np.random.default_rng(0)
    labels = (np.arange(1200) % 2).astype(np.int64)
    radius, angle = 1 + 2 * labels + rng.uniform(0, 0.5, 1200), rng.uniform(0, 2 * np.pi, 1200)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    assert out_of_fold(points, labels, np.arange(1200), 2).accuracy < 0.6
    assert out_of_fold(curved(points), labels, np.arange(1200), 2).accuracy > 0.95


def test_granularity_is_distance_over_spread() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(9000) % 3
    points = rng.normal(size=(9000, 2)) + np.array([[0, 0], [6, 0], [0, 10]])[labels]
    assert granularity.granularity(points, labels) == pytest.approx((6 + 6 + 10) / 3 / math.sqrt(2), rel=0.03)
    assert granularity.effective_rank(np.eye(5)) == pytest.approx(4), "a simplex of 5 fills 4 directions"


# --- distances -------------------------------------------------------------------------------------------


def test_frechet_between_gaussians() -> None:
    """Exact for samples whose moments are exact: |m|^2 + sum (s - t)^2 for diagonal covariances."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=(4000, 3))
    white = white - white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    first, second = white * [1, 2, 3], white * [2, 2, 1] + [3, 0, 4]
    assert distance.frechet(first, second) == pytest.approx(9 + 16 + 1 + 4)
    assert distance.frechet(first, first) == pytest.approx(0, abs=1e-6)


def test_mmd_is_unbiased_and_sees_a_shift() -> None:
    rng = np.random.default_rng(0)
    same = [distance.mmd(rng.normal(size=(60, 3)), rng.normal(size=(60, 3)), width=1.5) for _ in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(40)
    assert distance.mmd(rng.normal(size=(60, 3)), 1 + rng.normal(size=(60, 3)), width=1.5) > 5 * np.std(same)


def test_transport_of_a_shift_is_the_shift() -> None:
    points = RNG.normal(size=(50, 3))
    assert distance.transport(points, points + np.array([3.0, 0, 4])) == pytest.approx(5)


def test_proxy_a_distance_from_nothing_to_all() -> None:
    rng = np.random.default_rng(0)
    near, _ = distance.proxy_a(rng.normal(size=(500, 3)), rng.normal(size=(500, 3)))
    far, interval = distance.proxy_a(rng.normal(size=(500, 3)), 20 + rng.normal(size=(500, 3)))
    assert near < 0.35 and far == 2 and interval.high == 2


# --- teacher signals -------------------------------------------------------------------------------------


def test_entropies_in_closed_form() -> None:
    probabilities = np.array([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.25, 0.25, 0]])
    assert teacher.entropies(probabilities) == pytest.approx([math.log(4), 0, 1.5 * math.log(2)])
    others = teacher.non_target_entropies(probabilities, np.array([0, 1, 0]))
    assert others == pytest.approx([math.log(3), 0, math.log(2)])
    assert teacher.class_entropy(np.eye(5)) == pytest.approx(1), "all classes equally often"
    assert teacher.top_margins(probabilities) == pytest.approx([0, 1, 0.25])


def test_the_ratio_of_logits_does_not_depend_on_what_softmax_forgets() -> None:
    logits = np.array([[6.0, 3.0, 0.0, -9.0]])
    assert teacher.top_ratios(logits) == pytest.approx([2.0])
    assert teacher.top_ratios(logits + 7) == pytest.approx([2.0])


# --- looks -----------------------------------------------------------------------------------------------


def test_statistics_of_plain_images() -> None:
    half = np.zeros((1, 3, 32, 32), np.uint8)
    half[:, 0, :, 16:] = 255  # black beside red
    found = looks.statistics_of(
        Examples.of(np.concatenate([half, half * 0 + 128]), [0, 1], ("a", "b")), np.arange(2)
    )
    assert found["brightness"] == pytest.approx([0.299 / 2, 128 / 255], rel=1e-5)
    assert found["contrast"] == pytest.approx([0.299 / 2, 0], abs=1e-6)
    assert found["saturation"] == pytest.approx([0.5, 0], abs=1e-6)
    assert found["edges"][0] > 0 and found["edges"][1] == 0
    assert "saturation" not in looks.statistics_of(Examples.of(half[:, :1], [0], ("a", "b")), np.arange(1))


@pytest.mark.parametrize("slope", [0.0, -2.0, -3.0])
def test_spectral_slope_of_noise_of_known_colour(slope: float) -> None:
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    frequency[0, 0] = 1
    amplitude = frequency ** (slope / 2)
    images = np.fft.ifft2(np.fft.fft2(rng.normal(size=(40, 64, 64))) * amplitude).real
    assert looks.spectral_slope(images / images.std()).mean() == pytest.approx(slope, abs=0.25)


# --- intervals -------------------------------------------------------------------------------------------


def covering(draw: Callable[[np.random.Generator], Interval], truth: float, rounds: int = 300) -> float:
    """How often an interval holds the truth."""
    rng = np.random.default_rng(1)
    found = [draw(rng) for _ in range(rounds)]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def test_wilson_covers() -> None:
    assert covering(lambda rng: intervals.wilson(rng.binomial(80, 0.1), 80), 0.1) == pytest.approx(
        0.95, abs=0.04
    )


def test_the_interval_of_twonn_covers() -> None:
    def draw(rng: np.random.Generator) -> Interval:
        ratios = np.exp(rng.exponential(1 / 7.0, 100))  # what the theory says of dimension 7
        return dimension.two_nn(np.stack([np.ones(100), ratios], axis=1))[1]

    assert covering(draw, 7.0) == pytest.approx(0.95, abs=0.04)


def test_the_interval_of_a_balanced_accuracy_covers() -> None:
    counts = np.array([40, 160, 300])
    truth = np.array([0.9, 0.5, 0.2])

    def draw(rng: np.random.Generator) -> Interval:
        return intervals.balanced(rng.binomial(counts, truth) / counts, counts)

    assert covering(draw, float(truth.mean())) >= 0.93


def test_the_jackknife_covers_what_a_bootstrap_would_miss() -> None:
    """Cramer's V of a weak association among many values."""
    attribute = np.repeat(np.arange(10), 120)

    def draw(rng: np.random.Generator) -> Interval:
        labels = np.where(rng.random(1200) < 0.4, attribute, rng.integers(0, 10, 1200))
        order = rng.permutation(1200)
        return intervals.jackknife(
            lambda i: association.cramers_v(attribute[order[i]], labels[order[i]]),
            1200,
            association.cramers_v(attribute, labels),
        )

    assert covering(draw, 0.4, rounds=100) >= 0.9


def test_the_bootstrap_of_a_median_covers() -> None:
    def draw(rng: np.random.Generator) -> Interval:
        sample = rng.normal(3, 1, 60)
        return intervals.bootstrap(lambda i: float(np.median(sample[i])), 60, seed=0, resamples=100)

    assert covering(draw, 3.0, rounds=200) >= 0.9


def test_where_nothing_is_known_no_interval_is_made_up() -> None:
    assert math.isnan(intervals.wilson(0, 0).low)
    assert math.isnan(intervals.normal_mean([1.0]).low)
    assert math.isnan(intervals.rate(1.0, 0).low)
    assert math.isnan(intervals.jackknife(lambda i: 1.0, 2, 1.0).low)


def test_every_value_lies_in_its_interval() -> None:
    images, labels = gratings()
    from distillab.profile.profile import measure_all

    for family in measure_all(subject(images, labels)):
        for each in family.measures:
            if math.isfinite(each.interval.low):
                assert each.interval.low - 1e-9 <= each.value <= each.interval.high + 1e-9, each.key
    assert values(imbalance.measure(subject(images, labels)))["effective_classes"] == pytest.approx(4)
