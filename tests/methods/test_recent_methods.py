"""Golden values of recent methods, computed in NumPy from the formulas of their authors' programs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods import Mixed, Pair, build_method, parse_method
from distillab.methods.features.kdpp import ClassMeans
from distillab.methods.features.wkd_features import moments_over_space
from distillab.methods.logits.abkd import alpha_beta_divergence
from distillab.methods.logits.wkd_logits import transport_cost
from distillab.models import Outputs, OutputShapes
from support.methods import (
    CLASSIFIER,
    LABELS,
    STUDENT,
    STUDENT_EMBEDDING,
    STUDENT_MAPS,
    STUDENT_RAW,
    TEACHER,
    TEACHER_EMBEDDING,
    TEACHER_MAPS,
    TEACHER_RAW,
    C,
    D,
    N,
    batch,
    make,
    outputs,
    shapes,
)

Array = np.ndarray
Z_S, Z_T, Y = STUDENT.numpy(), TEACHER.numpy(), LABELS.numpy()
E_S, E_T = STUDENT_EMBEDDING.numpy(), TEACHER_EMBEDDING.numpy()
ROWS = np.arange(N)


def softmax(z: Array, temperature: float = 1) -> Array:
    powers = np.exp(z / temperature)
    return powers / powers.sum(-1, keepdims=True)


def kl(target: Array, student: Array) -> Array:
    return (target * np.log(target / student)).sum(-1)


def ce(z: Array, labels: Array) -> float:
    return float(-np.log(softmax(z))[np.arange(len(z)), labels].mean())


def terms(entry: str | dict[str, object], progress: float = 0.5) -> dict[str, float]:
    found = make(entry).total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch(progress=progress))
    return {name: value.item() for name, value in found.items()}


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_hard_labels_has_its_golden_value() -> None:
    predicted = Z_T.argmax(1)
    assert (predicted != Y).any()
    expected = {"ce": 0.5 * ce(Z_S, Y), "hard": 0.5 * ce(Z_S, predicted)}
    assert terms("hard_labels") == pytest.approx(expected)


def test_hard_labels_alone_are_plain_training_on_the_teachers_labels() -> None:
    control = terms({"hard_labels": {"ce_weight": 0, "hard_weight": 1}})
    plain = make("ce").total(outputs(STUDENT_RAW), None, batch(TEACHER.argmax(1)))
    assert sum(control.values()) == pytest.approx(plain["ce"].item())


@pytest.mark.parametrize("exponent", [0.1, 0.5, 1.0])
def test_ttm_has_its_golden_value(exponent: float) -> None:
    powers = softmax(Z_T) ** exponent
    divergence = kl(powers / powers.sum(1, keepdims=True), softmax(Z_S))
    found = terms({"ttm": {"exponent": exponent}})
    assert found == pytest.approx({"ce": ce(Z_S, Y), "ttm": 45 * divergence.mean()})


def test_wttm_has_its_golden_value() -> None:
    powers = softmax(Z_T) ** 0.2
    sums = powers.sum(1, keepdims=True)
    divergence = kl(powers / sums, softmax(Z_S))
    expected = {"ce": ce(Z_S, Y), "wttm": 4 * (sums[:, 0] * divergence).mean()}
    assert terms("wttm") == pytest.approx(expected)
    weights = (
        terms({"wttm": {"exponent": 1.0}})["wttm"],
        terms({"ttm": {"exponent": 1.0, "ttm_weight": 4}})["ttm"],
    )
    assert weights[0] == pytest.approx(weights[1]), "probabilities sum to 1"


@pytest.mark.parametrize(("progress", "rise"), [(0.0, 0.0), (10 / 240, 0.5), (0.5, 1.0)])
def test_rld_has_its_golden_value(progress: float, rise: float) -> None:
    labels = torch.tensor([0, 2, 4, int(Z_T[3].argmin())])  # the last is the teacher's least likely class
    p_s, p_t = softmax(Z_S), softmax(Z_T)
    sure_s, sure_t = p_s[ROWS, labels], p_t.max(1)
    confidence = kl(np.stack((sure_t, 1 - sure_t), 1), np.stack((sure_s, 1 - sure_s), 1)).mean()
    below = []
    for n, y in enumerate(labels.tolist()):
        kept = [c for c in range(C) if Z_T[n, c] < Z_T[n, y]]
        below.append(kl(softmax(Z_T[n, kept], 4), softmax(Z_S[n, kept], 4)) if kept else 0.0)
    assert below[-1] == 0 and max(below) > 0
    found = make("rld").total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch(labels, progress))
    assert found["confidence"].item() == pytest.approx(rise * confidence)
    assert found["below"].item() == pytest.approx(rise * 8 * 16 * np.mean(below))
    assert found["ce"].item() == pytest.approx(ce(Z_S, labels.numpy()))


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.8, 0.3), (2.0, 1.0)])
def test_abkd_has_its_golden_value(alpha: float, beta: float) -> None:
    p_s, p_t = softmax(Z_S, 4), softmax(Z_T, 4)
    both = alpha + beta
    inner = p_t**alpha * p_s**beta - alpha / both * p_t**both - beta / both * p_s**both
    expected = 0.9 * 16 * (-inner.sum(1) / (alpha * beta)).mean()
    found = terms({"abkd": {"alpha": alpha, "beta": beta}})
    assert found == pytest.approx({"ce": 0.1 * ce(Z_S, Y), "kd": expected})


@pytest.mark.parametrize(
    ("alpha", "beta", "limit"),
    [
        (1.0, 0.0, kl(softmax(Z_T), softmax(Z_S))),
        (0.0, 1.0, kl(softmax(Z_S), softmax(Z_T))),
        (0.0, 0.0, 0.5 * (np.log(softmax(Z_S) / softmax(Z_T)) ** 2).sum(1)),
        (0.5, 0.5, 2 * ((softmax(Z_S) ** 0.5 - softmax(Z_T) ** 0.5) ** 2).sum(1)),
    ],
    ids=["forward KL", "reverse KL", "logarithms", "Hellinger"],
)
def test_abkd_contains_other_divergences(alpha: float, beta: float, limit: Array) -> None:
    log_t, log_s = TEACHER.log_softmax(1), STUDENT.log_softmax(1)
    np.testing.assert_allclose(alpha_beta_divergence(log_t, log_s, alpha, beta), limit, rtol=1e-9)
    near = alpha_beta_divergence(log_t, log_s, alpha + 1e-5, beta + 1e-5)
    np.testing.assert_allclose(near, limit, rtol=1e-3)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.0), (2.0, 0.0), (0.0, 0.5), (0.0, 2.0)])
def test_abkd_is_continuous_where_an_exponent_becomes_zero(alpha: float, beta: float) -> None:
    log_t, log_s = TEACHER.log_softmax(1), STUDENT.log_softmax(1)
    limit = alpha_beta_divergence(log_t, log_s, alpha, beta)
    near = alpha_beta_divergence(log_t, log_s, alpha or 1e-5, beta or 1e-5)
    np.testing.assert_allclose(near, limit, rtol=1e-3)


def sinkhorn(student: Array, teacher: Array, costs: Array) -> float:
    """One example, over the classes other than the label, as in the program."""
    kernel = np.exp(-costs / 0.05)
    u = np.full(len(student), 1 / len(student))
    for _ in range(10):
        v = teacher / (kernel.T @ u + 1e-8)
        u = student / (kernel @ v + 1e-8)
    return float((u[:, None] * kernel * v[None] * costs).sum())


@pytest.mark.parametrize(
    ("progress", "rise"), [(0.3, 1.0), (0.625, 1.0), (0.8125, 0.5), (1 - 1e-12, 0.0)], ids=str
)
def test_wkd_logits_has_its_golden_value(progress: float, rise: float) -> None:
    weights = CLASSIFIER.weight.detach().numpy()
    costs = 1 - np.exp(-(1 - unit(weights) @ unit(weights).T)) + 1e-8
    cost = 0.0
    for n, y in enumerate(Y):
        kept = np.array([c for c in range(C) if c != y])
        q_s, q_t = softmax(Z_S[n, kept], 8), softmax(Z_T[n, kept], 8)
        cost += sinkhorn(q_s, q_t, costs[np.ix_(kept, kept)]) / N
    target = -(softmax(Z_T)[ROWS, Y] * np.log(softmax(Z_S))[ROWS, Y]).mean()
    found = terms("wkd_logits", progress)
    expected = {"ce": ce(Z_S, Y), "target": target, "transport": 600 * rise * cost}
    assert found == pytest.approx(expected, abs=1e-6)


def test_transport_costs_least_between_equals() -> None:
    p = torch.tensor([[0.7, 0.1, 0.1, 0.1]], dtype=torch.float64)
    costs = torch.tensor(
        [[0.0, 0.1, 0.6, 0.6], [0.1, 0, 0.6, 0.6], [0.6, 0.6, 0, 0.6], [0.6, 0.6, 0.6, 0]],
        dtype=torch.float64,
    )
    near, far = p[:, [1, 0, 2, 3]], p[:, [2, 1, 0, 3]]
    found = [transport_cost(p, q, costs, 0.05, 500).item() for q in (p, near, far)]
    assert found[0] < found[1] < found[2]
    assert found[2] == pytest.approx(0.6 * 0.6, abs=0.02), "0.6 of the probability moves at a cost of 0.6"


def test_wkd_logits_needs_a_teacher_of_the_same_classes() -> None:
    with pytest.raises(
        RequestError, match="method wkd_logits needs a teacher of the student's 5 classes, not 6"
    ):
        build_method(parse_method("wkd_logits", "methods"), Pair(shapes(C), shapes(C + 1), N))


def test_wkd_features_has_its_golden_value() -> None:
    method = make("wkd_features")
    method.connector = nn.Identity()
    teacher = torch.cat((TEACHER_MAPS, TEACHER_MAPS**2), dim=3)  # another size
    found = method(Outputs(STUDENT, maps=(STUDENT_MAPS,)), Outputs(TEACHER, maps=(teacher,)), batch())
    places_s, places_t = (x.numpy().reshape(N, 2, -1) for x in (STUDENT_MAPS, teacher))
    means = ((places_s.mean(2) - places_t.mean(2)) ** 2).sum(1).mean()
    deviations = [np.sqrt(places.var(2, ddof=1) + 1e-5) for places in (places_s, places_t)]
    assert found["means"].item() == pytest.approx(0.08 * 4 * means)
    spread = ((deviations[0] - deviations[1]) ** 2).sum(1).mean()
    assert found["deviations"].item() == pytest.approx(0.08 * spread)
    late = method(
        Outputs(STUDENT, maps=(STUDENT_MAPS,)), Outputs(TEACHER, maps=(teacher,)), batch(progress=0.8125)
    )
    assert late["means"].item() == pytest.approx(0.5 * found["means"].item())


def test_single_place_has_no_spread() -> None:
    mean, deviation = moments_over_space(STUDENT_MAPS[:, :, :1, :1])
    torch.testing.assert_close(mean, STUDENT_MAPS[:, :, 0, 0])
    torch.testing.assert_close(deviation, torch.full_like(mean, math.sqrt(1e-5)))


def test_ickd_has_its_golden_value() -> None:
    method = make("ickd")
    method.connector = nn.Identity()
    teacher = torch.cat((TEACHER_MAPS, TEACHER_MAPS**2), dim=3)
    found = method(Outputs(STUDENT, maps=(STUDENT_MAPS,)), Outputs(TEACHER, maps=(teacher,)), batch())
    total = 0.0
    for f_s, f_t in zip(STUDENT_MAPS.numpy(), teacher.numpy(), strict=True):
        gram_s, gram_t = (unit(f.reshape(2, -1) @ f.reshape(2, -1).T) for f in (f_s, f_t))
        total += ((gram_s - gram_t) ** 2).sum() / 2 / N
    assert found["ickd"].item() == pytest.approx(2.5 * total)


def test_kdpp_has_its_golden_value() -> None:
    method = make("kdpp")
    student, teacher = Outputs(STUDENT, STUDENT_EMBEDDING), Outputs(TEACHER, TEACHER_EMBEDDING)
    method.embed = nn.Identity()
    found = method(student, teacher, batch(progress=1 / 24))
    kd = kl(softmax(Z_T, 4), softmax(Z_S, 4)).mean()
    assert found["kd"].item() == pytest.approx(0.5 * 16 * kd)
    means = np.stack([E_T[y == Y].sum(0) for y in LABELS.tolist()])
    along = (E_S * means).sum(1) / np.linalg.norm(means, axis=1)
    longest = np.maximum(np.linalg.norm(E_S, axis=1), np.linalg.norm(E_T, axis=1))
    assert found["direction"].item() == pytest.approx(2 * (1 - along / longest).mean())


def test_kdpp_is_zero_for_a_long_embedding_in_that_direction() -> None:
    method = make("kdpp")
    method.embed = nn.Identity()
    same = torch.ones(N, D)
    teacher = Outputs(TEACHER, same)
    terms = [method(Outputs(STUDENT, factor * same), teacher, batch()) for factor in (0.5, 1.0, 3.0)]
    assert [found["direction"].item() for found in terms] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)


def test_kdpp_averages_the_embeddings_of_a_class_over_batches() -> None:
    means = ClassMeans(classes=2, width=2)
    means(torch.tensor([[1.0, 0.0], [5.0, 5.0]]), torch.tensor([0, 1]))
    found = means(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    torch.testing.assert_close(found, torch.full((1, 2), 0.5**0.5))


def test_kdpp_leaves_out_examples_without_a_label() -> None:
    labels = LABELS.clone()
    labels[1:] = -1
    method = make("kdpp")
    found = method(outputs(STUDENT_RAW), outputs(TEACHER_RAW), replace(batch(), labels=labels))
    labels[0] = -1
    none = method(outputs(STUDENT_RAW), outputs(TEACHER_RAW), replace(batch(), labels=labels))
    assert found["direction"].item() > 0 and none["direction"].item() == 0


def test_srd_has_its_golden_value() -> None:
    method = make("srd")
    weight, bias = (p.detach().numpy() for p in method.projector.parameters())  # type: ignore[union-attr, operator]
    projected = E_S @ weight.T + bias
    b_s, b_t = ((e - e.mean(0)) / np.sqrt(e.var(0) + 1e-4) for e in (projected, E_T))
    found = method.total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    assert found["features"].item() == pytest.approx(2 * np.log((np.abs(b_s - b_t) ** 4).sum()))
    assert found["kd"].item() == pytest.approx(kl(softmax(Z_T), softmax(Z_S)).mean())
    norm = nn.BatchNorm1d(D, eps=1e-4, affine=False).double()
    np.testing.assert_allclose(norm(TEACHER_EMBEDDING), b_t, rtol=1e-9)


def test_vkd_has_its_golden_value() -> None:
    method = make("vkd")
    rotation = method.projector.weight.detach().numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(D), atol=1e-6)
    target = (E_T - E_T.mean(1, keepdims=True)) / np.sqrt(E_T.var(1, keepdims=True) + 1e-5)
    gap = np.abs(E_S @ rotation.T - target)
    smooth = np.where(gap < 1, 0.5 * gap**2, gap - 0.5).mean()
    found = method.total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    expected = {"ce": ce(Z_S, Y), "features": smooth, "kd": kl(softmax(Z_T), softmax(Z_S)).mean()}
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize(("student", "teacher"), [(3, 8), (8, 3), (4, 4)])
def test_projection_of_vkd_stays_orthogonal_while_it_learns(student: int, teacher: int) -> None:
    torch.manual_seed(0)
    pair = Pair(OutputShapes(C, student), OutputShapes(C, teacher), N)
    method = build_method(parse_method("vkd", "methods"), pair)
    given = (
        Outputs(STUDENT.float(), torch.randn(N, student)),
        Outputs(TEACHER.float(), torch.randn(N, teacher)),
    )
    optimizer = torch.optim.SGD(method.parameters(), lr=0.5)
    values = []
    for _ in range(10):
        optimizer.zero_grad()
        value = method(*given, batch())["features"]
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]
    weight = method.projector.weight.detach()  # type: ignore[union-attr]
    short = weight @ weight.T if teacher <= student else weight.T @ weight
    torch.testing.assert_close(short, torch.eye(min(student, teacher)), atol=1e-5, rtol=0)


def test_queue_similarity_has_its_golden_value() -> None:
    method = make({"queue_similarity": {"queue": 1, "temperature": 0.5}})
    method.embed = nn.Identity()
    v, t = unit(E_S), unit(E_T)

    def expected(rows: Array) -> float:
        return float(kl(softmax(t @ rows.T, 0.5), softmax(v @ rows.T, 0.5)).mean())

    first, second = (
        method.total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())["similarity"].item()
        for _ in range(2)
    )
    assert first == pytest.approx(expected(t))
    assert second == pytest.approx(expected(np.concatenate((t, t)))) == pytest.approx(first)
    moved = Outputs(TEACHER, TEACHER_EMBEDDING.flip(1))
    other = unit(E_T[:, ::-1])
    found = method.total(outputs(STUDENT_RAW), moved, batch())["similarity"].item()
    rows = np.concatenate((other, t))
    assert found == pytest.approx(kl(softmax(other @ rows.T, 0.5), softmax(v @ rows.T, 0.5)).mean())


def test_queue_similarity_uses_no_label() -> None:
    entry: dict[str, object] = {"queue_similarity": {"ce_weight": 0}}
    unlabelled = batch(torch.full((N,), -1))
    found = make(entry).total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), unlabelled)
    assert found["ce"].item() == 0 and found["similarity"].item() > 0
    assert "every_label" not in parse_method(entry, "methods").needs


@pytest.mark.parametrize("name", ["rld", "wkd_logits"])
def test_label_is_the_dominant_one_of_a_mixture(name: str) -> None:
    others = torch.tensor([3, 2, 0, 4])
    share: Tensor = torch.full((N,), 0.3)
    mixed = replace(batch(), mixed=Mixed(others, share))
    networks = outputs(STUDENT_RAW), outputs(TEACHER_RAW)
    found, expected = make(name).total(*networks, mixed), make(name).total(*networks, batch(others))
    for term in found.keys() - {"ce"}:
        torch.testing.assert_close(found[term], expected[term])
