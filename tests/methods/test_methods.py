"""What every method promises, over the registry, and the golden values and identities of each loss.

Golden values were computed in float64 NumPy, from the formulas, on the closed-form inputs below.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distillab.methods import Batch, Method, Pair, build_method, methods, parse_method
from distillab.methods.divergence import cross_entropy, decoupled_kl, in_full_precision, kl_divergence
from distillab.models import Outputs, OutputShapes

N, C = 4, 5
PLACE = torch.arange(N * C, dtype=torch.float64).reshape(N, C)
STUDENT = 2 * torch.sin(PLACE + 0.5)
TEACHER = 3 * torch.cos(0.7 * PLACE + 0.2)
LABELS = torch.tensor([0, 2, 4, 1])
LOGIT_METHODS = [name for name in methods if methods[name].needs <= {"logits", "labels"}]
TAUGHT = [name for name in LOGIT_METHODS if methods[name].teacher != "none"]
CLOSE = {"rtol": 0.0, "atol": 1e-5}


def make(entry: str | dict[str, object], classes: int = C) -> Method:
    shapes = OutputShapes(classes)
    return build_method(parse_method(entry, "methods"), Pair(shapes, shapes, n_train=N))


def batch(labels: Tensor = LABELS, progress: float = 0.5) -> Batch:
    return Batch(labels, torch.arange(len(labels)), epoch=0, progress=progress, epoch_length=1)


def loss(method: Method, student: Tensor, teacher: Tensor, labels: Tensor = LABELS) -> Tensor:
    told = None if method.teacher == "none" else Outputs(teacher)
    terms = method(Outputs(student), told, batch(labels))
    return torch.stack(list(terms.values())).sum()


# Golden values


def test_cross_entropy_has_its_golden_value() -> None:
    assert make("ce")(Outputs(STUDENT), None, batch())["ce"].item() == pytest.approx(1.57244467, abs=1e-5)


@pytest.mark.parametrize(("temperature", "golden"), [(1, 1.67634884), (2, 2.27599621), (4, 2.47539707)])
def test_kd_has_its_golden_value(temperature: float, golden: float) -> None:
    kd = make({"kd": {"temperature": temperature, "kd_weight": 1, "ce_weight": 0.5}})
    terms = kd(Outputs(STUDENT), Outputs(TEACHER), batch())
    assert terms["kd"].item() == pytest.approx(golden, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(0.5 * 1.57244467, abs=1e-5)


def test_kd_weighs_its_terms_as_published() -> None:
    terms = make("kd")(Outputs(STUDENT), Outputs(TEACHER), batch())
    assert terms["kd"].item() == pytest.approx(0.9 * 2.47539707, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(0.1 * 1.57244467, abs=1e-5)


def test_dkd_has_its_golden_value() -> None:
    terms = make("dkd")(Outputs(STUDENT), Outputs(TEACHER), batch())
    assert terms["tckd"].item() == pytest.approx(0.59369249, abs=1e-5)
    assert terms["nckd"].item() == pytest.approx(8 * 2.23024382, abs=1e-5)
    assert (terms["tckd"] + terms["nckd"]).item() == pytest.approx(18.43564303, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(1.57244467, abs=1e-5)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.025, 0.3), (20 / 240, 1.0), (0.9, 1.0)])
def test_dkd_warms_up_over_a_share_of_training(progress: float, share: float) -> None:
    dkd = make("dkd")
    full = dkd(Outputs(STUDENT), Outputs(TEACHER), batch(progress=0.5))
    now = dkd(Outputs(STUDENT), Outputs(TEACHER), batch(progress=progress))
    for part in ("tckd", "nckd"):
        assert now[part].item() == pytest.approx(share * full[part].item(), rel=1e-12)
    assert now["ce"].item() == full["ce"].item()
    assert make({"dkd": {"warmup": 0}}).warmed_up(0.0) == 1.0  # type: ignore[operator]


@given(smoothing=st.floats(0, 1))
@settings(max_examples=30)
def test_label_smoothing_is_the_mixture_it_says(smoothing: float) -> None:
    terms = make({"label_smoothing": {"smoothing": smoothing}})(Outputs(STUDENT), None, batch())
    soft = (1 - smoothing) * F.one_hot(LABELS, C).double() + smoothing / C
    mixture = -(soft * STUDENT.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(terms["ce"], mixture)
    torch.testing.assert_close(terms["ce"], F.cross_entropy(STUDENT, LABELS, label_smoothing=smoothing))


# Identities


logit_pairs = st.integers(0, 2**31).map(
    lambda seed: torch.from_numpy(np.random.default_rng(seed).normal(0, 5, (2, N, C)))
)


@given(pair=logit_pairs, temperature=st.floats(0.5, 20))
@settings(max_examples=30)
def test_kl_is_the_sum_of_its_decoupled_parts(pair: Tensor, temperature: float) -> None:
    target, others = decoupled_kl(pair[0], pair[1], LABELS, temperature)
    sure = (pair[1] / temperature).softmax(1).gather(1, LABELS[:, None])[:, 0]
    whole = kl_divergence(pair[0], pair[1], temperature)
    torch.testing.assert_close(whole, target + (1 - sure) * others, rtol=1e-9, atol=1e-12)
    assert (whole >= -1e-12).all() and (target >= -1e-12).all() and (others >= -1e-12).all()


@given(pair=logit_pairs, temperature=st.floats(0.5, 20))
@settings(max_examples=30)
def test_dkd_with_the_teachers_own_weight_is_kd(pair: Tensor, temperature: float) -> None:
    for row in range(N):
        student, teacher, label = pair[0, row : row + 1], pair[1, row : row + 1], LABELS[row : row + 1]
        beta = 1 - (teacher / temperature).softmax(1)[0, label].item()
        dkd = make({"dkd": {"beta": beta, "temperature": temperature, "ce_weight": 0}})
        kd = make({"kd": {"temperature": temperature, "kd_weight": 1, "ce_weight": 0}})
        both = (loss(method, student, teacher, label) for method in (dkd, kd))
        torch.testing.assert_close(*both, rtol=1e-8, atol=1e-10)


@given(pair=logit_pairs, temperature=st.floats(0.5, 20))
@settings(max_examples=30)
def test_a_student_that_agrees_has_nothing_to_learn(pair: Tensor, temperature: float) -> None:
    z = pair[0].clone().requires_grad_()
    divergence = kl_divergence(z, z.detach(), temperature)
    assert torch.equal(divergence, torch.zeros(N, dtype=torch.float64))
    target, others = decoupled_kl(z, z.detach(), LABELS, temperature)
    assert torch.equal(target, torch.zeros_like(target)) and torch.equal(others, torch.zeros_like(others))
    (divergence + target + others).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.zeros_like(z))


def test_kl_agrees_with_torch_over_the_batch() -> None:
    expected = F.kl_div(
        (STUDENT / 3).log_softmax(1), (TEACHER / 3).log_softmax(1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(kl_divergence(STUDENT, TEACHER, 3.0).mean(), expected)


def test_two_classes_leave_nothing_to_decouple() -> None:
    labels = torch.tensor([0, 1, 1, 0])
    target, others = decoupled_kl(STUDENT[:, :2], TEACHER[:, :2], labels)
    torch.testing.assert_close(target, kl_divergence(STUDENT[:, :2], TEACHER[:, :2]))
    assert torch.equal(others, torch.zeros_like(others))


# Every method


@pytest.mark.parametrize("name", methods)
def test_a_method_says_what_it_computes_and_where_it_is_from(name: str) -> None:
    kind = methods[name]
    text = kind.__doc__ or ""
    assert "p_" in text and "mean_n" in text, "the formula"
    assert "Paper:" in text
    for part in kind.paper.split(", ")[:1]:
        assert part.split(" ")[0] in text.split("Paper:")[1]
    assert kind.paper or "Paper: none" in text
    assert all(info.default is not None for info in kind.Config.model_fields.values())


@pytest.mark.parametrize("name", LOGIT_METHODS)
def test_gradients_are_those_of_the_loss(name: str) -> None:
    method = make(name)
    student = STUDENT.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(method, z, TEACHER), (student,))
    loss(method, student, TEACHER).backward()
    assert student.grad is not None and student.grad.abs().max() > 0
    # Softmax does not see a constant added to a row, so no row is pushed up or down as a whole.
    torch.testing.assert_close(student.grad.sum(1), torch.zeros(N, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", TAUGHT)
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    teacher = TEACHER.clone().requires_grad_()
    loss(make(name), STUDENT.clone().requires_grad_(), teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("name", TAUGHT)
def test_a_taught_method_does_not_pass_without_its_teacher(name: str) -> None:
    with pytest.raises(ValueError, match="teacher"):
        make(name)(Outputs(STUDENT), None, batch())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", LOGIT_METHODS)
def test_extreme_logits_give_finite_losses_and_gradients(name: str, dtype: torch.dtype) -> None:
    extremes = torch.tensor([[100.0, -100, 0, 100, -100], [-100, 100, -100, -100, -100]], dtype=dtype)
    for config in [{}] if methods[name].teacher == "none" else [{}, {"temperature": 1}]:
        for labels in (torch.tensor([0, 1]), torch.tensor([1, 0])):
            student = extremes.clone().requires_grad_()
            value = loss(make({name: config}), student, extremes.flip(0).clone(), labels)
            value.backward()
            assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
            assert value.isfinite()
            assert student.grad is not None and student.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", LOGIT_METHODS)
def test_half_precision_inputs_are_computed_in_full(name: str, dtype: torch.dtype) -> None:
    student, teacher = STUDENT.to(dtype), TEACHER.to(dtype)
    exact = loss(make(name), student.double(), teacher.double())
    torch.testing.assert_close(loss(make(name), student, teacher).double(), exact, rtol=1e-5, atol=1e-5)
    assert in_full_precision(student).dtype == torch.float32


@pytest.mark.parametrize("name", LOGIT_METHODS)
def test_some_steps_lower_the_loss(name: str) -> None:
    method, student = make(name), STUDENT.clone().requires_grad_()
    optimiser = torch.optim.SGD([student], lr=0.05)
    course = []
    for _ in range(20):
        optimiser.zero_grad()
        value = loss(method, student, TEACHER)
        value.backward()
        optimiser.step()
        course.append(value.item())
    assert all(after < before for before, after in pairwise(course))


@pytest.mark.parametrize("name", LOGIT_METHODS)
def test_a_loss_is_a_mean_over_images(name: str) -> None:
    method = make(name)
    single = [loss(method, STUDENT[i : i + 1], TEACHER[i : i + 1], LABELS[i : i + 1]) for i in range(N)]
    torch.testing.assert_close(loss(method, STUDENT, TEACHER), torch.stack(single).mean())


@pytest.mark.parametrize("name", ["random_teacher", "self"])
def test_controls_differ_from_kd_in_the_teacher_alone(name: str) -> None:
    assert torch.equal(loss(make(name), STUDENT, TEACHER), loss(make("kd"), STUDENT, TEACHER))
    assert methods[name].teacher != methods["kd"].teacher
    assert methods[name].Config().model_dump() == methods["kd"].Config().model_dump()


def test_cross_entropy_is_given_an_image_at_a_time() -> None:
    expected = -STUDENT.log_softmax(1).gather(1, LABELS[:, None])[:, 0]
    torch.testing.assert_close(cross_entropy(STUDENT, LABELS), expected)
