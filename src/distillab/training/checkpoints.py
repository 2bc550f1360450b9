"""The states of a network in memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def snapshot(model: nn.Module) -> State:
    """Return a copy of the model's state on the CPU."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}


def same_state(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Return True if two states are equal to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
