"""Run a network without leaving a trace: modes, buffers and random state stay as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.input_spec import InputSpec


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put ``model`` in evaluation mode without gradients, and restore its modes and the random state."""
    training = [module for module in model.modules() if module.training]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            model.eval()
            yield
        finally:
            for module in training:
                module.training = True


def logits_of(output: Any) -> Tensor:
    """Return the logits ``[N, classes]`` in the output of a network.

    Args:
        output: A tensor, or a mapping or object with a tensor called ``logits``.

    Raises:
        RequestError: There are no logits in it.
    """
    if isinstance(output, Tensor):
        return output
    held = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(held, Tensor):
        return held
    raise RequestError(
        f"the network returns {type(output).__name__}, which holds no logits",
        allowed="a tensor [N, classes], or an object with a tensor called logits",
    )


def blank_input(model: nn.Module, inputs: InputSpec) -> Tensor:
    """Return one input of zeros, ``[1, C, H, W]``, with the dtype and device of ``model``."""
    like = next(model.parameters(), torch.empty(0))
    return torch.zeros((1, *inputs.shape), dtype=like.dtype, device=like.device)
