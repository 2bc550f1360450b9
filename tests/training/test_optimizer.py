"""The optimizers update parameters exactly as torch's own do, without importing torch's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from distillab.training.loop.optimizer import Optimizer
from support.training import equal, recipe

TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {"momentum": 0.0, "weight_decay": 0.0}),
    ("sgd", {"momentum": 0.9, "weight_decay": 5e-4}),
    ("sgd", {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}),
    ("adamw", {"weight_decay": 0.01}),
]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_optimizer_updates_as_torch_does(name: str, settings: dict[str, Any]) -> None:
    resolved = recipe(optimizer=name, schedule="constant", lr=0.1, warmup=0.0, **settings)
    updated, expected = network(), network()
    optimizer = Optimizer([updated], resolved)
    reference = TORCH[name](expected.parameters(), lr=0.1, **settings)
    for step in range(4):
        inputs = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.set_step(step)
        optimizer.backward(updated(inputs).square().mean())
        optimizer.update()
        reference.zero_grad()
        expected(inputs).square().mean().backward()
        reference.step()
    assert equal(dict(updated.state_dict()), dict(expected.state_dict()))


def test_gradients_are_replaced_at_each_step() -> None:
    layer = nn.Linear(2, 1)
    optimizer = Optimizer([layer], recipe())
    for _ in range(2):
        optimizer.backward(layer(torch.ones(1, 2)).sum())
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[1.0, 1.0]]


def test_update_is_not_recorded_for_gradients() -> None:
    layer = nn.Linear(2, 1)
    optimizer = Optimizer([layer], recipe())
    optimizer.set_step(0)
    optimizer.backward(layer(torch.ones(1, 2)).sum())
    optimizer.update()
    assert layer.weight.grad_fn is None
    assert torch.is_grad_enabled()
