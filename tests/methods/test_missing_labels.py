"""Examples without a label (-1): the supervised loss leaves them out; methods that cannot are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from distillab.errors import RequestError
from distillab.methods import Batch, Mixed, Pair, build_method, methods, parse_method
from distillab.methods.divergence import cross_entropy, label_loss
from distillab.methods.robust.weighting import weighted_label_loss
from distillab.models import Outputs
from support.methods import (
    EARLY,
    GROUPS,
    LABELS,
    OF_CLASSIFIERS,
    STAGES,
    STUDENT,
    STUDENT_RAW,
    TEACHER,
    TEACHER_RAW,
    N,
    batch,
    leaves,
    make,
    outputs,
    shapes,
)

HALF = torch.tensor([0, -1, 4, -1])
NONE = torch.full((N,), -1)
NEED_ALL = [
    "dkd",
    "last_layer_transplant",
    "nkd",
    "rld",
    "teacher_free",
    "wkd_logits",
    "worst_group_kd",
    "wsld",
]
OTHERS = [name for name in OF_CLASSIFIERS if name not in NEED_ALL]


def batch_of(name: str, labels: torch.Tensor = HALF) -> Batch:
    return batch(labels, progress=EARLY.get(name, 0.5))


def test_mean_is_over_labelled_examples() -> None:
    own = cross_entropy(STUDENT, LABELS)
    torch.testing.assert_close(label_loss(STUDENT, batch(HALF)).mean(), own[[0, 2]].mean())
    assert torch.equal(label_loss(STUDENT, batch(HALF))[[1, 3]], torch.zeros(2, dtype=torch.float64))
    assert torch.equal(label_loss(STUDENT, batch(LABELS)), own)
    smooth = cross_entropy(STUDENT, LABELS, 0.2)
    torch.testing.assert_close(label_loss(STUDENT, batch(HALF), 0.2).mean(), smooth[[0, 2]].mean())
    weighted = weighted_label_loss(STUDENT, batch(HALF), lambda labels: labels.double() + 1)
    torch.testing.assert_close(weighted.mean(), (own[[0, 2]] * torch.tensor([1.0, 5.0])).mean())


def test_label_loss_without_labels_is_zero() -> None:
    z = STUDENT.clone().requires_grad_()
    value = label_loss(z, batch(NONE)).mean()
    value.backward()
    assert value.item() == 0 and torch.equal(z.grad, torch.zeros_like(STUDENT))  # type: ignore[arg-type]


def test_labelled_example_of_a_mixed_pair_counts_by_its_share() -> None:
    share = torch.tensor([0.75, 0.25, 1.0, 0.5], dtype=torch.float64)
    mixed = replace(batch(HALF), mixed=Mixed(torch.tensor([-1, 2, 0, -1]), share))
    own, other = cross_entropy(STUDENT, LABELS), cross_entropy(STUDENT, torch.tensor([0, 2, 0, 0]))
    expected = (0.75 * own[0] + 0.75 * other[1] + own[2]) / (0.75 + 0.75 + 1.0)
    torch.testing.assert_close(label_loss(STUDENT, mixed).mean(), expected)


def test_methods_that_need_every_label_are_known() -> None:
    assert [name for name in methods if "every_label" in parse_method(name, "").needs] == NEED_ALL
    assert "every_label" in parse_method({"logit_standardisation": {"of": "dkd"}}, "").needs
    assert "every_label" in parse_method({"kd": {}, "nkd": {}}, "").needs


@pytest.mark.parametrize("name", NEED_ALL)
def test_methods_that_need_every_label_refuse_missing_ones(name: str) -> None:
    pair = Pair(shapes(), shapes(), n_train=N, labels=HALF, groups=GROUPS)
    with pytest.raises(
        RequestError, match=rf"^method {name} needs the label of every example; 2 of 4 [^\n]*$"
    ):
        build_method(parse_method(name, "methods"), pair)
    build_method(parse_method(name, "methods"), replace(pair, labels=LABELS))


@pytest.mark.parametrize("labels", [HALF, NONE], ids=["half", "none"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_methods_learn_from_partly_labelled_batches(name: str, labels: torch.Tensor) -> None:
    """Losses and gradients are finite, and the supervised term is 0 without labels."""
    stages = STAGES.get(name, 1)
    method = make(name, labels=labels)
    student = leaves(STUDENT_RAW)
    teacher = None if method.teacher == "none" else outputs(TEACHER_RAW, stages)
    terms = method.total(outputs(student, stages), teacher, batch_of(name, labels))
    sum(terms.values()).backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in student)
    labelled = bool((labels >= 0).any()) and getattr(method.config, "ce_weight", 1) != 0
    assert bool(terms["ce"].item()) == (labelled and name not in EARLY)


def test_ofa_and_mft_keep_the_teacher_where_labels_are_missing() -> None:
    soft = -(TEACHER.softmax(1) * STUDENT.log_softmax(1)).sum(1)
    ofa = make({"ofa": {"exponent": 2.0}})
    squared = -(TEACHER.softmax(1) ** 2 * STUDENT.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(ofa.adaptive_loss(STUDENT, TEACHER, NONE), squared)  # type: ignore[operator]
    mft = make({"mft": {"kd_weight": 1.0}})
    entropy = -(TEACHER.softmax(1) * TEACHER.log_softmax(1)).sum(1)
    found = mft.total(Outputs(STUDENT), Outputs(TEACHER), batch(NONE))["kd"]
    torch.testing.assert_close(found, (soft - entropy).mean())


def test_crd_negatives_of_an_unlabelled_example_are_all_others() -> None:
    crd = make("crd", labels=HALF)
    everyone = torch.arange(N)
    apart = crd._other_classes(everyone, everyone)  # type: ignore[operator]
    assert torch.equal(apart, ~torch.eye(N, dtype=torch.bool))
    labelled = make("crd", labels=torch.tensor([0, 1, 0, -1]))._other_classes(everyone, everyone)  # type: ignore[operator]
    expected = [[0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]]
    assert torch.equal(labelled, torch.tensor(expected, dtype=torch.bool))


@pytest.mark.parametrize("name", ["balanced_kd", "long_tail_kd"])
def test_classes_are_counted_by_labelled_examples(name: str) -> None:
    labels = torch.tensor([0, -1, 4, -1])
    half = make(name, labels=labels).total(Outputs(STUDENT), Outputs(TEACHER), batch(labels))
    counted = make(name, labels=torch.tensor([0, 4])).total(Outputs(STUDENT), Outputs(TEACHER), batch(labels))
    assert half == counted
