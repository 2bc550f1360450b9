"""Labels of two mixed examples: every method learns from both, each by its share."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distillab.methods import Batch, Mixed
from distillab.methods.divergence import cross_entropy, label_loss
from support.methods import (
    LABELS,
    OF_CLASSIFIERS,
    STAGES,
    STUDENT,
    STUDENT_RAW,
    TEACHER_RAW,
    WITHOUT_LABELS,
    C,
    N,
    batch,
    make,
    outputs,
)

OTHERS = torch.tensor([3, 2, 0, 4])
SHARES = torch.tensor([0.9, 0.25, 0.5, 0.0])


def mixed(share: Tensor = SHARES, others: Tensor = OTHERS) -> Batch:
    return replace(batch(), mixed=Mixed(others, share))


def terms(name: str, mixed_batch: Batch) -> dict[str, Tensor]:
    method = make(name)
    stages = STAGES.get(name, 1)
    teacher = None if method.teacher == "none" else outputs(TEACHER_RAW, stages)
    return method.total(outputs(STUDENT_RAW, stages), teacher, mixed_batch)


def test_loss_of_two_labels_is_shared() -> None:
    own, other = cross_entropy(STUDENT, LABELS), cross_entropy(STUDENT, OTHERS)
    torch.testing.assert_close(label_loss(STUDENT, mixed()), SHARES * own + (1 - SHARES) * other)
    assert torch.equal(label_loss(STUDENT, batch()), own)


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 1), smoothing=st.floats(0, 1), seed=st.integers(0, 1000))
def test_mixed_label_loss_is_that_of_the_mixture(share: float, smoothing: float, seed: int) -> None:
    """As F.cross_entropy has it for probabilities of classes."""
    noise = torch.Generator().manual_seed(seed)
    logits = torch.randn(N, C, generator=noise, dtype=torch.float64)
    mixed_batch = mixed(torch.full((N,), share, dtype=torch.float64))
    target = share * torch.eye(C, dtype=torch.float64)[LABELS] + (1 - share) * torch.eye(C)[OTHERS]
    expected = torch.nn.functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(label_loss(logits, mixed_batch, smoothing), expected)


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_supervised_term_is_shared_between_mixed_labels(name: str) -> None:
    """A method that learns from the labels without label_loss would miss the second one."""
    own, other = terms(name, batch()), terms(name, batch(OTHERS))
    share = 0.7
    both = terms(name, mixed(torch.full((N,), share)))
    assert both.keys() == own.keys()
    assert "ce" in both
    expected = share * own["ce"] + (1 - share) * other["ce"]
    assert both["ce"].item() == pytest.approx(expected.item(), rel=1e-6)
    if name not in WITHOUT_LABELS:
        assert own["ce"].item() != pytest.approx(other["ce"].item(), rel=1e-3)


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
@pytest.mark.parametrize(("share", "labels"), [(1.0, LABELS), (0.0, OTHERS)])
def test_share_of_one_or_zero_is_a_single_example(name: str, share: float, labels: Tensor) -> None:
    both, alone = terms(name, mixed(torch.full((N,), share))), terms(name, batch(labels))
    for term, value in alone.items():
        assert both[term].item() == pytest.approx(value.item(), rel=1e-6)


def test_dominant_label_has_the_larger_share() -> None:
    assert mixed().dominant.tolist() == [0, 2, 4, 4]  # the image's own at equal shares
    assert batch().dominant is batch().labels


def test_dkd_target_is_the_dominant_label() -> None:
    mixed_batch = terms("dkd", mixed())
    dominant = terms("dkd", batch(mixed().dominant))
    assert mixed_batch["tckd"].item() == dominant["tckd"].item()
    assert mixed_batch["nckd"].item() == dominant["nckd"].item()
