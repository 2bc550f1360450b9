"""Looking at a network without leaving a trace: modes, buffers and random state stay as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from distillab.errors import RequestError


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every submodule's own mode and the random state come back after."""
    training = [module for module in model.modules() if module.training]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            model.eval()
            yield
        finally:
            for module in training:
                module.training = True


def logits_of(output: Any) -> Tensor:
    """The logits ``[N, classes]`` in what a network returned: a tensor, or an object with ``logits``."""
    if isinstance(output, Tensor):
        return output
    held = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(held, Tensor):
        return held
    raise RequestError(
        f"the network returns {type(output).__name__}, in which there are no logits to be found",
        allowed="a tensor [N, classes], or an object with a tensor called logits",
    )


def blank(model: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """One black image of ``shape`` (C, H, W), ``[1, C, H, W]``, with the dtype and device of ``model``."""
    like = next(model.parameters(), torch.empty(0))
    return torch.zeros((1, *shape), dtype=like.dtype, device=like.device)


def forward_once(model: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Logits ``[1, classes]`` for one black image of ``shape`` (C, H, W), in evaluation mode."""
    with evaluating(model):
        return logits_of(model(blank(model, shape)))


def trial_logits(model: nn.Module, name: str, *, classes: int, channels: int, resolution: int) -> Tensor:
    """Logits for one black image, to see that the network takes such images and knows such classes.

    Raises:
        RequestError: it does not; ``name`` says which network.
    """
    size = f"{resolution}x{resolution} images of {channels} channels"
    try:
        logits = forward_once(model, (channels, resolution, resolution))
    except RequestError as error:
        raise error.within(name) from error
    except Exception as error:
        raise RequestError(f"cannot take {size}: {error}", where=name) from error
    if logits.shape != (1, classes):
        raise RequestError(
            f"gives {list(logits.shape)} for one image, not [1, {classes}]",
            where=name,
            allowed=f"a classifier of {classes} classes",
        )
    return logits
