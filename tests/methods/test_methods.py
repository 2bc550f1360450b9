"""What holds for every method, over the registry, and the golden values and identities of each loss.

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

from distillab.errors import RequestError
from distillab.methods import MethodSpec, Pair, build_method, methods, parse_method
from distillab.methods.divergence import cross_entropy, decoupled_kl, in_full_precision, kl_divergence
from distillab.models import Outputs, OutputShapes
from distillab.models.outputs import OF_STAGES
from support.methods import (
    DRAWING,
    EARLY,
    HELD_FIXED,
    LABELS,
    NORMALISING,
    OF_CLASSIFIERS,
    OF_LOGITS_ALONE,
    OF_RAW_LOGITS,
    RELATIONAL,
    STAGES,
    STUDENT,
    STUDENT_RAW,
    TAUGHT,
    TEACHER,
    TEACHER_RAW,
    WITHOUT_LABELS,
    C,
    D,
    N,
    batch,
    cast,
    leaves,
    loss,
    make,
    outputs,
    rows,
    shapes,
)

# Golden values


def test_cross_entropy_has_its_golden_value() -> None:
    assert make("ce").total(Outputs(STUDENT), None, batch())["ce"].item() == pytest.approx(
        1.57244467, abs=1e-5
    )


@pytest.mark.parametrize(("temperature", "golden"), [(1, 1.67634884), (2, 2.27599621), (4, 2.47539707)])
def test_kd_has_its_golden_value(temperature: float, golden: float) -> None:
    kd = make({"kd": {"temperature": temperature, "kd_weight": 1, "ce_weight": 0.5}})
    terms = kd.total(Outputs(STUDENT), Outputs(TEACHER), batch())
    assert terms["kd"].item() == pytest.approx(golden, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(0.5 * 1.57244467, abs=1e-5)


def test_kd_weighs_its_terms_as_published() -> None:
    terms = make("kd").total(Outputs(STUDENT), Outputs(TEACHER), batch())
    assert terms["kd"].item() == pytest.approx(0.9 * 2.47539707, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(0.1 * 1.57244467, abs=1e-5)


def test_dkd_has_its_golden_value() -> None:
    terms = make("dkd").total(Outputs(STUDENT), Outputs(TEACHER), batch())
    assert terms["tckd"].item() == pytest.approx(0.59369249, abs=1e-5)
    assert terms["nckd"].item() == pytest.approx(8 * 2.23024382, abs=1e-5)
    assert (terms["tckd"] + terms["nckd"]).item() == pytest.approx(18.43564303, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(1.57244467, abs=1e-5)


@pytest.mark.parametrize(
    ("temperature", "inter", "intra"), [(1, 1.14679632, 1.04821784), (4, 1.00562626, 0.97403641)]
)
def test_dist_has_its_golden_value(temperature: float, inter: float, intra: float) -> None:
    dist = make({"dist": {"temperature": temperature, "dist_weight": 1}})
    terms = dist.total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    assert terms["inter"].item() == pytest.approx(temperature**2 * inter, abs=1e-5)
    assert terms["intra"].item() == pytest.approx(temperature**2 * intra, abs=1e-5)


def test_dist_weighs_its_terms_as_published() -> None:
    terms = make("dist").total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    assert (terms["inter"] + terms["intra"]).item() == pytest.approx(2 * 31.67460260, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(1.57244467, abs=1e-5)


def test_at_has_its_golden_value() -> None:
    terms = make("at").total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    assert terms["at"].item() / 1000 == pytest.approx(0.01419136, abs=1e-8)
    assert terms["ce"].item() == pytest.approx(1.57244467, abs=1e-5)


def test_rkd_has_its_golden_value() -> None:
    terms = make("rkd").total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    assert terms["distance"].item() == pytest.approx(25 * 0.11079908, abs=1e-5)
    assert terms["angle"].item() == pytest.approx(50 * 0.08652530, abs=1e-5)
    assert (terms["distance"] + terms["angle"]).item() == pytest.approx(7.09624212, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(1.57244467, abs=1e-5)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.025, 0.3), (20 / 240, 1.0), (0.9, 1.0)])
def test_dkd_warms_up_over_a_share_of_training(progress: float, share: float) -> None:
    dkd = make("dkd")
    full = dkd.total(Outputs(STUDENT), Outputs(TEACHER), batch(progress=0.5))
    now = dkd.total(Outputs(STUDENT), Outputs(TEACHER), batch(progress=progress))
    for part in ("tckd", "nckd"):
        assert now[part].item() == pytest.approx(share * full[part].item(), rel=1e-12)
    assert now["ce"].item() == full["ce"].item()
    assert batch(progress=0.0).warmed_up(0.0) == 1.0


@given(smoothing=st.floats(0, 1))
@settings(max_examples=30)
def test_label_smoothing_is_its_mixture(smoothing: float) -> None:
    terms = make({"label_smoothing": {"smoothing": smoothing}}).total(Outputs(STUDENT), None, batch())
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
        terms = (
            sum(method.total(Outputs(student), Outputs(teacher), batch(label)).values())
            for method in (dkd, kd)
        )
        torch.testing.assert_close(*terms, rtol=1e-8, atol=1e-10)


@given(pair=logit_pairs, temperature=st.floats(0.5, 20))
@settings(max_examples=30)
def test_equal_outputs_give_zero_loss(pair: Tensor, temperature: float) -> None:
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


def test_decoupled_rest_of_two_classes_is_zero() -> None:
    labels = torch.tensor([0, 1, 1, 0])
    target, others = decoupled_kl(STUDENT[:, :2], TEACHER[:, :2], labels)
    torch.testing.assert_close(target, kl_divergence(STUDENT[:, :2], TEACHER[:, :2]))
    assert torch.equal(others, torch.zeros_like(others))


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("kind", ["one image", "twins", "silent"])
def test_degenerate_batches_give_finite_losses_and_gradients(name: str, kind: str) -> None:
    """A batch of one, images that the student cannot tell apart, a student whose features are all zero."""
    student, teacher, labels = STUDENT_RAW, TEACHER_RAW, LABELS
    if kind == "one image":
        student, teacher, labels = rows(student, [0]), rows(teacher, [0]), labels[:1]
    if kind == "twins":
        student = rows(student, [0, 0, 1, 2])
    if kind == "silent":
        student = (student[0], torch.zeros_like(student[1]), torch.zeros_like(student[2]))
    student = leaves(cast(student, torch.float32))
    value = loss(make(name), student, cast(teacher, torch.float32), labels)
    value.backward()
    assert value.isfinite()
    for leaf in student:
        assert leaf.grad is None or leaf.grad.isfinite().all()
        # Normalising what is all the same makes much of little, the more often the more.
        assert leaf.grad is None or leaf.grad.abs().max() < (1e9 if name in NORMALISING else 1e4)


# Every method

FEATURES = {"embedding", "classifier", *OF_STAGES}


@pytest.mark.parametrize("name", methods)
def test_docstrings_hold_formula_and_paper(name: str) -> None:
    kind = methods[name]
    text = kind.__doc__ or ""
    assert "p_" in text and "mean_n" in text, "the formula"
    assert "Paper:" in text
    for part in kind.paper.split(", ")[:1]:
        assert part.split(" ")[0] in text.split("Paper:")[1]
    assert kind.paper or "Paper: none" in text
    assert all(info.default is not None for info in kind.Config.model_fields.values())


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_gradients_are_those_of_the_loss(name: str) -> None:
    method = make(name)
    student = leaves(STUDENT_RAW)
    if name not in HELD_FIXED:
        assert torch.autograd.gradcheck(
            lambda *student_raw: loss(make(name), student_raw, TEACHER_RAW), student
        )
    loss(method, student, TEACHER_RAW).backward()
    logits, embedding, maps = (leaf.grad for leaf in student)
    assert logits is not None and bool(logits.any()) == (
        name in OF_LOGITS_ALONE or name not in [*WITHOUT_LABELS, *EARLY]
    )
    # Softmax does not see a constant added to a row, so no row is pushed up or down as a whole.
    if name not in OF_RAW_LOGITS:
        torch.testing.assert_close(logits.sum(1), torch.zeros(N, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (embedding is not None and bool(embedding.any())) == ("embedding" in method.needs)
    assert (maps is not None and bool(maps.any())) == (not method.needs.isdisjoint(OF_STAGES))


@pytest.mark.parametrize("name", TAUGHT)
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    teacher = leaves(TEACHER_RAW)
    loss(make(name), leaves(STUDENT_RAW), teacher).backward()
    assert [leaf.grad for leaf in teacher] == [None, None, None]


@pytest.mark.parametrize("name", TAUGHT)
def test_missing_teacher_outputs_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="teacher"):
        make(name).total(outputs(STUDENT_RAW), None, batch())


@pytest.mark.parametrize("name", [name for name in TAUGHT if methods[name].needs & FEATURES])
def test_missing_outputs_are_refused(name: str) -> None:
    """Networks are refused when the method is built, and outputs when it is called."""
    stages = STAGES.get(name, 1)
    whole, bare = shapes(stages=stages), OutputShapes(C)
    of_both = bool(parse_method(name, "methods").teacher_needs & FEATURES)
    for student, teacher, role in ((bare, whole, "student"), (whole, bare, "teacher"))[: 1 + of_both]:
        with pytest.raises(RequestError, match=f"method {name} needs .* the {role} .*allowed"):
            build_method(parse_method(name, "methods"), Pair(student, teacher, N))
    for student_outputs, teacher_outputs in (
        (Outputs(STUDENT), outputs(TEACHER_RAW, stages)),
        (outputs(STUDENT_RAW, stages), Outputs(TEACHER)),
    )[: 1 + of_both]:
        with pytest.raises(ValueError, match="of both networks" if of_both else "of the student"):
            make(name).total(student_outputs, teacher_outputs, batch())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_extreme_outputs_give_finite_losses_and_gradients(name: str, dtype: torch.dtype) -> None:
    extremes = torch.tensor([[100.0, -100, 0, 100, -100], [-100, 100, -100, -100, -100]])
    features = torch.cat((extremes[:, :4], extremes[:, :4].flip(1)), dim=1)
    # Of two stages, products of products: the fourth power of features does not fit into float16.
    large = 600 if name not in STAGES else 0.1
    student_raw = cast((extremes, large * extremes[:, :D], large * features.view(2, 2, 2, 2)), dtype)
    teacher_raw = cast((extremes.flip(0), student_raw[1].flip(0), student_raw[2].flip(0)), dtype)
    for config in [{"temperature": 1}, {}] if "temperature" in methods[name].Config.model_fields else [{}]:
        for labels in (torch.tensor([0, 1]), torch.tensor([1, 0])):
            student = leaves(student_raw)
            value = loss(make({name: config}), student, teacher_raw, labels)
            value.backward()
            assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
            assert value.isfinite()
            assert student[0].grad is not None
            assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in student)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_half_precision_inputs_are_computed_in_full(name: str, dtype: torch.dtype) -> None:
    student, teacher = cast(STUDENT_RAW, dtype), cast(TEACHER_RAW, dtype)
    exact = loss(make(name), cast(student, torch.float64), cast(teacher, torch.float64))
    torch.testing.assert_close(loss(make(name), student, teacher).double(), exact, rtol=1e-5, atol=1e-5)
    assert in_full_precision(student[0]).dtype == torch.float32


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_gradient_steps_lower_the_loss(name: str) -> None:
    """Steps of one length, since the weights of methods differ by orders of magnitude."""
    student = leaves(STUDENT_RAW)
    course = []
    for _ in range(20):
        value = loss(make(name), student, TEACHER_RAW)
        slopes = torch.autograd.grad(value, student, materialize_grads=True, allow_unused=True)
        length = torch.cat([slope.flatten() for slope in slopes]).norm()
        with torch.no_grad():
            for leaf, slope in zip(student, slopes, strict=True):
                leaf -= 0.0005 * slope / length
        course.append(value.item())
    assert all(after < before for before, after in pairwise(course))


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_parameters_of_methods_get_gradients(name: str) -> None:
    """Connectors and other parameters get a gradient at some time of the training."""
    method = make(name)
    for progress in (0.05, 0.5):
        value = loss(method, leaves(STUDENT_RAW), TEACHER_RAW, progress=progress)
        value.backward()
    assert [each for each, parameter in method.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_losses_are_means_over_examples_unless_they_compare_them(name: str) -> None:
    whole = loss(make(name), STUDENT_RAW, TEACHER_RAW)
    single = [
        loss(make(name), rows(STUDENT_RAW, [i]), rows(TEACHER_RAW, [i]), LABELS[[i]], order=[i])
        for i in range(N)
    ]
    assert torch.allclose(whole, torch.stack(single).mean()) == (name not in RELATIONAL)


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_order_of_a_batch_does_not_matter(name: str) -> None:
    backwards = [3, 2, 1, 0]
    student, teacher = rows(STUDENT_RAW, backwards), rows(TEACHER_RAW, backwards)
    turned = loss(make(name), student, teacher, LABELS[backwards], order=backwards)
    if name not in DRAWING:
        torch.testing.assert_close(turned, loss(make(name), STUDENT_RAW, TEACHER_RAW))


@pytest.mark.parametrize("name", ["random_teacher", "self"])
def test_controls_differ_from_kd_in_the_teacher_alone(name: str) -> None:
    assert torch.equal(*(loss(make(each), STUDENT_RAW, TEACHER_RAW) for each in (name, "kd")))
    assert methods[name].teacher != methods["kd"].teacher
    assert methods[name].Config().model_dump() == methods["kd"].Config().model_dump()


def test_cross_entropy_is_per_example() -> None:
    expected = -STUDENT.log_softmax(1).gather(1, LABELS[:, None])[:, 0]
    torch.testing.assert_close(cross_entropy(STUDENT, LABELS), expected)


@pytest.mark.parametrize("name", list(methods))
def test_revision_is_part_of_the_run_id(name: str) -> None:
    """Runs from before a revision are never taken for runs after it, nor continued as such."""
    spec = parse_method(name, "methods")
    written = spec.as_dict()
    assert MethodSpec.from_dict(written) == spec
    assert ("revision" in written) == (methods[name].revision > 1)
    with pytest.raises(RequestError, match=f"method {name} has been revised"):
        MethodSpec.from_dict({**written, "revision": methods[name].revision + 1})
