"""Measures of a profile against closed forms and known manifolds; coverage of their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from distillab.data.examples import Examples
from distillab.profile import Interval, intervals
from distillab.profile.families import (
    appearance,
    association,
    dataset_distance,
    dimension,
    granularity,
    imbalance,
    separability,
    shortcuts,
    teacher_outputs,
)
from distillab.profile.image_statistics import image_statistics, spectral_slope
from distillab.profile.neighbors import nearest_neighbors, unit_vectors
from distillab.profile.probe import add_fourier_features, probe_out_of_fold
from distillab.profile.profile import measure_families
from support.planted import gratings, profiled, values

Points = npt.NDArray[np.float64]
RNG = np.random.default_rng(0)


# -- counts --------------------------------------------------------------------------------------------------


@given(count=st.integers(1, 50), each=st.integers(1, 99))
def test_balanced_classes_are_all_effective(count: int, each: int) -> None:
    counts = np.full(count, each)
    assert imbalance.effective_classes(counts) == pytest.approx(count)
    assert imbalance.label_entropy(counts) == pytest.approx(math.log(count))
    assert imbalance.imbalance_ratio(counts) == 1
    assert imbalance.gini(counts) == pytest.approx(0)


def test_imbalance_measures_equal_closed_forms() -> None:
    counts = np.array([10, 20, 70])
    expected = -(0.1 * math.log(0.1) + 0.2 * math.log(0.2) + 0.7 * math.log(0.7))
    assert imbalance.label_entropy(counts) == pytest.approx(expected)
    assert imbalance.effective_classes(counts) == pytest.approx(math.exp(expected))
    assert imbalance.imbalance_ratio(counts) == 7
    # The mean difference of all pairs over twice the mean: (10 + 60 + 50) * 2 / 9 / (2 * 100 / 3).
    assert imbalance.gini(counts) == pytest.approx(0.4)
    assert imbalance.imbalance_ratio(np.array([0, 5])) == math.inf


# -- association ---------------------------------------------------------------------------------------------


def test_cramers_v_of_the_class_itself_is_one() -> None:
    labels = np.arange(300) % 3
    assert association.corrected_cramers_v(labels, labels) == pytest.approx(1.0)
    assert association.corrected_cramers_v((labels + 1) % 3 * 2, labels) == pytest.approx(1.0), (
        "the numbering of values does not matter"
    )
    assert association.corrected_cramers_v(np.zeros(300, dtype=int), labels) == 0


def test_cramers_v_equals_phi_of_a_two_by_two_table() -> None:
    """2 x 2 with phi = 0.6; the correction for chance is of the order of 1 / n."""
    table = np.array([[80, 20], [20, 80]]) * 100
    attribute, labels = (np.repeat([0, 0, 1, 1], table.ravel()), np.repeat([0, 1, 0, 1], table.ravel()))
    assert association.corrected_cramers_v(attribute, labels) == pytest.approx(0.6, abs=1e-3)


def test_cramers_v_of_independent_attributes_is_near_zero() -> None:
    attribute, labels = RNG.integers(0, 50, 2000), RNG.integers(0, 20, 2000)
    assert association.corrected_cramers_v(attribute, labels) < 0.05, (
        "without the correction it would be 0.16"
    )


@given(shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_correlation_ratio_is_invariant_to_units(shift: float, scale: float) -> None:
    labels = np.arange(400) % 4
    data = labels + np.random.default_rng(0).normal(size=400)
    found = appearance.correlation_ratio(shift + scale * data, labels)
    assert found == pytest.approx(appearance.correlation_ratio(data, labels), abs=1e-9)
    # Class means 0, 1, 2, 3 have a variance of 1.25, noise has 1.
    assert found == pytest.approx(1.25 / 2.25, abs=0.06)


def test_correlation_ratio_of_a_constant_is_zero() -> None:
    assert appearance.correlation_ratio(np.full(40, 0.3), np.arange(40) % 4) == 0


# -- manifolds -----------------------------------------------------------------------------------------------


def distances_of(points: Points, k: int = 12) -> Points:
    """Return the distances to the k nearest neighbors, ascending, float64 ``[N, k]``."""
    return np.sort(cdist(points, points), axis=1)[:, 1 : k + 1]


def cube(dimensions: int, count: int = 2000) -> Points:
    """Draw points from a cube of some dimensions, rotated into 30."""
    rng = np.random.default_rng(dimensions)
    axes, _ = np.linalg.qr(rng.normal(size=(30, dimensions)))
    return np.asarray(rng.uniform(-10, 10, (count, dimensions)) @ axes.T)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_dimension_of_known_manifolds_is_recovered(dimensions: int) -> None:
    distances = distances_of(cube(dimensions))
    value, interval, _ = dimension.two_nn(distances)
    assert value == pytest.approx(dimensions, rel=0.12)
    assert interval.low < value < interval.high
    assert dimension.levina_bickel(distances) == pytest.approx(dimensions, rel=0.12)


def test_dimension_of_a_swiss_roll_is_two() -> None:
    rng = np.random.default_rng(0)
    turn, height = rng.uniform(5, 14, 2500), rng.uniform(0, 20, 2500)
    roll = np.stack([turn * np.cos(turn), height, turn * np.sin(turn)], axis=1)
    assert dimension.two_nn(distances_of(roll))[0] == pytest.approx(2, rel=0.1)


def test_copies_do_not_change_the_dimension() -> None:
    points = cube(5, 800)
    doubled = np.concatenate([points, points[:200]])
    value, _, n = dimension.two_nn(distances_of(doubled))
    assert n <= 800 and value == pytest.approx(dimension.two_nn(distances_of(points))[0], rel=0.2)


def test_neighbors_equal_those_of_all_distances() -> None:
    vectors = unit_vectors(RNG.normal(size=(300, 8)).astype(np.float32))
    among = np.sort(RNG.permutation(300)[:200])
    found = nearest_neighbors(vectors, np.arange(300), among, k=4)
    table = cdist(vectors, vectors[among])
    table[np.isin(np.arange(300)[:, None], among) & (np.arange(300)[:, None] == among)] = np.inf
    np.testing.assert_allclose(found.distances, np.sort(table, axis=1)[:, :4], atol=1e-3)
    assert not (found.positions == np.arange(300)[:, None]).any(), "no image is its own neighbor"


# -- separability --------------------------------------------------------------------------------------------


def test_fisher_ratio_of_gaussians_equals_its_closed_form() -> None:
    """Two classes 4 apart in one of 5 dimensions of unit variance: (2^2) / 5."""
    rng = np.random.default_rng(0)
    labels = np.arange(8000) % 2
    points = rng.normal(size=(8000, 5))
    points[:, 0] += 4 * labels
    assert separability.fisher_ratio(points, labels) == pytest.approx(0.8, rel=0.05)
    noise = rng.normal(size=(300, 5))
    assert separability.fisher_ratio(noise, np.arange(300) % 100) == pytest.approx(0, abs=0.05), (
        "the noise of the means is subtracted"
    )


def test_majority_vote_breaks_ties_by_distance() -> None:
    votes = np.array([[2, 1, 1, 2, 0], [3, 3, 1, 1, 1]])
    assert separability.majority_vote(votes, 4).tolist() == [2, 1]


def test_probe_reaches_bayes_accuracy_on_gaussians() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(6000) % 2).astype(np.int64)
    points = rng.normal(size=(6000, 4))
    points[:, 1] += 2 * labels
    probed = probe_out_of_fold(points, labels, np.arange(6000), 2)
    assert probed.accuracy == pytest.approx(0.841, abs=0.015), "Phi(1)"
    confident = probed.probabilities.max(axis=1)
    assert confident.mean() == pytest.approx(probed.accuracy, abs=0.02), "its probabilities are calibrated"


def test_probe_is_at_chance_on_noise() -> None:
    labels = (np.arange(3000) % 5).astype(np.int64)
    noise = add_fourier_features(np.random.default_rng(1).normal(size=(3000, 10)))
    probed = probe_out_of_fold(noise, labels, np.arange(3000), 5, uniform_prior=True)
    assert probed.balanced_accuracy == pytest.approx(0.2, abs=0.04)
    assert abs(shortcuts.chance_corrected_accuracy(probed)) < 0.05


def test_probe_predicts_classes_with_a_single_image() -> None:
    labels = np.array([0] * 30 + [1] * 30 + [2])
    probed = probe_out_of_fold(RNG.normal(size=(61, 3)), labels, np.arange(61), 4)
    assert np.isfinite(probed.probabilities).all() and (probed.predicted < 3).all()


def test_fourier_features_separate_a_ring() -> None:
    # A disc and the ring around it have the same mean, so no linear probe separates them.
    rng = np.random.default_rng(0)
    labels = (np.arange(1200) % 2).astype(np.int64)
    radius, angle = 1 + 2 * labels + rng.uniform(0, 0.5, 1200), rng.uniform(0, 2 * np.pi, 1200)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    assert probe_out_of_fold(points, labels, np.arange(1200), 2).accuracy < 0.6
    assert probe_out_of_fold(add_fourier_features(points), labels, np.arange(1200), 2).accuracy > 0.95


def test_granularity_is_distance_over_spread() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(9000) % 3
    points = rng.normal(size=(9000, 2)) + np.array([[0, 0], [6, 0], [0, 10]])[labels]
    assert granularity.granularity(points, labels) == pytest.approx((6 + 6 + 10) / 3 / math.sqrt(2), rel=0.03)
    assert granularity.effective_rank(np.eye(5)) == pytest.approx(4), "a simplex of 5 fills 4 directions"


# -- distances -----------------------------------------------------------------------------------------------


def test_frechet_distance_of_gaussians_equals_its_closed_form() -> None:
    """Exact for samples whose moments are exact: |m|^2 + sum (s - t)^2 for diagonal covariances."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=(4000, 3))
    white = white - white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    first, second = white * [1, 2, 3], white * [2, 2, 1] + [3, 0, 4]
    assert dataset_distance.frechet_distance(first, second) == pytest.approx(9 + 16 + 1 + 4)
    assert dataset_distance.frechet_distance(first, first) == pytest.approx(0, abs=1e-6)


def test_mmd_is_unbiased_and_detects_a_shift() -> None:
    rng = np.random.default_rng(0)
    same = [
        dataset_distance.squared_mmd(rng.normal(size=(60, 3)), rng.normal(size=(60, 3)), width=1.5)
        for _ in range(40)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(40)
    assert dataset_distance.squared_mmd(
        rng.normal(size=(60, 3)), 1 + rng.normal(size=(60, 3)), width=1.5
    ) > 5 * np.std(same)


def test_transport_distance_of_a_shift_is_its_length() -> None:
    points = RNG.normal(size=(50, 3))
    assert dataset_distance.transport_distance(points, points + np.array([3.0, 0, 4])) == pytest.approx(5)


def test_proxy_a_distance_ranges_from_near_0_to_2() -> None:
    rng = np.random.default_rng(0)
    near, _ = dataset_distance.proxy_a_distance(rng.normal(size=(500, 3)), rng.normal(size=(500, 3)))
    far, interval = dataset_distance.proxy_a_distance(
        rng.normal(size=(500, 3)), 20 + rng.normal(size=(500, 3))
    )
    assert near < 0.35 and far == 2 and interval.high == 2


# -- teacher signals -----------------------------------------------------------------------------------------


def test_entropies_equal_closed_forms() -> None:
    probabilities = np.array([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.25, 0.25, 0]])
    assert teacher_outputs.entropies(probabilities) == pytest.approx([math.log(4), 0, 1.5 * math.log(2)])
    others = teacher_outputs.non_target_entropies(probabilities, np.array([0, 1, 0]))
    assert others == pytest.approx([math.log(3), 0, math.log(2)])
    assert teacher_outputs.class_coverage(np.eye(5)) == pytest.approx(1), "all classes are covered evenly"
    assert teacher_outputs.top_margins(probabilities) == pytest.approx([0, 1, 0.25])


def test_top_ratio_is_invariant_to_added_constants() -> None:
    logits = np.array([[6.0, 3.0, 0.0, -9.0]])
    assert teacher_outputs.top_ratios(logits) == pytest.approx([2.0])
    assert teacher_outputs.top_ratios(logits + 7) == pytest.approx([2.0])


# -- image statistics ----------------------------------------------------------------------------------------


def test_image_statistics_of_plain_images() -> None:
    half = np.zeros((1, 3, 32, 32), np.uint8)
    half[:, 0, :, 16:] = 255  # black and red
    found = image_statistics(
        Examples.of(np.concatenate([half, half * 0 + 128]), [0, 1], ("a", "b")), np.arange(2)
    )
    assert found["brightness"] == pytest.approx([0.299 / 2, 128 / 255], rel=1e-5)
    assert found["contrast"] == pytest.approx([0.299 / 2, 0], abs=1e-6)
    assert found["saturation"] == pytest.approx([0.5, 0], abs=1e-6)
    assert found["edges"][0] > 0 and found["edges"][1] == 0
    assert "saturation" not in image_statistics(Examples.of(half[:, :1], [0], ("a", "b")), np.arange(1))


@pytest.mark.parametrize("slope", [0.0, -2.0, -3.0])
def test_spectral_slope_of_colored_noise_is_recovered(slope: float) -> None:
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    frequency[0, 0] = 1
    amplitude = frequency ** (slope / 2)
    images = np.fft.ifft2(np.fft.fft2(rng.normal(size=(40, 64, 64))) * amplitude).real
    assert spectral_slope(images / images.std()).mean() == pytest.approx(slope, abs=0.25)


# -- intervals -----------------------------------------------------------------------------------------------


def covering(draw: Callable[[np.random.Generator], Interval], truth: float, rounds: int = 300) -> float:
    """Return how often an interval contains the true value."""
    rng = np.random.default_rng(1)
    found = [draw(rng) for _ in range(rounds)]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def test_wilson_interval_has_nominal_coverage() -> None:
    assert covering(lambda rng: intervals.wilson_interval(rng.binomial(80, 0.1), 80), 0.1) == pytest.approx(
        0.95, abs=0.04
    )


def test_twonn_interval_has_nominal_coverage() -> None:
    def draw(rng: np.random.Generator) -> Interval:
        ratios = np.exp(rng.exponential(1 / 7.0, 100))  # the distribution for dimension 7
        return dimension.two_nn(np.stack([np.ones(100), ratios], axis=1))[1]

    assert covering(draw, 7.0) == pytest.approx(0.95, abs=0.04)


def test_balanced_accuracy_interval_has_nominal_coverage() -> None:
    counts = np.array([40, 160, 300])
    truth = np.array([0.9, 0.5, 0.2])

    def draw(rng: np.random.Generator) -> Interval:
        return intervals.balanced_accuracy_interval(rng.binomial(counts, truth) / counts, counts)

    assert covering(draw, float(truth.mean())) >= 0.93


def test_jackknife_interval_of_cramers_v_has_coverage() -> None:
    # A bootstrap would be biased: a weak association among many values.
    attribute = np.repeat(np.arange(10), 120)

    def draw(rng: np.random.Generator) -> Interval:
        labels = np.where(rng.random(1200) < 0.4, attribute, rng.integers(0, 10, 1200))
        order = rng.permutation(1200)
        return intervals.jackknife_interval(
            lambda i: association.corrected_cramers_v(attribute[order[i]], labels[order[i]]),
            1200,
            association.corrected_cramers_v(attribute, labels),
        )

    assert covering(draw, 0.4, rounds=100) >= 0.9


def test_bootstrap_interval_of_a_median_has_coverage() -> None:
    def draw(rng: np.random.Generator) -> Interval:
        sample = rng.normal(3, 1, 60)
        return intervals.bootstrap_interval(lambda i: float(np.median(sample[i])), 60, seed=0, resamples=100)

    assert covering(draw, 3.0, rounds=200) >= 0.9


def test_too_few_values_give_no_interval() -> None:
    assert math.isnan(intervals.wilson_interval(0, 0).low)
    assert math.isnan(intervals.mean_interval([1.0]).low)
    assert math.isnan(intervals.rate_interval(1.0, 0).low)
    assert math.isnan(intervals.jackknife_interval(lambda i: 1.0, 2, 1.0).low)


def test_every_value_lies_in_its_interval() -> None:
    images, labels = gratings()
    for family in measure_families(profiled(images, labels)):
        for each in family.measures:
            if math.isfinite(each.interval.low):
                assert each.interval.low - 1e-9 <= each.value <= each.interval.high + 1e-9, each.key
    assert values(imbalance.measure_imbalance(profiled(images, labels)))[
        "effective_classes"
    ] == pytest.approx(4)
