"""Transfer and training without labels: closed forms, and a proof that no label is read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from distillab.methods import Pair, StrongView, build_method, parse_method
from distillab.models import Outputs, OutputShapes
from support.methods import N, batch, make

ENTRIES: list[Any] = [
    {"infonce": {"ce_weight": 0}},
    {"embedding_hint": {"ce_weight": 0}},
    {"cosine_embedding": {"ce_weight": 0}},
    "simclr",
]
E_S = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.5]])
E_T = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 2.0, 0.0], [4.0, 0.0, 1.0]])
LOGITS = torch.zeros(N, 5)


def built(entry: Any, width: int = 2, teacher: int = 3) -> Any:
    pair = Pair(
        OutputShapes(5, width), OutputShapes(5, teacher), n_train=N, labels=torch.zeros(N, dtype=torch.int64)
    )
    return build_method(parse_method(entry, "methods"), pair)


def test_cosine_embedding_has_its_golden_value() -> None:
    method = built({"cosine_embedding": {"cosine_weight": 2.0}})
    weights = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    with torch.no_grad():
        method.embed.weight.copy_(weights)
        method.embed.bias.zero_()
    own, other = (E_S @ weights.T).numpy(), E_T.numpy()
    cosines = (own * other).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(other, axis=1)
    found = method(Outputs(LOGITS, E_S), Outputs(LOGITS, E_T), batch())["cosine"].item()
    assert found == pytest.approx(2 * (1 - cosines).mean(), rel=1e-6)
    longer = method(Outputs(LOGITS, 3 * E_S), Outputs(LOGITS, 0.1 * E_T), batch())["cosine"].item()
    assert longer == pytest.approx(found, rel=1e-5)


def test_simclr_has_its_golden_value() -> None:
    method = built({"simclr": {"width": 3, "temperature": 0.2, "contrast_weight": 2.0}})
    other = torch.tensor([[1.0, 0.2], [0.3, 1.0], [2.0, 3.0], [0.0, 1.0]])
    with torch.no_grad():
        z = method.project(torch.cat((E_S, other))).double().numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(8):
        terms = [math.exp(z[i] @ z[k] / 0.2) for k in range(8) if k != i]
        losses.append(-math.log(math.exp(z[i] @ z[(i + 4) % 8] / 0.2) / sum(terms)))
    known = replace(batch(), strong=StrongView(Outputs(LOGITS, other), None))
    found = method.total(Outputs(LOGITS, E_S), None, known)
    assert found["contrast"].item() == pytest.approx(2 * np.mean(losses), rel=1e-5)
    assert found["ce"].item() == 0


def test_simclr_of_equal_embeddings_is_the_log_of_the_others() -> None:
    method = built("simclr")
    same = Outputs(LOGITS, torch.ones(N, 2))
    found = method(same, None, replace(batch(), strong=StrongView(same, None)))["contrast"]
    assert found.item() == pytest.approx(math.log(2 * N - 1), rel=1e-5)


def test_simclr_needs_two_views() -> None:
    with pytest.raises(ValueError, match="embeddings of the student for two views"):
        built("simclr")(Outputs(LOGITS, E_S), None, replace(batch(), strong=None))


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_no_label_is_read(entry: Any) -> None:
    found = []
    for labels in (torch.tensor([0, 2, 4, 1]), torch.tensor([3, 3, 0, 2]), torch.full((N,), -1)):
        method = make(entry)
        own = [
            each.clone().double().requires_grad_()
            for each in (torch.zeros(N, 5), torch.sin(torch.arange(12.0)).reshape(N, 3))
        ]
        teacher = Outputs(torch.ones(N, 5).double(), torch.cos(torch.arange(12.0)).reshape(N, 3).double())
        given = None if method.learns_from == "none" else teacher
        terms = method.total(Outputs(*own), given, replace(batch(), labels=labels))
        sum(terms.values()).backward()  # type: ignore[union-attr]
        found.append((sum(each.item() for each in terms.values()), own[1].grad, own[0].grad))
    for value, gradient, of_logits in found:
        assert value == found[0][0]
        assert torch.equal(gradient, found[0][1]) and gradient.abs().sum() > 0
        assert of_logits is None or not of_logits.any()
