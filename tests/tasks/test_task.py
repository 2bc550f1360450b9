"""The contract of a task, held by every registered one, and how a study writes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillab.errors import RequestError
from distillab.tasks import Classification, Metric, MetricTable, Task, parse_task, task, tasks
from distillab.tasks.losses import cross_entropy


@pytest.mark.parametrize("name", tasks)
def test_every_task_conforms(name: str) -> None:
    kind = tasks[name]
    assert kind.name == name and kind.primary in kind.metrics
    assert kind().selected in kind.metrics and kind().worst_group in kind.metrics
    assert kind.class_noun and kind.class_metric.label
    assert set(kind.metrics.per_test) <= set(kind.metrics) and kind.primary in kind.metrics.per_test
    assert all(metric.name == column for column, metric in kind.metrics.items())
    assert all(metric.margin > 0 for metric in kind.metrics.values())
    assert all(metric.label and metric.title for metric in kind.metrics.values())
    assert kind().head_width(7) >= 1


@pytest.mark.parametrize("name", tasks)
def test_written_tasks_are_read_back(name: str) -> None:
    made = parse_task(name)
    assert parse_task(made.as_dict()) == made
    assert hash(made) == hash(parse_task({"name": name}))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("clasification", "unknown task 'clasification', did you mean 'classification'?"),
        ({"name": "classification", "top": 5}, "unknown key 'top'"),
        ({"classification": {}}, "is not a task"),
        (3, "3 is not a task"),
        (None, "None is not a task"),
    ],
)
def test_unusable_entries_are_refused(entry: object, message: str) -> None:
    with pytest.raises(RequestError, match=r"^study\.yaml: task") as error:
        parse_task(entry, "study.yaml: task")
    assert message in str(error.value)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        task("classification")(Classification)


def test_columns_of_further_test_sets_read_as_their_metric() -> None:
    table = Classification.metrics
    further = table["worst_group_accuracy.low_light"]
    assert further.name == "worst_group_accuracy.low_light"
    assert further.title == "Worst group, low light test set"
    assert further.margin == table["worst_group_accuracy"].margin
    gap = table["accuracy_gap.low_light"]
    assert (gap.label, gap.margin) == ("accuracy gap, low light test set", table["accuracy"].margin)
    assert "accuracy_gap.low_light" in table and "accuracy_gap" not in table
    assert "accuracy.low_light" in table and "nll.low_light" not in table
    for column in ("nll.low_light", "accuracy_gap", "nll_gap.low_light", "speed", "accuracy2"):
        with pytest.raises(KeyError, match=column):
            table[column]


def test_measured_columns_follow_the_table() -> None:
    rows = [
        {"seed": 1, "ece": 0.1, "accuracy": None, "accuracy.b": 0.2},
        {"accuracy": 0.5, "nll": float("nan"), "accuracy.a": None, "speed.a": 1.0},
    ]
    assert Classification.metrics.measured(rows) == ["accuracy", "ece", "accuracy.b"]
    assert Classification.metrics.of_further_tests(rows) == ["accuracy.b", "accuracy.a"]


def test_margins_of_accuracies_are_those_of_the_study() -> None:
    assert Classification.metrics["accuracy"].margin_for(0.02) == 0.02
    assert Classification.metrics["nll"].margin_for(0.5) == Classification.metrics["nll"].margin
    assert Metric("nll", "a", "A", "nats").scale == 1.0
    assert len(MetricTable([])) == 0


@given(st.integers(0, 10_000), st.floats(0.5, 8.0))
def test_classification_losses_are_softmax_ones(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 5, (6,), generator=generator)
    made: Task = Classification()
    torch.testing.assert_close(made.loss(student, labels), cross_entropy(student, labels))
    p = (teacher / temperature).softmax(1)
    expected = (p * (p.log() - (student / temperature).log_softmax(1))).sum(1)
    torch.testing.assert_close(made.divergence(student, teacher, temperature), expected)


def test_score_is_the_primary_metric() -> None:
    rng = np.random.default_rng(0)
    logits, values = rng.normal(size=(50, 4)), rng.integers(0, 4, size=50)
    made = Classification()
    targets = made.targets(values, 4)
    assert made.score(logits, targets) == made.measure(logits, targets)[made.primary]
    assert made.per_group(logits, targets, np.zeros(50, dtype=np.int64)) == {0: made.score(logits, targets)}
    some = made.targets(np.where(np.arange(50) < 20, -1, values), 4)
    assert made.score(logits, some) == made.score(logits[20:], some.take(np.arange(20, 50)))
