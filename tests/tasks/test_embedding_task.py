"""Retrieval by embeddings: average precision, precision at k, and the task that is judged by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from distillab.data.examples import Examples
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.modalities.image import PixelNormalization
from distillab.models import InputSpec, build_model
from distillab.tasks import Classification, EmbeddingTask, parse_task
from distillab.tasks.retrieval import Retrieved, balanced_positions, retrieve
from distillab.training.evaluation import Evaluator

CPU = torch.device("cpu")


def drawn(seed: int, queries: int = 12, database: int = 40, width: int = 3) -> tuple[Any, ...]:
    """Embeddings with many equal similarities, and labels of three classes that all occur."""
    rng = np.random.default_rng(seed)
    vectors = [torch.tensor(rng.integers(-1, 2, (n, width)).astype(np.float32)) for n in (queries, database)]
    labels = [rng.integers(0, 3, n) for n in (queries, database)]
    labels[1][:3] = [0, 1, 2]
    return vectors[0], labels[0], vectors[1], labels[1]


def similarities(queries: Tensor, database: Tensor) -> Any:
    unit = [nn.functional.normalize(each, dim=1) for each in (queries, database)]
    return (unit[0] @ unit[1].T).numpy().round(6)


def test_a_ranking_has_its_golden_values() -> None:
    database = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])
    found = retrieve(
        torch.tensor([[3.0, 0.0]]), np.array([1]), database, np.array([1, 0, 1, 1]), k=2, shown=4
    )
    assert found.average_precision[0] == pytest.approx((1 / 1 + 2 / 3 + 3 / 4) / 3)
    assert found.precision[0] == 0.5
    assert found.nearest.tolist() == [[0, 1, 2, 3]]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_average_precision_is_that_of_scikit_learn_with_ties(seed: int) -> None:
    queries, wanted, database, labels = drawn(seed)
    found = retrieve(queries, wanted, database, labels, k=5)
    scores = similarities(queries, database)
    expected = [
        average_precision_score(labels == label, row) for label, row in zip(wanted, scores, strict=True)
    ]
    np.testing.assert_allclose(found.average_precision, expected, atol=1e-12)


def test_precision_is_the_mean_over_orders_of_equal_ones() -> None:
    queries, wanted, database, labels = drawn(1, queries=4)
    found, rng = retrieve(queries, wanted, database, labels, k=7).precision, np.random.default_rng(0)
    for place, row in enumerate(similarities(queries, database)):
        orders = [np.lexsort((rng.random(len(row)), -row))[:7] for _ in range(4000)]
        assert found[place] == pytest.approx(np.mean(labels[orders] == wanted[place]), abs=0.02)


@given(st.integers(0, 10_000), st.floats(0.01, 100.0))
@settings(max_examples=20, deadline=None)
def test_neither_order_nor_length_of_embeddings_matters(seed: int, scale: float) -> None:
    queries, wanted, database, labels = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    one = retrieve(queries, wanted, database, labels, k=5)
    other = retrieve(queries * scale, wanted, database[order.tolist()], labels[order], k=5)
    np.testing.assert_allclose(one.average_precision, other.average_precision)
    np.testing.assert_allclose(one.precision, other.precision)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_embedding_that_is_the_same_for_all_is_at_chance(value: float) -> None:
    database, labels = torch.full((10, 4), value), np.array([0] * 3 + [1] * 7)
    found = retrieve(torch.full((2, 4), value), np.array([0, 1]), database, labels, k=4)
    assert found.average_precision.tolist() == pytest.approx([0.3, 0.7])
    assert found.precision.tolist() == pytest.approx([0.3, 0.7])


def test_a_class_that_is_not_there_has_no_average_precision() -> None:
    queries, _, database, labels = drawn(0, queries=2)
    found = retrieve(queries, np.array([7, -1]), database, labels, k=1, shown=2)
    assert np.isnan(found.average_precision).all() and np.isnan(found.precision).all()
    assert found.nearest.shape == (2, 2)


def test_a_database_for_val_has_all_classes_equally() -> None:
    labels = np.repeat([0, 1, 2, -1], [50, 5, 100, 30]).astype(np.int64)
    chosen = balanced_positions(labels, 30)
    assert np.bincount(labels[chosen]).tolist() == [13, 5, 12] or np.bincount(labels[chosen])[1] == 5
    assert len(chosen) == 30 and (labels[chosen] >= 0).all() and (np.diff(chosen) > 0).all()
    assert len(EmbeddingTask(val_database=10).val_positions(Labels(np.arange(20), 20))) == 20


def retrieved(values: list[float]) -> Retrieved:
    return Retrieved(np.array(values), np.array(values) / 2, np.zeros((len(values), 1), np.int32))


def test_stored_outputs_are_logits_and_what_was_retrieved() -> None:
    task, logits = EmbeddingTask(), np.eye(3, dtype=np.float16)[[0, 1, 2, 0]]
    targets = Labels(np.array([0, 1, 1, -1]), 3)
    stored = task.with_retrieved(logits, retrieved([0.5, 1.0, 0.25, 0.0]))
    assert stored.dtype == np.float16 and stored.shape == (4, 5)
    assert (task.logits_in(stored) == logits).all()
    found = task.measure(stored, targets, groups=np.array([0, 0, 1, 1]))
    assert found["map"] == task.score(stored, targets) == pytest.approx(1.75 / 3)
    assert found["precision_at_k"] == pytest.approx(1.75 / 6)
    assert found["worst_class_map"] == 0.5 and found["worst_group_map"] == 0.25
    assert task.per_class(stored, targets)[:2].tolist() == [0.5, 0.625]
    known = targets.take(np.arange(3))
    of_logits = Classification().measure(logits[:3], known)
    assert found["accuracy"] == of_logits["accuracy"] and found["nll"] == of_logits["nll"]
    assert task.fidelity(stored, stored) == {"agreement": 1.0, "teacher_kl": 0.0}
    assert set(found) == set(task.metrics) - {"map_selected", "agreement", "teacher_kl"}


def test_without_an_embedding_its_metrics_are_missing_and_not_wrong() -> None:
    task, targets = EmbeddingTask(), Labels(np.array([0, 1]), 2)
    stored = task.with_retrieved(np.eye(2, dtype=np.float16), None)
    found = task.measure(stored, targets, groups=np.array([0, 1]))
    missing = {"map", "precision_at_k", "worst_class_map", "worst_group_map"}
    assert {name for name, value in found.items() if np.isnan(value)} == missing
    assert found["accuracy"] == 1.0


def examples(n: int = 24, classes: int = 2) -> Examples:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
    return Examples.of(pixels, np.arange(n) % classes, tuple("abcdefgh"[:classes]))


class Flat(nn.Module):
    """A network whose embedding is the image itself."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x.flatten(1))
        return logits


class Convolution(nn.Module):
    """A network without a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 8)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x).flatten(1)
        return logits


def evaluator(task: Any, database: Examples) -> Evaluator:
    normalize = PixelNormalization(np.full(1, 0.5, np.float32), np.ones(1, np.float32))
    return Evaluator(task, database, normalize, CPU, "fp32")


def test_the_nearest_example_of_a_training_image_is_itself() -> None:
    images = examples()
    found = evaluator(EmbeddingTask(k=1), images).outputs(Flat(), {"test": images})
    assert found.nearest["test"][:, 0].tolist() == list(range(len(images)))
    assert found.stored["test"][:, -1].tolist() == [1.0] * len(images)


def test_examples_without_a_label_are_not_searched() -> None:
    images = examples()
    some = images.relabel(np.where(np.arange(24) < 12, -1, images.labels))
    nearest = evaluator(EmbeddingTask(k=1), some).outputs(Flat(), {"test": images}).nearest["test"]
    assert nearest.min() == 12 and nearest[12:, 0].tolist() == list(range(12, 24))


def test_evaluation_leaves_the_network_as_it_was() -> None:
    network, images = build_model("resnet8", classes=2, inputs=InputSpec(1, 8, 8)), examples()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = evaluator(EmbeddingTask(), images).outputs(network, {"test": images})
    plain = evaluator(Classification(), images).outputs(network, {"test": images})
    assert network.training and not network.fc._forward_pre_hooks
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert (found.stored["test"][:, :2] == plain.stored["test"]).all() and not plain.nearest


def test_a_network_without_an_embedding_retrieves_nothing() -> None:
    found = evaluator(EmbeddingTask(), examples()).outputs(Convolution(), {"test": examples()})
    assert np.isnan(found.stored["test"][:, 2:]).all() and not found.nearest


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ({}, [0, 0, 0, 2] * 5, "1 of 3 classes have no example in the database"),
        ({"k": 21}, [0, 1, 2, 0] * 5, "the training set has 20 examples, and precision_at_k is about"),
        ({"k": 9, "val_database": 8}, [0, 1, 2, 0] * 5, "val_database is 8, and precision_at_k is about"),
    ],
)
def test_a_database_that_cannot_be_searched_is_refused(
    task: dict[str, Any], labels: list[int], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        EmbeddingTask(**task).check_database(Labels(np.array(labels), 3))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "embedding", "k": 0}, "task.k: 0 is not accepted"),
        ({"name": "embedding", "k": 1.5}, "task.k: 1.5 is not accepted"),
        ({"name": "embedding", "top": 5}, "unknown key 'top'"),
    ],
)
def test_wrong_settings_are_explained_in_one_line(entry: Any, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse_task(entry)
    assert message in str(raised.value) and "\n" not in str(raised.value)
