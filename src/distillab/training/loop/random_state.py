"""A private random state, for networks that draw random numbers (dropout) while several train in turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class RandomState:
    """A state of torch's global generators that belongs to one network.

    Inside a ``with`` block the generators continue where the last block of this state ended; afterwards they
    are as they were before it.

    Example:
        >>> state = RandomState.seeded(0, torch.device("cpu"))
        >>> before = torch.get_rng_state()
        >>> with state:
        ...     first = torch.rand(1)
        >>> with state:
        ...     second = torch.rand(1)
        >>> torch.equal(torch.get_rng_state(), before), torch.equal(first, second)
        (True, False)
    """

    def __init__(self, device: torch.device, states: list[Tensor]) -> None:
        self._device, self._own = device, states
        self._outer: list[Tensor] = []

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> RandomState:
        """Return the state after ``torch.manual_seed(seed)``."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            return cls(device, generator_states(device))

    def __enter__(self) -> None:
        self._outer = generator_states(self._device)
        set_generator_states(self._device, self._own)

    def __exit__(self, *_: object) -> None:
        self._own = generator_states(self._device)
        set_generator_states(self._device, self._outer)

    def state(self) -> list[Tensor]:
        """Return the states of the generators after the last block."""
        return self._own

    def restore(self, state: list[Tensor]) -> None:
        """Have the next block begin with such states."""
        self._own = state


def generator_states(device: torch.device) -> list[Tensor]:
    """Return the states of torch's global generators, uint8 on the CPU, that of a GPU last."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_generator_states(device: torch.device, states: Sequence[Tensor]) -> None:
    """Set the states that :func:`generator_states` returned."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
