"""Weights and logits on disk: safetensors, never pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.training.loop.evaluation import Logits

State = dict[str, Tensor]


def snapshot(model: nn.Module) -> State:
    """A copy of the model's state on the CPU."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}


def save_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors."""
    save_file({name: value.contiguous() for name, value in state.items()}, path)


def load_state(model: nn.Module, path: Path) -> None:
    """Load weights into ``model``. Raises RequestError if the file is unreadable or does not fit."""
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RequestError(
            f"cannot read weights ({error})", where=str(path), allowed="a safetensors file"
        ) from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise RequestError(f"the weights do not fit the model: {first}", where=str(path)) from error


def weights_digest(path: Path) -> str:
    """Content address (SHA-256) of a weights file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_logits(logits: Mapping[str, Logits], path: Path) -> None:
    """Write named float16 logits."""
    save_arrays({name: np.ascontiguousarray(value) for name, value in logits.items()}, path)


def load_logits(path: Path) -> dict[str, Logits]:
    """Read what :func:`save_logits` wrote."""
    return dict(load_arrays(path))


def same_state(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two states are equal to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
