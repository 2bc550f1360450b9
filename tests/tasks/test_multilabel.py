"""Multi-label: losses, policies for uncertain labels, and what is undefined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distillab.data.targets import LabelSets
from distillab.errors import RequestError
from distillab.tasks import Mixed, MultiLabel, parse_task
from distillab.tasks.losses import bernoulli_kl, binary_cross_entropy, kl_divergence

N, K = 6, 4
LOGITS = 3 * torch.sin(torch.arange(N * K, dtype=torch.float64)).reshape(N, K)
TEACHER = 2 * torch.cos(0.7 * torch.arange(N * K, dtype=torch.float64)).reshape(N, K)
LABELS = (torch.arange(N * K).reshape(N, K) % 3 == 0).to(torch.int8)
SOME = LABELS.clone()
SOME[1, 2] = SOME[1, 3] = SOME[4, 0] = -1
SOME[3] = -1


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, labels.double(), reduction="none")


def test_loss_is_the_mean_over_the_labels_of_an_example() -> None:
    torch.testing.assert_close(MultiLabel().loss(LOGITS, LABELS), bce(LOGITS, LABELS).mean(1))


def test_unknown_labels_and_unlabelled_examples_are_left_out() -> None:
    losses = MultiLabel().loss(LOGITS, SOME)
    own = bce(LOGITS, SOME)
    assert losses[3] == 0
    expected = torch.stack([own[i][SOME[i] != -1].mean() for i in (0, 1, 2, 4, 5)]).mean()
    torch.testing.assert_close(losses.mean(), expected)
    nothing = torch.full((N, K), -1, dtype=torch.int8)
    assert torch.equal(MultiLabel().loss(LOGITS, nothing), torch.zeros(N, dtype=torch.float64))


@pytest.mark.parametrize(("uncertain", "value"), [("ones", 1), ("zeros", 0)])
def test_uncertain_labels_follow_the_policy(uncertain: str, value: int) -> None:
    task = parse_task({"name": "multilabel", "uncertain": uncertain})
    filled = torch.where(SOME == -1, value, SOME)
    filled[3] = -1  # an example without any label stays unlabelled
    torch.testing.assert_close(task.loss(LOGITS, SOME), MultiLabel().loss(LOGITS, filled))
    assert task.as_dict() == {"name": "multilabel", "uncertain": uncertain}


@given(share=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_mixed_label_vectors_share_the_loss(share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    others = torch.randint(0, 2, (N, K), generator=generator).to(torch.int8)
    mixed = Mixed(others, torch.full((N,), share, dtype=torch.float64))
    target = share * LABELS.double() + (1 - share) * others.double()
    expected = F.binary_cross_entropy_with_logits(LOGITS, target, reduction="none").mean(1)
    torch.testing.assert_close(MultiLabel().loss(LOGITS, LABELS, mixed=mixed), expected)


@given(smoothing=st.floats(0, 1))
def test_smoothing_pulls_targets_towards_one_half(smoothing: float) -> None:
    target = (1 - smoothing) * LABELS.double() + smoothing / 2
    expected = F.binary_cross_entropy_with_logits(LOGITS, target, reduction="none").mean(1)
    torch.testing.assert_close(binary_cross_entropy(LOGITS, LABELS, smoothing), expected)


@given(temperature=st.floats(0.5, 10))
def test_divergence_is_that_of_each_label_present_or_absent(temperature: float) -> None:
    """The softmax divergence of the logits (z, 0), averaged over labels."""
    zero = torch.zeros(N * K, dtype=torch.float64)
    pairs = [torch.stack((z.flatten(), zero), dim=1) for z in (LOGITS, TEACHER)]
    expected = kl_divergence(*pairs, temperature).reshape(N, K).mean(1)
    torch.testing.assert_close(MultiLabel().divergence(LOGITS, TEACHER, temperature), expected)


def test_divergence_stays_finite_and_gives_the_teacher_no_gradient() -> None:
    student = torch.tensor([[100.0, -100.0]], dtype=torch.float16, requires_grad=True)
    teacher = torch.tensor([[-100.0, 100.0]], dtype=torch.float16, requires_grad=True)
    found = MultiLabel().divergence(student, teacher)
    found.sum().backward()
    torch.testing.assert_close(found, torch.tensor([100.0]))
    assert teacher.grad is None and student.grad is not None and student.grad.isfinite().all()
    assert torch.equal(bernoulli_kl(LOGITS, LOGITS), torch.zeros(N, K, dtype=torch.float64))


def test_decisions_use_the_thresholds_of_the_validation_set() -> None:
    """A label that is predicted with half its probability throughout is found again by its own threshold."""
    values = np.array([[1], [1], [0], [0]], dtype=np.int8)
    logits = np.array([[-1.0], [-1.5], [-2.5], [-3.0]])
    sets, task = LabelSets(values, 1), MultiLabel()
    assert task.measure(logits, sets)["exact_match"] == 0.5
    chosen = task.measure(logits, sets, val=(logits, sets))
    assert chosen["exact_match"] == chosen["macro_f1"] == chosen["micro_f1"] == 1.0
    assert chosen["hamming_loss"] == 0.0


def test_undefined_labels_are_counted_and_left_out() -> None:
    values = np.array([[1, 1, 0, -1], [0, 1, 0, 1], [1, 1, 0, 0]], dtype=np.int8)
    logits = np.array([[2.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0], [3.0, 0.0, 1.0, -1.0]])
    sets, task = LabelSets(values, 4), MultiLabel()
    assert task.undefined_classes(sets) == 2
    np.testing.assert_array_equal(task.per_class(logits, sets), [1.0, np.nan, np.nan, 1.0])
    assert task.measure(logits, sets)["macro_auc"] == task.score(logits, sets) == 1.0


def test_without_a_defined_label_the_score_is_that_of_a_guess() -> None:
    sets = LabelSets(np.ones((3, 2), dtype=np.int8), 2)
    logits = np.zeros((3, 2))
    assert MultiLabel().score(logits, sets) == 0.5
    measured = MultiLabel().measure(logits, sets)
    assert np.isnan([measured[name] for name in ("macro_auc", "micro_auc", "macro_ap", "macro_f1")]).all()
    assert measured["nll"] == pytest.approx(np.log(2))


def test_labels_are_ranked_by_how_many_training_examples_have_them() -> None:
    found = MultiLabel().by_frequency(np.array([0.6, 0.9, np.nan]), np.array([5, 50, 1]))
    assert found["head_auc"] == 0.9 and found["middle_auc"] == 0.6 and np.isnan(found["tail_auc"])


def test_labels_that_are_left_out_are_counted_and_named() -> None:
    sets = LabelSets(np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.int8), 2)
    [note] = MultiLabel(min_positives=2).check_test(sets, ("Mass", "Hernia"), "test")
    assert "fewer than 2 examples of test" in note
    assert "1, 'Hernia' (1)" in note
    assert MultiLabel().check_test(sets, ("Mass", "Hernia"), "test") == ()
    with pytest.raises(
        RequestError, match=r"no label has 3 examples in test .* at most 2, or a larger test set"
    ):
        MultiLabel(min_positives=3).check_test(sets, ("Mass", "Hernia"), "test")


def test_splits_in_which_no_label_differs_are_refused() -> None:
    """AUC needs examples with the label and without it."""
    sets = LabelSets(np.array([[1, 0], [1, 0], [1, 0]], np.int8), 2)
    with pytest.raises(RequestError, match=r"no label has an example in test that has it, and another"):
        MultiLabel().check_test(sets, ("Mass", "Hernia"), "test")
    with pytest.raises(RequestError, match=r"no label has an example in val .* a larger val set"):
        MultiLabel(min_positives=3).check_val(sets)
    MultiLabel(min_positives=3).check_val(LabelSets(np.array([[1, 0], [0, 0]], np.int8), 2))


def test_val_counts_all_labels_if_none_has_enough_examples() -> None:
    sets = LabelSets(np.array([[1, 0], [0, 1], [0, 0]], np.int8), 2)
    logits = np.array([[2.0, 1.0], [0.0, 0.0], [1.0, 2.0]])
    assert MultiLabel(min_positives=2).score(logits, sets) == MultiLabel().score(logits, sets) == 0.5


def test_default_threshold_is_not_written() -> None:
    assert parse_task({"name": "multilabel"}).as_dict() == {"name": "multilabel", "uncertain": "ignore"}
    task = parse_task({"name": "multilabel", "min_positives": 20})
    assert task.as_dict()["min_positives"] == 20
    assert parse_task(task.as_dict()) == task
    with pytest.raises(RequestError, match="min_positives"):
        parse_task({"name": "multilabel", "min_positives": 0})
