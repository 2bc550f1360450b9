"""Selection rules: closed forms of the greedy orders, easiness, uncertainty and nesting."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import FactorContext, LabelNoise, Selection, apply_factor, generator
from distillab.factors.subsets import first_of_each_class
from distillab.factors.targets import selection as module
from distillab.factors.targets.dynamics import mean_confidence
from distillab.factors.targets.orders import herding, k_centre
from support.datasets import context_around, examples_of, teacher

RULES = [example["level"] for example in Selection.examples[:-1]]
SEEDS = st.integers(0, 10**6)


def chosen(images: Examples, seed: int = 0, context: FactorContext | None = None, **keys: Any) -> Examples:
    after, check = apply_factor(images, Selection(**keys), seed, context or context_around(images))
    assert check.passed, check
    return after


def points(seed: int, number: int = 12, dimensions: int = 3) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(number, dimensions))


@pytest.mark.parametrize("rule", RULES)
@given(shuffle=st.integers(0, 20), budgets=st.tuples(st.integers(1, 20), st.integers(1, 20)), seed=SEEDS)
@settings(max_examples=6)
def test_smaller_budget_takes_a_subset(rule: str, shuffle: int, budgets: tuple[int, int], seed: int) -> None:
    images = examples_of([20, 25, 30], shuffle=shuffle)
    few, many = (chosen(images, seed, level=rule, budget=budget) for budget in sorted(budgets))
    assert set(few.ids.tolist()) <= set(many.ids.tolist())
    assert few.pool is images.pool


@pytest.mark.parametrize("rule", RULES)
def test_order_of_the_examples_does_not_matter(rule: str) -> None:
    images = examples_of([20, 25, 30])
    backwards = images.select(np.arange(len(images))[::-1])
    context = context_around(images)
    one, other = (chosen(s, 0, context, level=rule, budget=7) for s in (images, backwards))
    assert set(one.ids.tolist()) == set(other.ids.tolist())
    assert one.ids.tolist() == other.ids.tolist()[::-1]  # the order of the set is kept


@given(seed=SEEDS, budget=st.integers(1, 20))
@settings(max_examples=20)
def test_random_rule_takes_the_first_in_a_random_order(seed: int, budget: int) -> None:
    images = examples_of([20, 25, 30])
    factor = Selection(level="random", budget=budget)
    key = int(generator(factor, seed).integers(2**63))
    assert chosen(images, seed, level="random", budget=budget).digest == (
        first_of_each_class(images, key, budget).digest
    )


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "random"])
def test_deterministic_rules_choose_the_same_for_every_seed(rule: str) -> None:
    images = examples_of([20, 25, 30])
    assert chosen(images, 1, level=rule, budget=5).digest == chosen(images, 2, level=rule, budget=5).digest


@given(share=st.floats(0.01, 0.99), counts=st.lists(st.integers(1, 40), min_size=3, max_size=5))
@settings(max_examples=30)
def test_share_applies_per_class_and_empties_none(share: float, counts: list[int]) -> None:
    after = chosen(examples_of(counts), level="random", budget=share)
    expected = np.maximum(1, np.floor(share * np.array(counts) + 0.5))
    np.testing.assert_array_equal(after.counts, expected)


@given(seed=SEEDS)
@settings(max_examples=30)
def test_herding_adds_the_point_that_best_keeps_the_mean(seed: int) -> None:
    cloud = points(seed)
    order = herding(cloud, len(cloud))
    assert sorted(order.tolist()) == list(range(len(cloud)))
    for place, pick in enumerate(order):
        rest = [i for i in range(len(cloud)) if i not in order[:place]]
        means = [cloud[[*order[:place], i]].mean(axis=0) for i in rest]
        gaps = [float(np.linalg.norm(mean - cloud.mean(axis=0))) for mean in means]
        assert rest[int(np.argmin(gaps))] == pick
    np.testing.assert_array_equal(herding(cloud, 4), order[:4])


@given(seed=SEEDS, number=st.integers(1, 5))
@settings(max_examples=30)
def test_k_centre_is_within_twice_the_optimal_radius(seed: int, number: int) -> None:
    cloud = points(seed)
    apart = np.linalg.norm(cloud[:, None] - cloud[None], axis=2)
    reach = apart[k_centre(cloud, number)].min(axis=0).max()
    best = min(apart[list(some)].min(axis=0).max() for some in combinations(range(len(cloud)), number))
    assert best - 1e-9 <= reach <= 2 * best + 1e-9
    order = k_centre(cloud, len(cloud))
    assert sorted(order.tolist()) == list(range(len(cloud)))
    np.testing.assert_array_equal(k_centre(cloud, number), order[:number])


def test_greedy_orders_on_a_line() -> None:
    line = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])  # mean 3.2
    assert herding(line, 4).tolist() == [3, 2, 1, 4]  # means 3, 2.5, 2 (or 5), 4 (or 1.5)
    assert k_centre(line, 4).tolist() == [3, 4, 0, 1]  # of 1 and 2, both 1 away, the first
    assert sorted(k_centre(np.zeros((4, 2)), 4).tolist()) == [0, 1, 2, 3]  # copies of one image


def test_examples_that_resemble_their_class_are_easy() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 60)
    centres = np.eye(3)[labels] * 2
    ids = rng.permutation(180).astype(np.int64)
    vectors = centres + rng.normal(scale=0.3, size=(180, 3))
    vectors[:5] = centres[60]  # labelled 0, but placed in class 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = mean_confidence(vectors, labels, ids)
    assert ((scores > 0) & (scores < 1)).all()
    assert set(np.argsort(scores)[:5].tolist()) == set(range(5))
    shuffled = rng.permutation(180)
    np.testing.assert_allclose(
        mean_confidence(vectors[shuffled], labels[shuffled], ids[shuffled]), scores[shuffled], rtol=1e-9
    )


def test_wrong_labels_are_hard_and_right_ones_easy() -> None:
    images = examples_of([100, 100, 100, 100])
    noisy, _ = apply_factor(images, LabelNoise(level=0.1), 0)
    true = dict(zip(images.ids.tolist(), images.labels.tolist(), strict=True))

    def share_wrong(rule: str) -> float:
        after = chosen(noisy, level=rule, budget=10, context=context_around(images))
        return float(
            np.mean([true[i] != label for i, label in zip(after.ids.tolist(), after.labels, strict=True)])
        )

    assert share_wrong("hardest") > 0.8 and share_wrong("easiest") == 0


def test_uncertain_examples_have_the_highest_entropy_of_their_class() -> None:
    images = examples_of([20, 25, 30])
    shares = teacher(images).astype(np.float64)
    entropy = dict(zip(images.ids.tolist(), -(shares * np.log(shares)).sum(axis=1), strict=True))
    after = chosen(images, level="uncertain", budget=6)
    for label in range(3):
        inside = set(after.ids[after.labels == label].tolist())
        outside = set(images.ids[images.labels == label].tolist()) - inside
        assert min(entropy[i] for i in inside) >= max(entropy[i] for i in outside) - 1e-6


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_scores_are_read_from_a_file(kind: str, tmp_path: Path) -> None:
    images = examples_of([20, 25, 30])
    rng = np.random.default_rng(0)
    path = tmp_path / f"scores.{kind}"
    ids = np.r_[rng.permutation(images.ids), 10**9]  # in any order, and of more images
    score = np.where(ids % 2 == 0, 1.0, 0.0) + ids * 1e-12
    write(path, pa.table({"score": score, "id": ids, "note": ["x"] * len(ids)}))
    after = chosen(
        images,
        level="uncertain",
        budget=5,
        scores=path,
        context=FactorContext(context_around(images).dataset),
    )
    assert (after.ids % 2 == 0).all()


def write(path: Path, table: pa.Table) -> None:
    pa.parquet.write_table(table, path) if path.suffix == ".parquet" else pa.csv.write_csv(table, path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"id": [0, 7], "score": [0.1, 0.2]}, "has no score for 58 of 60 examples"),
        ({"id": [], "score": []}, "has no score for 60 of 60 examples"),
        ({"ids": [0], "score": [0.1]}, "has columns ids, score (allowed: id, score)"),
        ({"id": ["a"], "score": [0.1]}, "whole ids and numeric scores"),
        ({"id": list(range(0, 420, 7)), "score": [0.1] * 59 + [float("nan")]}, "finite numbers"),
    ],
    ids=str,
)
def test_invalid_score_files_are_refused(table: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write(path, pa.table(table))
    with pytest.raises(RequestError) as caught:
        chosen(examples_of([20, 20, 20]), level="uncertain", budget=5, scores=path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_infeasible_selections_are_refused(tmp_path: Path) -> None:
    images = examples_of([20, 15, 20])
    with pytest.raises(RequestError, match=r"at most 15 per class: 'class 1' has 15"):
        chosen(images, level="herding", budget=16)
    without_teacher = replace(context_around(images), teacher=None)
    with pytest.raises(RequestError, match=r"trains its teacher after .*provenance: external.*scores"):
        chosen(images, level="uncertain", budget=5, context=without_teacher)
    with pytest.raises(RequestError, match="cannot be read"):
        chosen(images, level="uncertain", budget=5, scores=tmp_path / "none.csv")


def test_embedding_of_a_set_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = examples_of([22, 23, 24], shuffle=5)
    embedded_sets: list[str] = []
    embed = module.embed

    def counted(embedded: Examples) -> Any:
        embedded_sets.append(embedded.input_digest)
        return embed(embedded)

    monkeypatch.setattr(module, "embed", counted)
    for rule in ("herding", "k_centre", "easiest", "hardest"):
        for seed in (0, 1):
            chosen(images.select(np.arange(len(images))), seed, level=rule, budget=3)
    assert embedded_sets == [images.input_digest]
