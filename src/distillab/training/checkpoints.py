"""The states of a network in memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

StateDict = dict[str, Tensor]


def snapshot(model: nn.Module) -> StateDict:
    """Return a copy of the model's state on the CPU.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> before = snapshot(layer)
        >>> _ = nn.init.zeros_(layer.weight), nn.init.ones_(layer.bias)
        >>> same_state(before, snapshot(layer))
        False
    """
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}


def same_state(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Return True if two states are equal to the bit.

    Example:
        >>> same_state({"weight": torch.ones(2)}, {"weight": torch.ones(2)})
        True
    """
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
