"""Methods that compare two views of every example: their sums, written anew in NumPy, and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from distillab.errors import RequestError
from distillab.methods import MethodSpec, StrongView, methods, parse_method
from distillab.models import Outputs
from support.methods import (
    LABELS,
    STUDENT,
    STUDENT_STRONG,
    TEACHER,
    TEACHER_STRONG,
    N,
    batch,
    make,
)

Array = np.ndarray
TWO_VIEWS: list[Any] = ["crld", {"mlkd": {"strong_view": True}}, {"kd": {}, "crld": {"weight": 0.5}}]
Z_S, Z_T, Z_S2, Z_T2 = (each.numpy() for each in (STUDENT, TEACHER, STUDENT_STRONG, TEACHER_STRONG))


def probabilities(z: Array, temperature: float = 1.0) -> Array:
    e = np.exp((z - z.max(1, keepdims=True)) / temperature)
    return np.asarray(e / e.sum(1, keepdims=True))


def kl(student: Array, teacher: Array, temperature: float) -> Array:
    p_s, p_t = probabilities(student, temperature), probabilities(teacher, temperature)
    return np.asarray((p_t * np.log(p_t / p_s)).sum(1))


def cross_entropy(z: Array) -> float:
    return float(-np.log(probabilities(z)[np.arange(N), LABELS]).mean())


def terms_of(entry: Any) -> dict[str, float]:
    terms = make(entry).total(Outputs(STUDENT), Outputs(TEACHER), batch())
    return {name: value.item() for name, value in terms.items()}


@pytest.mark.parametrize(("sure", "sure_of_strong"), [(0.9, 0.2), (0.7, 0.38), (0.0, 1.0)])
def test_crld_has_its_golden_value(sure: float, sure_of_strong: float) -> None:
    kept = probabilities(Z_T).max(1) >= sure
    kept_strong = probabilities(Z_T2).max(1) >= sure_of_strong
    within = 16 * ((kl(Z_S, Z_T, 4) + kl(Z_S2, Z_T2, 4)) * kept).mean()
    across = 16 * ((kl(Z_S2, Z_T, 4) + kl(Z_S, Z_T2, 4)) * kept_strong).mean()
    found = terms_of({"crld": {"sure": sure, "sure_of_strong": sure_of_strong}})
    expected = {"ce": cross_entropy(Z_S) + cross_entropy(Z_S2), "within": 2 * within, "across": 0.5 * across}
    assert found == pytest.approx(expected, rel=1e-12)


def test_crld_cases_choose_some_and_not_all_examples() -> None:
    counts = [int((probabilities(z).max(1) >= sure).sum()) for z, sure in ((Z_T, 0.7), (Z_T2, 0.38))]
    assert all(0 < count < N for count in counts), counts


def test_mlkd_whole_adds_labels_and_divergence_of_the_strong_view() -> None:
    one, both = terms_of("mlkd"), terms_of({"mlkd": {"strong_view": True}})
    strong = sum(T**2 * kl(Z_S2, Z_T2, T).mean() for T in (2, 3, 4, 5, 6))
    assert both == pytest.approx(
        {**one, "ce": 0.1 * (cross_entropy(Z_S) + cross_entropy(Z_S2)), "strong": 0.9 * strong}, rel=1e-12
    )


@pytest.mark.parametrize("entry", TWO_VIEWS, ids=str)
def test_gradients_reach_the_student_through_both_views_and_no_teacher(entry: Any) -> None:
    leaves = [each.clone().requires_grad_() for each in (STUDENT, STUDENT_STRONG, TEACHER, TEACHER_STRONG)]
    student, strong, teacher, strong_teacher = leaves
    known = replace(batch(), strong=StrongView(Outputs(strong), Outputs(strong_teacher)))
    sum(make(entry).total(Outputs(student), Outputs(teacher), known).values()).backward()
    assert student.grad is not None and strong.grad is not None
    assert student.grad.abs().sum() > 0 < strong.grad.abs().sum()
    assert teacher.grad is None and strong_teacher.grad is None


@pytest.mark.parametrize("entry", TWO_VIEWS, ids=str)
def test_a_batch_without_strong_views_is_refused(entry: Any) -> None:
    with pytest.raises(ValueError, match="strong views"):
        make(entry).total(Outputs(STUDENT), Outputs(TEACHER), replace(batch(), strong=None))


@pytest.mark.parametrize("entry", TWO_VIEWS, ids=str)
def test_methods_of_two_views_declare_it(entry: Any) -> None:
    assert "strong_view" in parse_method(entry, "methods").needs


def test_standardized_logits_of_both_views() -> None:
    """Shift and scale of each example's logits, in any of the four, change no transfer term."""
    entry = {"logit_standardisation": {"of": {"crld": {"sure": 0.0}}}}
    base, moved = batch(), 3 * STUDENT_STRONG + 5
    changed = replace(base, strong=StrongView(Outputs(moved), Outputs(2 * TEACHER_STRONG - 1)))
    method = make(entry)
    first = method.total(Outputs(STUDENT), Outputs(TEACHER), base)
    second = method.total(Outputs(STUDENT), Outputs(TEACHER), changed)
    torch.testing.assert_close(first["within"], second["within"], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(first["across"], second["across"], rtol=1e-6, atol=1e-9)
    assert first["ce"] != second["ce"], "labels are learned from the logits as they are"


def test_a_setting_that_is_younger_than_studies_is_in_no_id_at_its_default() -> None:
    assert "strong_view" not in parse_method("mlkd", "").as_dict()["config"]
    whole = parse_method({"mlkd": {"strong_view": True}}, "")
    assert whole.as_dict()["config"]["strong_view"] is True
    assert MethodSpec.from_dict(whole.as_dict()).config == whole.config
    wrapped = parse_method({"logit_standardisation": {"of": "mlkd"}}, "").as_dict()
    assert "strong_view" not in wrapped["config"]["of"]["mlkd"]
    for kind in (methods[name] for name in methods):
        assert kind.later_settings <= set(kind.Config.model_fields)


def test_strong_view_is_true_or_false() -> None:
    with pytest.raises(RequestError, match="strong_view"):
        parse_method({"mlkd": {"strong_view": 1}}, "methods")
