"""Golden values and properties of the methods for imbalanced, noisy or biased data.

The expected numbers are computed here in float64 NumPy, example by example, from the formulas.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.methods import Method, Mixed, Pair, build_method, methods, parse_method
from distillab.methods.robust.weighting import effective_number_weights, even_weights, examples_per_class
from distillab.models import Outputs, OutputShapes
from support.methods import (
    GROUPS,
    LABELS,
    STUDENT,
    STUDENT_EMBEDDING,
    STUDENT_RAW,
    TEACHER,
    TEACHER_EMBEDDING,
    TEACHER_RAW,
    C,
    N,
    batch,
    outputs,
    shapes,
)

Z_S, Z_T, Y = STUDENT.numpy(), TEACHER.numpy(), LABELS.tolist()
# A long tail: 40, 20, 10, 5 and 2 examples.
SIZES = np.array([40, 20, 10, 5, 2])
LONG_TAIL = torch.from_numpy(np.repeat(np.arange(C), SIZES))
SETTINGS: dict[str, Any] = {"temperature": 2, "kd_weight": 1, "ce_weight": 1}


def built(entry: Any, labels: torch.Tensor | None = LONG_TAIL, groups: torch.Tensor | None = None) -> Method:
    known = None if labels is None else len(labels)
    pair = Pair(shapes(), shapes(), n_train=known or N, labels=labels, groups=groups)
    torch.manual_seed(0)
    return build_method(parse_method(entry, "methods"), pair).double()


def terms(method: Method, of: Any = None) -> dict[str, float]:
    found = method.total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), of or batch())
    return {name: value.item() for name, value in found.items()}


def softmax(z: np.ndarray, temperature: float = 1) -> np.ndarray:
    powers = np.exp(z / temperature)
    return powers / powers.sum(-1, keepdims=True)


def kl(target: np.ndarray, p: np.ndarray) -> float:
    return float((target * np.log(target / p)).sum())


def ce(n: int) -> float:
    return -float(np.log(softmax(Z_S[n])[Y[n]]))


def kd(n: int, temperature: float) -> float:
    return temperature**2 * kl(softmax(Z_T[n], temperature), softmax(Z_S[n], temperature))


# Golden values


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_balanced_kd_has_its_golden_value(beta: float) -> None:
    weights = (1 - beta) / (1 - beta**SIZES)
    expected = 0.0
    for n in range(N):
        target = softmax(Z_T[n], 2) * weights
        expected += 4 * kl(target / target.sum(), softmax(Z_S[n], 2)) / N
    found = terms(built({"balanced_kd": {"beta": beta}}))
    golden = {"ce": np.mean([ce(n) for n in range(N)]), "kd": expected}
    assert found == pytest.approx(golden, abs=1e-5)


def test_long_tail_kd_has_its_golden_value() -> None:
    parts = [[0, 1], [2, 3], [4]]
    given_ = np.array([[softmax(Z_T[n], 4)[part].sum() for part in parts] for n in range(N)])
    across = within = 0.0
    for n in range(N):
        p_t, p_s = softmax(Z_T[n], 4), softmax(Z_S[n], 4)
        mass_s = np.array([p_s[part].sum() for part in parts])
        balanced = given_[n] / given_.mean(0)
        across += 16 * kl(balanced / balanced.sum(), mass_s) / N
        for part, t, s in zip(parts, given_[n], mass_s, strict=True):
            within += 16 * kl(p_t[part] / t, p_s[part] / s) / (3 * N)
    golden = {"ce": np.mean([ce(n) for n in range(N)]), "across": across, "within": within}
    assert terms(built("long_tail_kd")) == pytest.approx(golden, abs=1e-5)


@pytest.mark.parametrize("least", [0.0, 0.3])
def test_sample_weighted_kd_has_its_golden_value(least: float) -> None:
    found = terms(built({"sample_weighted_kd": SETTINGS | {"least": least}}))
    weighted = np.mean([(least + (1 - least) * softmax(Z_T[n])[Y[n]]) * ce(n) for n in range(N)])
    assert found == pytest.approx({"ce": weighted, "kd": np.mean([kd(n, 2) for n in range(N)])}, abs=1e-5)


@pytest.mark.parametrize("by_group", [True, False])
def test_last_layer_transplant_has_its_golden_value(by_group: bool) -> None:
    groups = torch.tensor([0] * 60 + [1] * 17)
    method = built("last_layer_transplant", groups=groups if by_group else None)
    weight, bias = (x.detach().numpy() for x in method.projector.parameters())  # type: ignore[union-attr]
    differences = STUDENT_EMBEDDING.numpy() @ weight.T + bias - TEACHER_EMBEDDING.numpy()
    kinds, sizes = (GROUPS.tolist(), [60, 17]) if by_group else (Y, SIZES)
    weights = [77 / (len(sizes) * sizes[kind]) for kind in kinds]
    expected = np.mean([v * np.mean(d**2) for v, d in zip(weights, differences, strict=True)])
    assert terms(method) == pytest.approx({"ce": 0, "features": expected}, abs=1e-5)


def test_worst_group_kd_has_its_golden_value() -> None:
    """Three steps: weights follow the losses from step to step."""
    method = built({"worst_group_kd": SETTINGS | {"rate": 0.1}}, LABELS, GROUPS)
    labels = np.array([np.mean([ce(n) for n in members]) for members in ([0, 2], [1, 3])])
    distilled = np.array([np.mean([kd(n, 2) for n in members]) for members in ([0, 2], [1, 3])])
    q = np.array([0.5, 0.5])
    for _ in range(3):
        assert terms(method) == pytest.approx({"ce": q @ labels, "kd": q @ distilled}, abs=1e-5)
        q = q * np.exp(0.1 * (labels + distilled))
        q = q / q.sum()


# Properties


@pytest.mark.parametrize("name", ["balanced_kd", "last_layer_transplant"])
def test_balanced_data_get_equal_weights(name: str) -> None:
    even, unknown = (built(name, labels) for labels in (torch.arange(C).repeat(7), None))
    assert terms(even) == pytest.approx(terms(unknown))
    plain = terms(built({"kd": SETTINGS}))
    if name == "balanced_kd":
        assert terms(even) == pytest.approx(plain)


def test_classes_without_examples_weigh_as_those_with_one() -> None:
    nobody, one = (torch.tensor([0] * 9 + rare) for rare in ([], [1, 2, 3, 4]))
    assert terms(built("balanced_kd", nobody)) == pytest.approx(terms(built("balanced_kd", one)), rel=0.2)


def test_empty_groups_do_not_shrink_the_loss() -> None:
    """As where a factor has left one of fifty groups, whose ids all stay."""
    nobody, fifty = torch.zeros(9, dtype=torch.int64), 50
    assert even_weights(nobody, fifty)[0] == 1
    assert even_weights(torch.tensor([0, 0, 0, 2]), 3).tolist() == pytest.approx([4 / 6, 1, 2])
    assert even_weights(None, 3).tolist() == [1, 1, 1]


@given(sizes=st.lists(st.integers(1, 10_000), min_size=2, max_size=30), beta=st.floats(0, 0.9999))
@settings(max_examples=50)
def test_weights_have_a_mean_of_one_and_fall_with_frequency(sizes: list[int], beta: float) -> None:
    images = torch.tensor(sizes).float()
    weights = effective_number_weights(images, beta)
    assert weights.mean().item() == pytest.approx(1, rel=1e-5)
    assert (weights[images.argsort()].diff() <= 1e-6).all()
    of = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    even = even_weights(of, len(sizes) + 2)[: len(sizes)]  # kinds without images change nothing
    torch.testing.assert_close(even * images, torch.full_like(images, float((even * images).mean())))
    assert ((even * images).sum() / images.sum()).item() == pytest.approx(1, rel=1e-5)


def test_labels_unlikely_under_the_teacher_count_little() -> None:
    student = STUDENT.clone().requires_grad_()
    sure = 20 * torch.eye(C, dtype=torch.float64)[[0, 2, 4, 3]]  # the label of the last example is unlikely
    built("sample_weighted_kd").total(Outputs(student), Outputs(sure), batch())["ce"].backward()
    assert student.grad is not None
    pull = student.grad.abs().sum(1)
    assert (pull[:3] > 1e-3).all() and pull[3] < 1e-8


def test_each_label_of_a_mixed_example_has_its_own_weight() -> None:
    name, others, share = "sample_weighted_kd", torch.tensor([3, 2, 0, 4]), 0.3
    both = terms(built(name), replace(batch(), mixed=Mixed(others, torch.full((N,), share))))
    own, other = terms(built(name), batch()), terms(built(name), batch(others))
    assert both["ce"] == pytest.approx(share * own["ce"] + (1 - share) * other["ce"], rel=1e-6)


@pytest.mark.parametrize("sizes", [[7], [3, 9], [4, 4, 4, 4], [1, 50, 2, 30, 3, 9, 0]])
def test_long_tail_parts_are_sorted_and_equally_large(sizes: list[int]) -> None:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    shape = OutputShapes(len(sizes))
    method = build_method(parse_method("long_tail_kd", "methods"), Pair(shape, shape, len(labels), labels))
    members = [torch.tensor(sizes)[part] for part in method.members.T]  # type: ignore[union-attr]
    assert len(members) == min(3, len(sizes))
    assert max(map(len, members)) - min(map(len, members)) <= 1 and min(map(len, members)) >= 1
    assert all(a.min() >= b.max() for a, b in pairwise(members))


def test_log_probabilities_split_into_part_and_class() -> None:
    """log p is that of the part plus that within it; probabilities of parts sum to one."""
    method = built("long_tail_kd")
    within, masses = method._split(STUDENT)  # type: ignore[operator]
    torch.testing.assert_close(masses.exp().sum(1), torch.ones(N, dtype=torch.float64))
    of_class = method.members.int().argmax(1)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(masses[:, of_class] + within, STUDENT.log_softmax(1))


def test_teacher_bias_towards_a_part_is_balanced() -> None:
    """A constant added to the logits of the head leaves the term across parts as it is."""
    favored = torch.tensor([4.0, 4, 0, 0, 0], dtype=torch.float64)
    for shift in (0 * favored, favored):
        same = TEACHER[:1].expand(N, C) + shift  # a teacher with the same outputs for every example
        found = built("long_tail_kd").total(Outputs(torch.zeros(N, C)), Outputs(same), batch())
        student_masses = np.array([2, 2, 1]) / C
        assert found["across"].item() == pytest.approx(16 * kl(np.full(3, 1 / 3), student_masses), abs=1e-5)


def test_weight_of_the_worst_group_grows_in_training_only() -> None:
    method = built("worst_group_kd", LABELS, GROUPS)

    def shares() -> list[float]:
        return method.log_shares.exp().tolist()  # type: ignore[operator, union-attr]

    terms(method.eval())
    assert shares() == pytest.approx([0.5, 0.5])
    method.train()
    losses = [np.mean([0.1 * ce(n) + 0.9 * kd(n, 4) for n in members]) for members in ([0, 2], [1, 3])]
    for _ in range(100):
        terms(method)
    assert np.argmax(shares()) == np.argmax(losses) and max(shares()) > 0.6
    assert sum(shares()) == pytest.approx(1)


def test_absent_groups_keep_their_weight() -> None:
    """A rare group must not lose by its absence what it gains by its losses."""
    method = built("worst_group_kd", torch.zeros(9, dtype=torch.int64), torch.arange(9) % 3)
    for _ in range(50):
        assert all(np.isfinite(value) for value in terms(method).values())
    shares = method.log_shares.exp()  # type: ignore[operator, union-attr]
    assert shares[2].item() == pytest.approx(1 / 3) and shares.sum().item() == pytest.approx(1)
    assert abs(shares[0].item() - shares[1].item()) > 0.01


def test_group_of_negligible_weight_alone_in_a_batch_is_learned() -> None:
    method = built("worst_group_kd", torch.zeros(9, dtype=torch.int64), torch.arange(9) % 3)
    method.log_shares[:2] = -1000.0  # type: ignore[index, operator]
    found = terms(method)
    assert np.isfinite(found["ce"]) and found["ce"] > 0


def test_classes_serve_as_groups_where_there_are_none() -> None:
    method = built({"worst_group_kd": SETTINGS}, LABELS)
    assert method.log_shares.exp().tolist() == pytest.approx([1 / C] * C)  # type: ignore[operator, union-attr]
    assert terms(method)["ce"] == pytest.approx(np.mean([ce(n) for n in range(N)]))


def test_weights_are_even_where_labels_are_unknown() -> None:
    assert examples_per_class(None, 3).tolist() == [1, 1, 1]
    assert examples_per_class(torch.tensor([0, 0, 2]), 4).tolist() == [2, 1, 1, 1]
    pair = Pair(shapes(), shapes(), n_train=N)
    for name in (
        "balanced_kd",
        "long_tail_kd",
        "sample_weighted_kd",
        "last_layer_transplant",
        "worst_group_kd",
    ):
        assert type(build_method(parse_method(name, "methods"), pair)) is methods[name]
