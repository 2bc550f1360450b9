"""Golden values and identities of the methods that learn from logits.

Numbers without a formula beside them were computed in float64 NumPy from the formulas in the papers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distillab.errors import RequestError
from distillab.methods import Mixed, Pair, build_method, parse_method
from distillab.methods.logits.ctkd import CurriculumTemperature
from distillab.methods.logits.logit_standardisation import standardized
from distillab.methods.logits.mft import corrected
from distillab.methods.logits.mlkd import similarity_distances
from distillab.methods.logits.ofa import OneForAll
from distillab.methods.logits.topk_kd import likeliest
from distillab.models import Outputs
from distillab.tasks.losses import bernoulli_kl
from support.methods import (
    LABELS,
    OF_CLASSIFIERS,
    STUDENT,
    STUDENT_RAW,
    TEACHER,
    TEACHER_RAW,
    C,
    N,
    batch,
    make,
    outputs,
    shapes,
)

CE = 1.57244467
Z_S, Z_T = STUDENT.numpy(), TEACHER.numpy()

random_logits = st.integers(0, 2**31).map(
    lambda seed: torch.from_numpy(np.random.default_rng(seed).normal(0, 5, (2, N, C)))
)


def terms(entry: str | dict[str, object], progress: float = 0.5) -> dict[str, float]:
    """Return the terms of a method for the closed-form inputs."""
    found = make(entry).total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch(progress=progress))
    return {name: value.item() for name, value in found.items()}


def softmax(z: np.ndarray, temperature: float = 1) -> np.ndarray:
    powers = np.exp(z / temperature)
    return powers / powers.sum(1, keepdims=True)


def divergence(student: np.ndarray, target: np.ndarray) -> float:
    """Mean KL(target || student) of probabilities."""
    return float((target * np.log(target / student)).sum(1).mean())


# Golden values


@pytest.mark.parametrize(
    ("config", "target", "others"),
    [
        ({"temperature": 1, "others_weight": 1.5}, 0.37766871, 3.04631612),
        ({}, 0.37766871, 46.19806419 - 0.37766871),
    ],
)
def test_nkd_has_its_golden_value(config: dict[str, Any], target: float, others: float) -> None:
    found = terms({"nkd": config})
    assert found == pytest.approx({"ce": CE, "target": target, "others": others}, abs=1e-5)


def test_wsld_has_its_golden_value() -> None:
    found = terms({"wsld": {"temperature": 2, "soft_weight": 2.5}})
    assert found == pytest.approx({"ce": CE, "soft": 8.80646523}, abs=1e-5)


def test_wsld_weights_get_no_gradient() -> None:
    student = STUDENT.clone().requires_grad_()
    make({"wsld": {"temperature": 2, "soft_weight": 2.5}}).total(Outputs(student), Outputs(TEACHER), batch())[
        "soft"
    ].backward()
    weights = np.array([0.99312, 0.26851, 0.13838, 0.70854])[:, None]
    expected = 2.5 * 2 * weights * (softmax(Z_S, 2) - softmax(Z_T, 2)) / N
    np.testing.assert_allclose(student.grad, expected, atol=1e-4)


def test_mlkd_has_its_golden_value() -> None:
    images, classes = similarity_distances(STUDENT, TEACHER, 4)
    assert (classes.item(), images.item()) == pytest.approx((0.00952774, 0.00673310), abs=1e-7)
    found = terms({"mlkd": {"temperatures": [4], "confident": 1, "mlkd_weight": 1, "ce_weight": 1}})
    golden = {"ce": CE, "images": 2.47539707, "batch": 0.00673310, "classes": 0.00952774}
    assert found == pytest.approx(golden, abs=1e-5)


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 0.0), (5 / 240, -0.5), (10 / 240, -1.0), (0.9, -1.0)])
def test_ctkd_has_its_golden_value(progress: float, factor: float) -> None:
    temperature = 1 + 20 / (1 + math.exp(-1))
    value = 0.9 * temperature**2 * divergence(softmax(Z_S, temperature), softmax(Z_T, temperature))
    assert terms("ctkd", progress) == pytest.approx({"ce": 0.1 * CE, "kd": value}, abs=1e-5)
    ctkd = make("ctkd")
    assert isinstance(ctkd, CurriculumTemperature)
    assert ctkd.reversal(progress) == pytest.approx(factor)


def test_ctkd_temperature_ascends_the_loss() -> None:
    """Its gradient is that of the loss by theta, times a factor that is -1 after the ramp."""

    def kd(theta: float) -> float:
        t = 1 + 20 / (1 + math.exp(-theta))
        return 0.9 * t**2 * divergence(softmax(Z_S, t), softmax(Z_T, t))

    slope = (kd(1 + 1e-6) - kd(1 - 1e-6)) / 2e-6
    for progress, factor in ((0.0, 0.0), (5 / 240, -0.5), (0.5, -1.0)):
        ctkd = make("ctkd")
        assert isinstance(ctkd, CurriculumTemperature)
        ctkd.total(Outputs(STUDENT), Outputs(TEACHER), batch(progress=progress))["kd"].backward()
        assert ctkd.theta.grad is not None
        assert ctkd.theta.grad.item() == pytest.approx(factor * slope, rel=1e-5)


@pytest.mark.parametrize(("exponent", "golden"), [(1, 2.55577169), (1.5, 2.23107338)])
def test_ofa_has_its_golden_value(exponent: float, golden: float) -> None:
    entry: dict[str, object] = {"ofa": {"exponent": exponent, "stage_weight": 2}}
    found, ofa = terms(entry), make(entry)
    assert isinstance(ofa, OneForAll)
    [layer] = [part for part in ofa.exits if isinstance(part, torch.nn.Linear)]
    pooled = STUDENT_RAW[2].numpy().mean((2, 3))
    exit_logits = pooled @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    label = np.eye(C)[LABELS.numpy()]
    wanted = (softmax(Z_T) + label) ** exponent - label
    at_the_stage = -(wanted * np.log(softmax(exit_logits))).sum(1).mean()
    assert found == pytest.approx({"ce": CE, "ofa": golden, "stages": 2 * at_the_stage}, abs=1e-5)


def test_ofa_needs_only_logits_of_the_teacher() -> None:
    ofa = build_method(parse_method("ofa", "methods"), Pair(shapes(stages=3), shapes().__class__(C), N))
    maps = tuple(STUDENT_RAW[2].float() for _ in range(3))
    found = ofa.total(Outputs(STUDENT.float(), maps=maps), Outputs(TEACHER.float()), batch())
    assert found["stages"].isfinite()
    with pytest.raises(ValueError, match="feature maps of the student"):
        ofa.total(Outputs(STUDENT), Outputs(TEACHER), batch())


def test_logit_mse_has_its_golden_value() -> None:
    assert terms("logit_mse") == pytest.approx({"ce": CE, "mse": ((Z_S - Z_T) ** 2).mean()}, abs=1e-5)


@pytest.mark.parametrize("temperature", [1, 3])
def test_bernoulli_kd_has_its_golden_value(temperature: float) -> None:
    s_s, s_t = (1 / (1 + np.exp(-z / temperature)) for z in (Z_S, Z_T))
    present, absent = s_t * np.log(s_t / s_s), (1 - s_t) * np.log((1 - s_t) / (1 - s_s))
    expected = temperature**2 * (present + absent).sum(1).mean()
    found = terms({"bernoulli_kd": {"temperature": temperature}})
    assert found == pytest.approx({"ce": CE, "kd": expected}, abs=1e-5)


def test_mft_has_its_golden_value() -> None:
    target = softmax(Z_T)
    for p, y in zip(target, LABELS.tolist(), strict=True):
        scale = 0.8 / (1 - p[y] + p.max())
        if p.argmax() == y:
            scale = max(1 - p[y] - 0.2, 0) / (1 - p[y])
        p *= scale
        p[y] = 1 - (p.sum() - p[y])
    expected = {"ce": 0.1 * CE, "kd": 0.9 * divergence(softmax(Z_S), target)}
    assert terms("mft") == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_topk_kd_has_its_golden_value(k: int) -> None:
    target = softmax(Z_T)
    for p in target:
        rare = np.argsort(-p)[k:]
        p[rare] = p[rare].mean()
    expected = {"ce": 0.1 * CE, "kd": 0.9 * divergence(softmax(Z_S), target)}
    assert terms({"topk_kd": {"k": k}}) == pytest.approx(expected, abs=1e-5)


def test_logit_standardisation_has_its_golden_value() -> None:
    found = terms("logit_standardisation")
    assert found == pytest.approx({"ce": 0.1 * CE, "kd": 9 * 0.76535922}, abs=1e-5)


# Identities


@given(pair=random_logits)
@settings(max_examples=20)
def test_equal_outputs_give_zero_loss(pair: Tensor) -> None:
    z = pair[0]
    everything = {"topk_kd": {"k": C}, "bernoulli_kd": {}, "logit_mse": {}, "ctkd": {}, "mlkd": {}}
    for name, config in (everything | {"logit_standardisation": {}, "mft": {"threshold": 0}}).items():
        sure = z.argmax(1)  # a teacher that is right is not corrected
        found = make({name: config}).total(Outputs(z), Outputs(z), batch(sure))
        assert all(abs(value.item()) < 1e-9 for term, value in found.items() if term != "ce"), name


@given(pair=random_logits, scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
@settings(max_examples=20)
def test_standardized_logits_ignore_scale_and_shift(pair: Tensor, scale: float, shift: float) -> None:
    expected = (pair[0] - pair[0].mean(1, keepdim=True)) / pair[0].std(1, keepdim=True)
    torch.testing.assert_close(standardized(pair[0]), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(standardized(scale * pair[0] + shift), expected, rtol=1e-4, atol=1e-5)


@given(pair=random_logits, threshold=st.floats(0, 1))
@settings(max_examples=30)
def test_corrected_teacher_predicts_the_label_by_the_threshold(pair: Tensor, threshold: float) -> None:
    given_ = pair[0].softmax(1)
    found = corrected(given_, LABELS, threshold)
    right = given_.argmax(1) == LABELS
    assert torch.equal(corrected(given_, LABELS, threshold, correct_all=False)[right], given_[right])
    label = LABELS[:, None]
    torch.testing.assert_close(found.sum(1), torch.ones(N, dtype=torch.float64))
    rest = found.scatter(1, label, 0)
    gap = found.gather(1, label)[:, 0] - rest.amax(1)
    assert (gap >= threshold - 1e-9).all() and (found >= -1e-12).all()
    torch.testing.assert_close(gap[~right], torch.full_like(gap[~right], threshold))
    raised = (given_.gather(1, label)[:, 0] + threshold).clamp(max=1)
    torch.testing.assert_close(found.gather(1, label)[right, 0], raised[right])
    before = given_.scatter(1, label, 0)
    if threshold < 1:
        ratio = rest.sum(1, keepdim=True) / before.sum(1, keepdim=True)
        torch.testing.assert_close(rest, ratio * before)


@given(pair=random_logits, k=st.integers(1, 2 * C))
@settings(max_examples=30)
def test_likeliest_classes_are_kept_and_the_rest_is_even(pair: Tensor, k: int) -> None:
    p = pair[0].softmax(1)
    found = likeliest(p, k)
    torch.testing.assert_close(found.sum(1), torch.ones(N, dtype=torch.float64))
    top = p.topk(min(k, C)).indices
    torch.testing.assert_close(found.gather(1, top), p.gather(1, top))
    if k >= C - 1:
        torch.testing.assert_close(found, p)


def test_topk_with_all_classes_is_kd() -> None:
    topk, kd = terms({"topk_kd": {"k": 100, "temperature": 4}}), terms("kd")
    assert topk == pytest.approx(kd)


@given(pair=random_logits)
@settings(max_examples=20)
def test_mirrored_classes_count_twice_in_bernoulli_kl(pair: Tensor) -> None:
    """sigmoid(z) is the softmax of (z, 0), so two classes that mirror each other count twice."""
    z, t = pair[0][:, :1], pair[1][:, :1]
    twice = bernoulli_kl(torch.cat((z, -z), 1), torch.cat((t, -t), 1)).sum(1)
    p, q = torch.sigmoid(t)[:, 0], torch.sigmoid(z)[:, 0]
    single = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(twice, 2 * single, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["nkd", "mft", "ofa"])
def test_single_label_methods_use_the_dominant_label(name: str) -> None:
    others = torch.tensor([3, 2, 0, 4])
    mixed = replace(batch(), mixed=Mixed(others, torch.full((N,), 0.3)))
    networks = outputs(STUDENT_RAW), outputs(TEACHER_RAW)
    found, expected = make(name).total(*networks, mixed), make(name).total(*networks, batch(others))
    for term in found.keys() - {"ce"}:
        torch.testing.assert_close(found[term], expected[term])


# Logit standardisation wraps a method


@pytest.mark.parametrize(
    ("entry", "label"),
    [
        ({}, "logit_standardisation"),
        ({"of": "dkd"}, "logit_standardisation(of=dkd)"),
        ({"of": {"dkd": {"beta": 2}}}, "logit_standardisation(of=dkd(beta=2))"),
        (
            {"of": {"kd": {"temperature": 2, "kd_weight": 9}}},
            "logit_standardisation",
        ),
    ],
)
def test_wrapped_methods_are_labelled_and_read_back(entry: dict[str, Any], label: str) -> None:
    spec = parse_method({"logit_standardisation": entry}, "methods")
    assert spec.label == label
    again = parse_method({spec.name: spec.settings}, "methods")
    assert (again, again.as_dict(), hash(again)) == (spec, spec.as_dict(), hash(spec))


def test_wrapped_method_learns_from_standardized_logits() -> None:
    found = terms({"logit_standardisation": {"of": "dkd"}})
    dkd = make("dkd").total(Outputs(standardized(STUDENT)), Outputs(standardized(TEACHER)), batch())
    expected = {term: value.item() for term, value in dkd.items()} | {"ce": CE}
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_wrapping_keeps_the_supervised_term(name: str) -> None:
    try:
        found = terms({"logit_standardisation": {"of": name}})
    except RequestError as refusal:
        assert "cannot be given standardized logits" in str(refusal) or name == "logit_standardisation"
        return
    assert found["ce"] == pytest.approx(terms(name)["ce"], abs=1e-6)


def test_requirements_are_those_of_the_wrapped_method() -> None:
    rare = parse_method({"logit_standardisation": {"of": "balanced_kd"}}, "methods")
    assert rare.needs == parse_method("balanced_kd", "methods").needs and rare.teacher == "study"
    own = parse_method({"logit_standardisation": {"of": "self"}}, "methods")
    assert own.teacher == "self" and not own.distils


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"of": "dkdd"}, "methods.logit_standardisation.of: unknown method 'dkdd', did you mean 'dkd'?"),
        (
            {"of": {"kd": {"temperature": 0}}},
            "methods.logit_standardisation.of.kd.temperature: 0 is not accepted (allowed: greater than 0",
        ),
        ({"of": 3}, "methods.logit_standardisation.of: 3 is not a method"),
        ({"of": "rkd"}, "methods.logit_standardisation.of: rkd cannot be given standardized logits"),
        ({"of": "ce"}, "methods.logit_standardisation.of: ce cannot be given standardized logits"),
        (
            {"of": "sample_weighted_kd"},
            "methods.logit_standardisation.of: sample_weighted_kd cannot be given standardized logits: it",
        ),
        (
            {"of": {"kd": {}, "dkd": {}}},
            "methods.logit_standardisation.of: kd+dkd cannot be given standardized logits",
        ),
    ],
)
def test_errors_in_the_wrapped_method_name_their_place(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_method({"logit_standardisation": entry}, "methods")
    assert str(caught.value).startswith(message)
