"""The state of a training as tensors and JSON, so that it can be written without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

TrainingState = dict[str, Any]
"""Nested dictionaries, lists, tuples and sets of numbers, strings, tensors and numpy arrays."""

_VALUES = "values"
_KINDS: Mapping[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_TENSOR, _ARRAY, _DICT = "tensor", "array", "dict"


class NotResumableError(Exception):
    """A training has state that cannot be written, so that it can only be trained in one go.

    Example:
        >>> state_bytes({"queue": object()})
        Traceback (most recent call last):
        distillab.training.loop.plain_state.NotResumableError: a value of type object cannot be written
    """


def state_bytes(state: TrainingState) -> bytes:
    """Return a state as the content of a safetensors file; equal states have equal contents.

    Raises:
        NotResumableError: It holds a value of another type than :data:`TrainingState` names.

    Example:
        >>> state = {"step": 3, "scales": {0: 0.5}, "weights": (torch.ones(2), None)}
        >>> state_in(state_bytes(state))
        {'step': 3, 'scales': {0: 0.5}, 'weights': (tensor([1., 1.]), None)}
    """
    tensors: dict[str, Tensor] = {}
    values = json.dumps(_encoded(state, tensors))
    return save(tensors, metadata={_VALUES: values})


def state_in(content: bytes) -> TrainingState:
    """Return the state that :func:`state_bytes` wrote, with tensors on the CPU."""
    size = int.from_bytes(content[:8], "little")
    values = json.loads(content[8 : 8 + size])["__metadata__"][_VALUES]
    state: TrainingState = _decoded(json.loads(values), load(content))
    return state


def is_plain(value: object) -> bool:
    """Return True if a value consists of what JSON can hold, without tensors and arrays.

    Example:
        >>> is_plain([(1, 2.0), {"a": None}]), is_plain([torch.ones(1)])
        (True, False)
    """
    if type(value) is dict:
        return all(is_plain(key) and is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple | set | frozenset) and type(value) in _KINDS.values():
        return all(map(is_plain, value))
    return value is None or type(value) in {bool, int, float, str}


def _encoded(value: object, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        name, kind = str(len(tensors)), _TENSOR if isinstance(value, Tensor) else _ARRAY
        tensor = value if isinstance(value, Tensor) else torch.from_numpy(value)
        tensors[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {kind: name}
    if type(value) is dict:
        return {_DICT: [[_encoded(key, tensors), _encoded(each, tensors)] for key, each in value.items()]}
    if isinstance(value, list | tuple | set | frozenset) and type(value) in _KINDS.values():
        ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return {type(value).__name__: [_encoded(each, tensors) for each in ordered]}
    if not is_plain(value):
        raise NotResumableError(f"a value of type {type(value).__name__} cannot be written")
    return value


def _decoded(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, held)] = value.items()
    if kind == _TENSOR:
        return tensors[held]
    if kind == _ARRAY:
        return tensors[held].numpy()
    if kind == _DICT:
        return {_decoded(key, tensors): _decoded(each, tensors) for key, each in held}
    return _KINDS[kind](_decoded(each, tensors) for each in held)
