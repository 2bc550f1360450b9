"""Golden values of the methods of relations with memories or kernels, and of those without a teacher."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from distillab.methods import Pair, build_method, parse_method
from distillab.methods.relations.cc import congruence
from distillab.methods.relations.pkt import neighbor_divergence, neighbors
from distillab.models import Outputs
from support.methods import (
    INPUTS,
    LABELS,
    STUDENT,
    STUDENT_EMBEDDING,
    STUDENT_MAPS,
    TEACHER,
    TEACHER_EMBEDDING,
    TEACHER_MAPS,
    C,
    N,
    batch,
    make,
    shapes,
)

Array = np.ndarray
S_OUT = Outputs(STUDENT, STUDENT_EMBEDDING, (STUDENT_MAPS,))
T_OUT = Outputs(TEACHER, TEACHER_EMBEDDING, (TEACHER_MAPS,))
E_S, E_T = STUDENT_EMBEDDING.numpy(), TEACHER_EMBEDDING.numpy()


def log_softmax(z: Array, temperature: float = 1) -> Array:
    z = z / temperature
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def kl(teacher: Array, student: Array, temperature: float = 1) -> Array:
    log_p = log_softmax(teacher, temperature)
    return (np.exp(log_p) * (log_p - log_softmax(student, temperature))).sum(1)


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_sp_has_its_golden_value() -> None:
    assert make("sp").total(S_OUT, T_OUT, batch())["sp"].item() == pytest.approx(3000 * 0.43765989, abs=1e-4)


def test_cc_has_its_golden_value() -> None:
    assert congruence(STUDENT_EMBEDDING, TEACHER_EMBEDDING).item() == pytest.approx(1.20870541, abs=1e-5)
    cc = make("cc")
    cc.embed_student = cc.embed_teacher = nn.Identity()
    assert cc.total(S_OUT, T_OUT, batch())["cc"].item() == pytest.approx(0.02 * 1.20870541, abs=1e-7)


def test_pkt_has_its_golden_value() -> None:
    found = make("pkt").total(S_OUT, T_OUT, batch())["pkt"].item()
    assert found / 30000 == pytest.approx(0.17800448, abs=1e-5)


def pair_probabilities(kernel: str, e: Array) -> Array:
    distance = np.sqrt(((e[:, None] - e[None]) ** 2).sum(2) + 1e-6)
    similar = {
        "rbf": np.exp(-distance / distance.mean()),
        "student_t": 1 / (1 + distance),
        "cosine": (unit(e) @ unit(e).T + 1) / 2,
    }
    return similar[kernel] / similar[kernel].sum(1, keepdims=True)


def divergence(kind: str, t: Array, s: Array) -> float:
    ratio = np.log((t + 1e-7) / (s + 1e-7))
    values = {
        "kl": t * ratio,
        "jeffreys": (t - s) * ratio,
        "squared": (t - s) ** 2,
        "absolute": np.abs(t - s),
    }
    return float(values[kind].mean())


@pytest.mark.parametrize("kernel", ["cosine", "rbf", "student_t", "combined"])
@pytest.mark.parametrize("kind", ["kl", "jeffreys", "squared", "absolute"])
def test_kernels_and_divergences_match_their_formulas(kernel: str, kind: str) -> None:
    parts = ["cosine", "student_t"] if kernel == "combined" else [kernel]
    expected = sum(divergence(kind, pair_probabilities(k, E_T), pair_probabilities(k, E_S)) for k in parts)
    found = make({"pkt": {"kernel": kernel, "divergence": kind, "pkt_weight": 1}}).total(
        S_OUT, T_OUT, batch()
    )
    assert found["pkt"].item() == pytest.approx(expected, abs=1e-6)


@given(scale=st.floats(1, 100), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_neighbor_probabilities_ignore_scale_and_sum_to_one(scale: float, seed: int) -> None:
    features = torch.from_numpy(np.random.default_rng(seed).normal(0, 10, size=(N, 7)))
    for kernel in ("cosine", "rbf", "student_t"):
        probabilities = neighbors(features, kernel)  # type: ignore[arg-type]
        torch.testing.assert_close(probabilities.sum(1), torch.ones(N, dtype=torch.float64))
        if kernel != "student_t":
            torch.testing.assert_close(
                neighbors(scale * features, kernel), probabilities, rtol=1e-3, atol=1e-4
            )  # type: ignore[arg-type]


def test_multilayer_pkt_has_its_golden_value() -> None:
    networks = (
        Outputs(out.logits, out.embedding, (maps, maps**2))
        for out, maps in ((S_OUT, STUDENT_MAPS), (T_OUT, TEACHER_MAPS))
    )
    terms = make("multilayer_pkt").total(*networks, batch(progress=0.02))
    flat = [maps.flatten(1).numpy() for maps in (STUDENT_MAPS, TEACHER_MAPS)]
    last, early = (
        sum(
            divergence("jeffreys", pair_probabilities(k, e_t), pair_probabilities(k, e_s))
            for k in ("cosine", "student_t")
        )
        for e_s, e_t in ((E_S, E_T), tuple(flat))
    )
    assert terms["last"].item() == pytest.approx(last, abs=1e-6)
    assert terms["early"].item() == pytest.approx(100 * 0.7 * early, rel=1e-5)
    both = neighbor_divergence(STUDENT_EMBEDDING, STUDENT_EMBEDDING, "combined", "kl")
    assert both.item() == pytest.approx(0, abs=1e-12)


def test_crd_has_its_golden_value() -> None:
    crd = make({"crd": {"width": 3, "negatives": 100}})
    crd.embed = nn.ModuleList([nn.Identity(), nn.Identity()])
    of_student, of_teacher = crd.student_memory.numpy().copy(), crd.teacher_memory.numpy().copy()
    expected = 0.0
    for v, memory in ((unit(E_S), of_teacher), (unit(E_T), of_student)):
        g = np.exp(v @ memory.T / 0.07)
        z = g.mean() * N  # all labels differ, so that every image has its own and three others
        h_same = np.diag(g) / z
        noise = (N - 1) / N
        loss = np.log(h_same / (h_same + noise))
        for n in range(N):
            loss[n] += sum(np.log(noise / (g[n, k] / z + noise)) for k in range(N) if k != n)
        expected -= loss.mean()
    found = crd.total(S_OUT, T_OUT, batch())["crd"].item()
    assert found == pytest.approx(0.8 * expected, rel=1e-5)
    moved = unit(0.5 * of_student + 0.5 * unit(E_S))
    np.testing.assert_allclose(crd.student_memory.numpy(), moved, rtol=1e-9)


def test_crd_has_no_negatives_of_the_same_class() -> None:
    """With a single class there are no negatives."""
    labels = torch.zeros(N, dtype=torch.long)
    pair = Pair(shapes(), shapes(), N, labels=labels)
    crd = build_method(parse_method("crd", "methods"), pair).double()
    assert crd.total(S_OUT, T_OUT, batch())["crd"].item() == pytest.approx(0, abs=1e-4)


def test_infonce_has_its_golden_value() -> None:
    infonce = make({"infonce": {"queue": 1}})
    infonce.embed = nn.Identity()
    similar = unit(E_S) @ unit(E_T).T / 0.07
    first = -np.diag(log_softmax(similar)).mean()
    assert infonce.total(S_OUT, T_OUT, batch())["contrast"].item() == pytest.approx(first, abs=1e-9)
    doubled = np.concatenate([similar, similar], axis=1)  # the queue now holds the same images
    second = -log_softmax(doubled)[np.arange(N), np.arange(N)].mean()
    others = replace(batch(), positions=batch().positions + N)
    assert infonce.total(S_OUT, T_OUT, others)["contrast"].item() == pytest.approx(second, abs=1e-9)
    assert infonce.queue.filled == N


def test_infonce_leaves_out_earlier_views_of_the_example() -> None:
    """What the teacher found of it before, under another view, is no other image."""
    infonce = make({"infonce": {"queue": 1}})
    infonce.embed = nn.Identity()
    infonce.total(S_OUT, T_OUT, batch())
    similar = unit(E_S) @ unit(E_T).T / 0.07
    away = np.where(np.eye(N, dtype=bool), -np.inf, similar)
    expected = -log_softmax(np.concatenate([similar, away], axis=1))[np.arange(N), np.arange(N)].mean()
    assert infonce.total(S_OUT, T_OUT, batch())["contrast"].item() == pytest.approx(expected, abs=1e-9)


def test_mutual_learning_has_its_golden_value() -> None:
    mutual = make("mutual_learning")
    other = mutual.other(INPUTS).detach().numpy()
    terms = mutual.total(S_OUT, None, batch())
    own = -log_softmax(other)[np.arange(N), LABELS.numpy()].mean()
    assert terms["kd"].item() == pytest.approx(kl(other, STUDENT.numpy()).mean(), abs=1e-9)
    assert terms["other_kd"].item() == pytest.approx(kl(STUDENT.numpy(), other).mean(), abs=1e-9)
    assert terms["other_ce"].item() == pytest.approx(own, abs=1e-9)


def test_other_student_computes_in_the_same_precision() -> None:
    mutual = make("mutual_learning").float()
    precise = mutual.other(INPUTS.float()).detach()
    coarse = replace(batch(), inputs=INPUTS.float(), autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    dtypes: list[torch.dtype] = []
    mutual.other.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    mutual.total(Outputs(STUDENT.float()), None, coarse)
    assert dtypes == [torch.bfloat16] and precise.dtype == torch.float32


def test_teacher_free_has_its_golden_value() -> None:
    virtual = np.full((N, C), 0.01 / (C - 1))
    virtual[np.arange(N), LABELS.numpy()] = 0.99
    target = np.exp(log_softmax(np.log(virtual) / 20))
    expected = 0.1 * (target * (np.log(target) - log_softmax(STUDENT.numpy()))).sum(1).mean()
    terms = make("teacher_free").total(S_OUT, None, batch())
    assert terms["kd"].item() == pytest.approx(expected, abs=1e-9)
    own = -log_softmax(STUDENT.numpy())[np.arange(N), LABELS.numpy()].mean()
    assert terms["ce"].item() == pytest.approx(0.9 * own, abs=1e-9)


def test_progressive_self_has_its_golden_value() -> None:
    method = make("progressive_self")
    first = method.total(S_OUT, None, batch(progress=0.5))
    own = -log_softmax(STUDENT.numpy())[np.arange(N), LABELS.numpy()]
    assert first["ce"].item() == pytest.approx(own.mean(), abs=1e-9)
    assert first["self"].item() == 0
    second = method.total(T_OUT, None, batch(progress=0.5))
    before = np.exp(log_softmax(STUDENT.numpy()))
    soft = -(before * log_softmax(TEACHER.numpy())).sum(1).mean()
    own = -log_softmax(TEACHER.numpy())[np.arange(N), LABELS.numpy()].mean()
    assert second["ce"].item() == pytest.approx(0.6 * own, abs=1e-6)
    assert second["self"].item() == pytest.approx(0.4 * soft, abs=1e-6)


def test_every_method_has_a_golden_value() -> None:
    """Each registered method names its test."""
    from pathlib import Path

    from distillab.methods import methods

    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    by_identity = {
        "label_smoothing",
        "random_teacher",
        "self",
        "ce",
        "ce_long",
        "ce_throughout",
        "dot",
    }  # its mixture; kd; F.cross_entropy; training/test_two_momenta.py
    missing = [
        name
        for name in methods
        if f"def test_{name}_has_its_golden_value" not in text and name not in by_identity
    ]
    assert missing == []
