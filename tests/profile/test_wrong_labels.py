"""The share of wrong labels is estimated with an interval, or the profile states that it cannot judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from distillab.data.examples import Examples
from distillab.profile.families.label_issues import (
    alarm_text,
    label_probe,
    measure_label_issues,
    suspicious_labels,
)
from distillab.profile.label_noise import estimate_directed_noise, estimate_label_noise
from distillab.profile.probe import ProbePredictions
from distillab.profile.profiled_dataset import ProfiledDataset
from support.planted import CLASSES, alarms, profiled, values

Floats = npt.NDArray[np.float64]
COUNT, WEAK, STRONG = 3_000, 1.2, 5.0  # distance of class centers from the origin, in standard deviations


def clouds(distance: float, count: int = COUNT, classes: int = 4) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return normal clouds around one center per class in 8 dimensions, and their classes."""
    rng = np.random.default_rng(0)
    truth = (np.arange(count) % classes).astype(np.int64)
    return rng.normal(size=(count, 8)) + distance * np.eye(8)[truth], truth


def spoiled(truth: npt.NDArray[np.int64], share: float, kind: str) -> npt.NDArray[np.int64]:
    """Return labels of which a share is wrong: any other class, or the next one."""
    rng, classes = np.random.default_rng(1), int(truth.max()) + 1
    steps = rng.integers(1, classes, len(truth)) if kind == "symmetric" else 1
    return np.where(rng.random(len(truth)) < share, (truth + steps) % classes, truth)


def probed(distance: float, share: float, kind: str = "symmetric") -> tuple[ProbePredictions, float]:
    """Return the predictions of a probe for spoiled labels, and the share that is wrong."""
    features, truth = clouds(distance)
    labels = spoiled(truth, share, kind)
    return label_probe(features, labels, np.arange(COUNT), 4), float((labels != truth).mean())


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("distance", [WEAK, 2.5, STRONG])
def test_planted_share_is_estimated_whatever_the_probe(distance: float, share: float) -> None:
    predictions, truth = probed(distance, share)
    found = estimate_label_noise(predictions)
    assert found.judges
    assert found.rate == pytest.approx(truth, abs=0.03)
    assert found.low - 0.005 <= truth <= found.high + 0.005
    if share == 0:
        assert alarm_text(found) == ""
    if share >= 0.05:
        assert "estimated to be wrong" in alarm_text(found)


def test_errors_of_a_weak_probe_are_no_wrong_labels() -> None:
    predictions, _ = probed(WEAK, 0.0)
    assert predictions.accuracy < 0.75
    assert len(suspicious_labels(predictions)) > 0.1 * COUNT, "confident learning alone would raise an alarm"
    assert alarm_text(estimate_label_noise(predictions)) == ""


@pytest.mark.parametrize("exponent", [0.5, 2.0])
def test_overconfident_probes_give_the_same_estimate(exponent: float) -> None:
    predictions, truth = probed(2.5, 0.1)
    raised = predictions.probabilities**exponent
    found = estimate_label_noise(
        ProbePredictions(raised / raised.sum(axis=1, keepdims=True), predictions.labels)
    )
    assert found.rate == pytest.approx(truth, abs=0.02)


def test_probability_of_a_wrong_label_ranks_the_wrong_ones_first() -> None:
    features, truth = clouds(STRONG)
    labels = spoiled(truth, 0.05, "symmetric")
    found = estimate_label_noise(label_probe(features, labels, np.arange(COUNT), 4))
    first = np.argsort(-found.wrong, kind="stable")[:100]
    assert (labels != truth)[first].mean() > 0.95
    assert found.wrong.sum() == pytest.approx((labels != truth).sum(), rel=0.15)


def test_labels_without_relation_to_features_are_not_judged() -> None:
    features, truth = clouds(STRONG)
    labels = np.random.default_rng(2).permutation(truth)
    found = estimate_label_noise(label_probe(features, labels, np.arange(COUNT), 4))
    assert not found.judges and alarm_text(found) == ""


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.2])
def test_noise_towards_one_class_is_estimated_by_a_strong_probe(share: float) -> None:
    predictions, truth = probed(STRONG, share, "pair")
    found = estimate_directed_noise(predictions)
    assert found.judges
    assert found.rate == pytest.approx(truth, abs=0.015)
    assert found.low - 0.005 <= truth <= found.high + 0.005


def test_noise_towards_one_class_is_not_judged_by_a_weak_probe() -> None:
    assert not estimate_directed_noise(probed(WEAK, 0.1, "pair")[0]).judges


def test_dimensions_follow_the_number_of_images() -> None:
    """A probe with as many dimensions as images is overconfident and would report noise."""
    rng = np.random.default_rng(0)
    truth = (np.arange(200) % 4).astype(np.int64)
    features = np.hstack([rng.normal(size=(200, 8)) + 2.5 * np.eye(8)[truth], rng.normal(size=(200, 120))])
    found = estimate_label_noise(label_probe(features, truth, np.arange(200), 4))
    assert found.low < 0.01


@dataclass(frozen=True, eq=False)
class Stronger(ProfiledDataset):
    """A dataset whose second embedding separates the classes."""

    def embed(self, images: Examples, kind: str) -> npt.NDArray[np.float32]:
        noise = np.random.default_rng(3).normal(0, 0.1, (len(images), 4))
        return (np.eye(4)[images.labels] + noise).astype(np.float32)


def without_content(count: int = 300) -> ProfiledDataset:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 16, 16), np.uint8)
    return profiled(pixels, (np.arange(count) % len(CLASSES)).astype(np.int64))


def test_stronger_features_judge_where_the_usual_ones_cannot() -> None:
    weak = without_content()
    family = measure_label_issues(weak)
    assert np.isnan(values(family)["label_issues"]) and alarms(family) == []
    assert "Cannot judge" in family.measures[0].means and "distillab[imagenet]" in family.measures[0].means
    fields = {name: getattr(weak, name) for name in weak.__dataclass_fields__}
    family = measure_label_issues(Stronger(**(fields | {"stronger": "imagenet"})))
    assert values(family)["label_issues"] < 0.01
    assert any("judged with imagenet features" in note for note in family.notes)
