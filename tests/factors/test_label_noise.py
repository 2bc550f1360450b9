"""Label noise by a class map and by similarity, and the description of label quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import FactorContext, LabelNoise, Size, describe_label_quality, parse_factors
from distillab.factors.targets.centroids import class_centroids, nearest_other
from support.datasets import context_around, examples_of

SEEDS = st.integers(0, 2**63 - 1)
MAP = {"class 0": "class 2", "class 3": "class 0"}


def apply(factor: LabelNoise, images: Examples, seed: int, context: FactorContext | None = None) -> Examples:
    return factor.apply(images, np.random.default_rng(seed), context)


@given(counts=st.lists(st.integers(1, 50), min_size=4, max_size=6), level=st.floats(0, 0.99), seed=SEEDS)
def test_class_map_changes_only_the_classes_it_names(counts: list[int], level: float, seed: int) -> None:
    images = examples_of(counts)
    factor = LabelNoise(level=level, kind="map", to=MAP)
    after = apply(factor, images, seed)
    confusion = np.zeros((len(counts), len(counts)), dtype=int)
    np.add.at(confusion, (images.labels, after.labels), 1)
    assert set(zip(*np.nonzero(confusion * (1 - np.eye(len(counts), dtype=int))), strict=True)) <= {
        (0, 2),
        (3, 0),
    }
    for old, new in ((0, 2), (3, 0)):
        assert abs(confusion[old, new] - level * counts[old]) <= 0.5 + 1e-9
    check = factor.check(images, after)
    assert check.passed and check.measured == pytest.approx(
        (confusion[0, 2] + confusion[3, 0]) / (counts[0] + counts[3])
    )


def test_class_map_survives_a_json_round_trip() -> None:
    entry = {"label_noise": {"levels": [0.2], "kind": "map", "to": {3: 8, "cat": "dog"}}}
    [[factor]] = parse_factors(entry, "study.yaml: factors")
    assert factor.model_dump(mode="json")["to"] == {"3": "8", "cat": "dog"}
    assert LabelNoise.model_validate(factor.model_dump(mode="json")) == factor
    assert hash(factor) == hash(LabelNoise.model_validate(factor.model_dump(mode="json")))


def test_class_maps_with_unknown_classes_are_refused() -> None:
    images = examples_of([9, 9])
    with pytest.raises(RequestError, match=r"unknown class 'class 7', did you mean 'class \d'"):
        apply(LabelNoise(level=0.1, kind="map", to={"class 0": "class 7"}), images, 0)
    with pytest.raises(RequestError, match="unknown class 'cat'"):
        apply(LabelNoise(level=0.1, kind="map", to={"cat": "class 0"}), images, 0)


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "map"},
        {"to": MAP},
        {"kind": "map", "to": {}},
        {"kind": "map", "to": {"a": "a"}},
        {"sharpness": 1.0},
        {"kind": "instance", "sharpness": -1.0},
    ],
    ids=str,
)
def test_keys_of_another_kind_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LabelNoise.model_validate({"level": 0.1, **bad})


def ambiguous(each: int = 120) -> tuple[Examples, FactorContext]:
    """Return four classes with similar colors, and a context around them."""
    images = examples_of([each] * 4)
    clean = images.images.astype(float)
    gray = 0.93 * clean.mean() + 0.07 * clean
    pixels = np.clip(gray + np.random.default_rng(3).normal(0, 12, (len(images), 3, 1, 1)), 0, 255)
    made = Examples.of(pixels.astype(np.uint8), images.labels, images.classes)
    return made, context_around(made)


@given(level=st.floats(0.0, 0.8), seed=SEEDS)
@settings(max_examples=30)
def test_instance_noise_changes_labels_to_the_nearest_other_class(level: float, seed: int) -> None:
    images, context = ambiguous()
    after = apply(LabelNoise(level=level, kind="instance"), images, seed, context)
    changed = after.labels != images.labels
    assert (np.abs(np.bincount(images.labels[changed], minlength=4) - 120 * level) <= 0.5 + 1e-9).all()
    others, _ = nearest_other(
        class_centroids(context.dataset.train).of(images.classes, "").cosines(images), images.labels
    )
    assert np.array_equal(after.labels[changed], others[changed])


def test_higher_sharpness_changes_more_ambiguous_examples() -> None:
    images, context = ambiguous()
    placed = class_centroids(context.dataset.train).of(images.classes, "")
    _, margins = nearest_other(placed.cosines(images), images.labels)
    ranks = margins.argsort().argsort() / len(margins)

    def mean_rank(sharpness: float | None) -> float:
        factor = LabelNoise(level=0.3, kind="instance", sharpness=sharpness)
        sets = [apply(factor, images, seed, context) for seed in range(10)]
        return float(np.mean([ranks[each.labels != images.labels].mean() for each in sets]))

    uniform, default, sharp = mean_rank(0.0), mean_rank(None), mean_rank(50.0)
    assert abs(uniform - 0.5) < 5 * np.sqrt(1 / 12 / (10 * 144))
    assert sharp < default - 0.03 < uniform - 0.1
    # In the limit, those with the smallest margins of each class are changed.
    after = apply(LabelNoise(level=0.3, kind="instance", sharpness=1e9), images, 1, context)
    for label in range(4):
        members = np.flatnonzero(images.labels == label)
        smallest = set(members[margins[members].argsort()[:36]].tolist())
        assert set(np.flatnonzero((after.labels != images.labels) & (images.labels == label))) == smallest


def test_instance_noise_of_a_subset_is_that_of_the_whole_set() -> None:
    images, context = ambiguous()
    subset = Size(level=60).apply(images, np.random.default_rng(4))
    factor = LabelNoise(level=0.3, kind="instance")
    large, small = (apply(factor, each, 9, context) for each in (images, subset))
    of_large = dict(zip(large.ids.tolist(), large.labels.tolist(), strict=True))
    was = subset.labels
    both = np.array([of_large[i] for i in small.ids.tolist()])
    for label in range(4):
        in_large, in_small = (set(np.flatnonzero((x != was) & (was == label))) for x in (both, small.labels))
        assert in_large <= in_small or in_small <= in_large
    agree = (both != was) & (small.labels != was)
    assert np.array_equal(both[agree], small.labels[agree])


def test_instance_noise_refuses_classes_that_were_not_read() -> None:
    images, context = ambiguous()
    with pytest.raises(RequestError, match="'parent 0' is not a class of the training examples"):
        apply(
            LabelNoise(level=0.1, kind="instance"),
            examples_of([120] * 4).with_parents_as_classes(),
            0,
            context,
        )
    two = images.of_classes([2, 3])
    after = apply(LabelNoise(level=0.5, kind="instance"), two, 0, context)
    assert after.classes == ("class 2", "class 3") and (after.labels != two.labels).sum() == 120


def test_label_quality_of_each_role_is_described() -> None:
    clean, noisy = LabelNoise(level=0.2), LabelNoise(level=0.2, roles=("transfer", "val"))
    assert describe_label_quality([clean], "val") == "labels clean"
    assert describe_label_quality([noisy, Size(level=3)], "val") == "labels noisy (label_noise)"
    assert describe_label_quality([noisy], "eval") == "labels clean"
    assert describe_label_quality([Size(level=3)], "val") == ""
    assert (clean.description, noisy.description) == ("label noise 0.2", "label noise 0.2, val too")
