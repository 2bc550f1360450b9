"""Probabilistic transfer and its baselines: every kernel and divergence, labels, and linear hints."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.errors import RequestError
from distillab.methods import Batch, Mixed, Pair, build_method, parse_method
from distillab.methods.relations.pkt import (
    WITH_BANDWIDTH,
    Divergence,
    Kernel,
    label_divergence,
    label_similarity,
    neighbor_divergence,
    neighbors,
)
from distillab.models import Outputs, OutputShapes
from distillab.tasks import EmbeddingTask, MultiLabel
from support.methods import batch

Array = npt.NDArray[np.float64]
SIMPLE = [kernel for kernel in get_args(Kernel) if kernel != "combined"]
E_S = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.5]])
E_T = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 2.0, 0.0], [4.0, 0.0, 1.0]])
FORMULAS: dict[str, Any] = {
    "kl": lambda t, s: t * np.log(t / s),
    "jeffreys": lambda t, s: (t - s) * (np.log(t) - np.log(s)),
    "squared": lambda t, s: (t - s) ** 2,
    "absolute": lambda t, s: np.abs(t - s),
    "exponential": lambda t, s: t * (np.log(t) - np.log(s)) ** 2,
    "kagan": lambda t, s: (t - s) ** 2 / t,
}


def by_hand(kernel: str, e: Array, bandwidth: float | None = None) -> Array:
    """Return the probabilities of neighbors from the definition, pair by pair."""
    n = len(e)
    d = np.array([[math.sqrt(((a - b) ** 2).sum() + 1e-6) for b in e] for a in e])
    s = d.mean() if bandwidth is None else bandwidth
    cos = np.array([[a @ b / math.hypot(*a) / math.hypot(*b) for b in e] for a in e])
    kernels = {
        "cosine": (1 + cos) / 2,
        "rbf": np.exp(-d / s),
        "gaussian": np.exp(-(d**2) / s**2),
        "cauchy": 1 / (1 + d**2 / s**2),
        "student_t": 1 / (1 + d),
    }
    found = kernels[kernel]
    return np.array([[found[i, j] / found[i].sum() for j in range(n)] for i in range(n)])


def test_all_divergences_and_kernels_are_tested() -> None:
    assert set(FORMULAS) == set(get_args(Divergence))
    assert set(WITH_BANDWIDTH) < set(SIMPLE)


@pytest.mark.parametrize(("kernel", "divergence"), list(itertools.product(SIMPLE, FORMULAS)))
def test_pkt_has_its_closed_form(kernel: Kernel, divergence: Divergence) -> None:
    expected = FORMULAS[divergence](by_hand(kernel, E_T), by_hand(kernel, E_S)).mean()
    found = neighbor_divergence(torch.from_numpy(E_S), torch.from_numpy(E_T), kernel, divergence)
    assert found.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kernel", WITH_BANDWIDTH)
def test_a_bandwidth_replaces_the_mean_distance(kernel: Kernel) -> None:
    found = neighbors(torch.from_numpy(E_S), kernel, 2.0).numpy()
    np.testing.assert_allclose(found, by_hand(kernel, E_S, 2.0), rtol=1e-6)
    assert not np.allclose(found, by_hand(kernel, E_S))


def test_pkt_has_its_golden_value() -> None:
    # Two examples at right angles: rows (2/3, 1/3); two that are the same: rows (1/2, 1/2).
    student, teacher = torch.eye(2), torch.ones(2, 3)
    expected = (0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))) / 2
    found = neighbor_divergence(student, teacher, "cosine", "kl")
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kernel", SIMPLE)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_rows_are_probabilities_and_bandwidths_follow_the_scale(kernel: Kernel, seed: int) -> None:
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(6, 3)))
    found = neighbors(features, kernel)
    torch.testing.assert_close(found.sum(1), torch.ones(6, dtype=torch.float64))
    assert (found >= 0).all()
    if kernel != "student_t":
        torch.testing.assert_close(neighbors(50 * features, kernel), found, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("divergence", get_args(Divergence))
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_equal_neighbors_have_no_divergence(divergence: Divergence, seed: int) -> None:
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(5, 4)))
    same = neighbor_divergence(3 * features, features, "cosine", divergence)
    assert same.item() == pytest.approx(0, abs=1e-7)
    other = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=(5, 2)))
    found = neighbor_divergence(other, features, "cosine", divergence)
    assert found.isfinite() and found > same


def labelled(*labels: int, **changes: Any) -> Batch:
    return replace(batch(), labels=torch.tensor(labels), **changes)


def test_label_similarity_is_one_for_the_same_class() -> None:
    found = label_similarity(labelled(0, 1, 0, -1), 3)
    assert found.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    mixed = Mixed(torch.tensor([1, 1, 0, 2]), torch.tensor([0.75, 1.0, 0.5, 1.0]))
    found = label_similarity(labelled(0, 1, 1, 2, mixed=mixed), 3)
    assert found[0].tolist() == [0.625, 0.25, 0.5, 0.0]


def test_label_term_has_its_closed_form() -> None:
    similar = label_similarity(labelled(0, 1, 0, 1), 2)
    q = by_hand("cosine", E_S)
    target = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]] * 2)
    expected = np.where(target > 0, 0.5 * np.log(0.5 / q), 0).mean()
    found = label_divergence(torch.from_numpy(E_S), similar, "cosine")
    assert found.item() == pytest.approx(expected, rel=1e-4)
    both = label_divergence(torch.from_numpy(E_S), similar, "combined")
    parts = [label_divergence(torch.from_numpy(E_S), similar, each) for each in ("cosine", "student_t")]
    assert both.item() == pytest.approx(sum(part.item() for part in parts))


def test_label_term_leaves_unlabelled_examples_out() -> None:
    e = torch.from_numpy(E_S)
    some = label_divergence(e, label_similarity(labelled(0, -1, 0, 1), 2), "cosine")
    kept = label_divergence(e[[0, 2, 3]], label_similarity(labelled(0, 0, 1), 2), "cosine")
    assert some.item() == pytest.approx(kept.item())
    assert label_divergence(e, label_similarity(labelled(-1, -1, -1, -1), 2), "cosine").item() == 0


def shapes(width: int) -> OutputShapes:
    return OutputShapes(3, width)


def built(entry: Any, task: Any = None) -> Any:
    pair = Pair(shapes(2), shapes(3), n_train=4, **({"task": task} if task else {}))
    return build_method(parse_method(entry, "methods"), pair).double()


def outputs(e: Array) -> Outputs:
    return Outputs(torch.zeros(len(e), 3, dtype=torch.float64), torch.from_numpy(e))


def test_terms_have_their_weights() -> None:
    entry = {"pkt": {"pkt_weight": 2.0, "label_similarity_weight": 0.5, "kernel": "cauchy", "bandwidth": 1.0}}
    given_batch = labelled(0, 1, 0, 1)
    found = built(entry)(outputs(E_S), outputs(E_T), given_batch)
    e_s, e_t = torch.from_numpy(E_S), torch.from_numpy(E_T)
    assert found["pkt"].item() == pytest.approx(2 * neighbor_divergence(e_s, e_t, "cauchy", "kl", 1.0).item())
    of_labels = label_divergence(e_s, label_similarity(given_batch, 3), "cauchy", 1.0)
    assert found["label_similarity"].item() == pytest.approx(0.5 * of_labels.item())
    assert set(built("pkt")(outputs(E_S), outputs(E_T), given_batch)) == {"pkt"}


def test_new_settings_change_no_earlier_id() -> None:
    assert parse_method("pkt", "methods").as_dict() == {
        "name": "pkt",
        "config": {"ce_weight": 1.0, "kernel": "cosine", "divergence": "kl", "pkt_weight": 30000.0},
    }
    assert parse_method({"pkt": {"label_similarity_weight": 0.1}}, "methods").as_dict()["config"][
        "label_similarity_weight"
    ]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"kernel": "cosine", "bandwidth": 2.0}, "the kernel cosine has no bandwidth"),
        ({"kernel": "rbf", "bandwidth": -1.0}, "bandwidth: -1.0 is not accepted"),
        ({"kernel": "laplace"}, "kernel: 'laplace' is not accepted"),
        ({"divergence": "renyi"}, "divergence: 'renyi' is not accepted"),
        ({"label_similarity_weight": -1.0}, "label_similarity_weight: -1.0 is not accepted"),
    ],
)
def test_wrong_settings_of_pkt_are_one_line(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse_method({"pkt": settings_}, "methods")
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_labels_that_are_sets_have_no_similarity_by_class() -> None:
    built({"pkt": {"label_similarity_weight": 1.0}}, EmbeddingTask())
    with pytest.raises(RequestError, match="label_similarity_weight of method pkt compares classes"):
        built({"pkt": {"label_similarity_weight": 1.0}}, MultiLabel())


@pytest.mark.parametrize("projection", ["learned", "random"])
def test_embedding_hint_has_its_golden_value(projection: str) -> None:
    hint = built({"embedding_hint": {"projection": projection, "hint_weight": 2.0}})
    weights = {"learned": [[1.0, 0], [0, 1], [1, 1]], "random": [[1.0, 0, 0], [0, 0, 1]]}[projection]
    with torch.no_grad():
        hint.connector.weight.copy_(torch.tensor(weights))
    if projection == "learned":
        expected = 2 * ((E_S @ np.array(weights).T - E_T) ** 2).sum(1).mean()
    else:
        expected = 2 * ((E_S - E_T @ np.array(weights).T) ** 2).sum(1).mean()
    assert hint(outputs(E_S), outputs(E_T), batch())["hint"].item() == pytest.approx(expected)
    trained = [each for each in hint.parameters() if each.requires_grad]
    assert len(trained) == (1 if projection == "learned" else 0)
