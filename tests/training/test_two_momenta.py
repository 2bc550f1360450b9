"""DOT: two gradients with a momentum each, by the authors' update, written anew in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.models import Outputs
from distillab.training.loop.optimizer import Optimizer
from distillab.training.loop.two_momenta import TwoMomenta
from distillab.training.recipe import ResolvedRecipe
from support.methods import STUDENT, TEACHER, batch, make
from support.studies import begin, plan, run_here
from support.training import examples_of, recipe

DECAY, MOMENTUM, RATE = 0.01, 0.9, 0.1
ONE: dict[str, Any] = {"factors": {}, "seeds": 1, "teacher": {"provenance": "full"}}


def usual() -> ResolvedRecipe:
    return recipe(examples_of(), lr=RATE, schedule="constant", momentum=MOMENTUM, weight_decay=DECAY)


class Weights(nn.Module):
    """A weight that both gradients reach, and one for each of them alone."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        self.labels = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
        self.transfer = nn.Parameter(torch.tensor([-0.7], dtype=torch.float64))

    def losses(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = ((step + 1) * self.both).sin().sum() + self.labels.square().sum()
        return first, (self.both**3).sum() / (step + 2) + self.transfer.cos().sum()


def trained(shift: float, steps: int) -> Weights:
    weights = Weights()
    optimizer = TwoMomenta([weights], usual(), shift)
    for step in range(steps):
        optimizer.set_step(step)
        optimizer.backward(*weights.losses(step))
        optimizer.update()
    return weights


@pytest.mark.parametrize("shift", [0.075, 0.09, 0.5])
def test_update_is_the_authors(shift: float) -> None:
    both, labels, transfer = np.array([1.0, -2.0]), 0.5, -0.7
    v = u = np.zeros(2)
    v_labels = u_transfer = 0.0
    for step in range(5):
        v = (MOMENTUM - shift) * v + (step + 1) * np.cos((step + 1) * both) + DECAY * both
        u = (MOMENTUM + shift) * u + 3 * both**2 / (step + 2)
        v_labels = MOMENTUM * v_labels + 2 * labels + DECAY * labels
        u_transfer = MOMENTUM * u_transfer - np.sin(transfer) + DECAY * transfer
        both, labels, transfer = both - RATE * (v + u), labels - RATE * v_labels, transfer - RATE * u_transfer
    found = trained(shift, 5)
    np.testing.assert_allclose(found.both.detach().numpy(), both, rtol=1e-12)
    np.testing.assert_allclose(found.labels.item(), labels, rtol=1e-12)
    np.testing.assert_allclose(found.transfer.item(), transfer, rtol=1e-12)


def test_without_a_shift_it_is_gradient_descent_as_usual() -> None:
    weights = Weights()
    optimizer = Optimizer([weights], usual())
    for step in range(5):
        optimizer.set_step(step)
        optimizer.backward(sum(weights.losses(step), start=torch.zeros((), dtype=torch.float64)))
        optimizer.update()
    for one, other in zip(trained(0.0, 5).parameters(), weights.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "entry", ["kd", {"dkd": {"beta": 2}}, {"logit_standardisation": {"of": "kd"}}], ids=str
)
def test_terms_are_those_of_the_wrapped_method(entry: Any) -> None:
    inner = make(entry).total(Outputs(STUDENT), Outputs(TEACHER), batch())
    outer = make({"dot": {"of": entry}}).total(Outputs(STUDENT), Outputs(TEACHER), batch())
    assert outer == inner


def test_requirements_and_revision_are_those_of_the_wrapped_method() -> None:
    of_crd, of_kd = parse_method({"dot": {"of": "crd"}}, ""), parse_method("dot", "")
    assert of_crd.needs == parse_method("crd", "").needs and of_kd.needs == parse_method("kd", "").needs
    assert of_crd.revision == parse_method("crd", "").revision
    assert (of_kd.momentum_shift, parse_method("kd", "").momentum_shift) == (0.075, 0.0)


@pytest.mark.parametrize("entry", ["ce", "self", "dot", {"kd": {}, "rkd": {}}], ids=str)
def test_methods_that_cannot_be_given_two_momenta_are_refused(entry: Any) -> None:
    with pytest.raises(RequestError, match=r"^methods.dot[^\n]* cannot be given two momenta [^\n]*$"):
        parse_method({"dot": {"of": entry}}, "methods")


def test_it_is_no_part_of_a_sum_nor_of_standardized_logits() -> None:
    with pytest.raises(RequestError, match="cannot be part of a sum"):
        parse_method({"kd": {}, "dot": {}}, "methods")
    with pytest.raises(RequestError, match="decides how gradients are used"):
        parse_method({"logit_standardisation": {"of": "dot"}}, "methods")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"optimizer": "adamw"}, "recipe.optimizer"),
        ({"nesterov": True}, "recipe.nesterov"),
        ({"momentum": 0.95}, "recipe.momentum"),
        ({"momentum": 0.05}, "recipe.momentum"),
    ],
)
def test_recipes_that_it_does_not_fit_are_refused(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(RequestError, match=f"^[^\n]*{where}: method dot [^\n]*$"):
        plan(**ONE, methods=["ce", "dot"], recipe=changes)


def test_students_train_and_their_second_backward_pass_is_counted(tmp_path: Path) -> None:
    methods = ["ce", "kd", "dot", {"dot": {"of": "crd"}}]
    planned = plan(**ONE, methods=methods)
    costs = {cell.method: planned.jobs[cell.run].cost for cell in planned.cells if cell.run}
    assert 3 * costs["dot"] == 5 * costs["kd"]
    rows = run_here(begin(tmp_path, **ONE, methods=methods))
    assert {row["status"] for row in rows} == {"done"}
