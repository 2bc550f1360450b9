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


# The names of logits in mappings and objects, the first that is there.
LOGIT_NAMES = ("logits", "logit", "out", "output")


def logits_of(output: Any) -> Tensor:
    """Return the logits ``[N, classes]`` in the output of a network.

    Args:
        output: A tensor; a mapping or object with a tensor called ``logits`` (or ``logit``, ``out``,
            ``output``), as models of ``transformers`` return and networks with auxiliary heads in training;
            or a tuple or list whose first entry is one of these.

    Raises:
        RequestError: There are no logits in it.

    Example:
        >>> logits_of({"logits": torch.zeros(2, 10), "features": torch.zeros(2, 64)}).shape
        torch.Size([2, 10])
        >>> logits_of((torch.zeros(2, 10), torch.zeros(2, 64))).shape
        torch.Size([2, 10])
    """
    if isinstance(output, Tensor):
        return output
    for name in LOGIT_NAMES:
        held = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(held, Tensor):
            return held
    if isinstance(output, tuple | list) and output and not isinstance(output[0], str | bytes):
        return logits_of(output[0])
    raise RequestError(
        f"the network returns {type(output).__name__}, which holds no logits",
        allowed="a tensor [N, classes], a tuple that begins with one, or one called logits",
    )


def blank_input(model: nn.Module, inputs: InputSpec) -> Tensor:
    """Return one input of zeros, ``[1, C, H, W]``, with the dtype and device of ``model``."""
    like = next(model.parameters(), torch.empty(0))
    return torch.zeros((1, *inputs.shape), dtype=like.dtype, device=like.device)
