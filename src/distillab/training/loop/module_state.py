"""The state of modules in training: parameters, all buffers, and attributes that are plain data."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from pathlib import PurePath

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from distillab.training.loop.plain_state import NotResumableError, TrainingState, is_plain

OF_PACKAGES = frozenset(
    {"distillab", "torch", "torchvision", "timm", "transformers", "efficientnet_lite_pytorch"}
)
"""Packages whose modules keep no state outside of their attributes; others declare ``resumable = True``."""

_OF_TORCH = frozenset(vars(nn.Module())) - {"training"}
_FIXED = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    torch.dtype,
    torch.device,
    torch.memory_format,
    torch.Size,
    Enum,
    PurePath,
)


def module_state(roots: Mapping[str, nn.Module]) -> TrainingState:
    """Return the state of modules, those inside them included; its tensors are theirs.

    An attribute counts as fixed if its value cannot change; one that is plain data is part of the state. A
    class may name attributes in ``transient`` that never change, or that each step fills for itself.

    Args:
        roots: The modules by name.

    Raises:
        NotResumableError: A module says ``resumable = False``, is of a class of a user that does not say
            ``resumable = True``, or has an attribute whose state is unknown.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> from distillab.training.loop.plain_state import state_bytes, state_in
        >>> state = state_in(state_bytes(module_state({"network": layer})))
        >>> _ = nn.init.constant_(layer.weight, 7.0), layer.eval()
        >>> restore_modules({"network": layer}, state)
        >>> layer.weight.item() == 7, layer.training
        (False, True)
    """
    modules = dict(_named_modules(roots))
    held = {id(each) for module in modules.values() for each in _tensors(module).values()}
    known = held | {id(module) for module in modules.values()}
    return {
        name: {
            "parameters": {key: (each, each.requires_grad) for key, each in _parameters(module).items()},
            "buffers": dict(module._buffers),
            "attributes": _attributes(name, module, known),
        }
        for name, module in modules.items()
    }


@torch.no_grad()
def restore_modules(roots: Mapping[str, nn.Module], state: TrainingState) -> None:
    """Give modules, built as those before, the state that these had.

    Raises:
        KeyError: A module or parameter is missing.
        RuntimeError: A parameter has another shape.
    """
    for name, module in _named_modules(roots):
        saved = state[name]
        for key, parameter in _parameters(module).items():
            value, requires_grad = saved["parameters"][key]
            parameter.copy_(value)
            parameter.requires_grad_(requires_grad)
        for key, value in saved["buffers"].items():
            _restore_buffer(module, key, value)
        for key, value in saved["attributes"].items():
            _restore_attribute(module, key, value)


def _named_modules(roots: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Yield each module once, also those that others refer to in attributes that are tuples or lists."""
    seen: set[nn.Module] = set()
    waiting = list(roots.items())
    while waiting:
        start, root = waiting.pop(0)
        for name, module in root.named_modules(seen, start):
            yield name, module
            for key, value in _own_attributes(module).items():
                waiting += [(f"{name}.{key}:{place}", each) for place, each in enumerate(_modules_in(value))]


def _modules_in(value: object) -> list[nn.Module]:
    if isinstance(value, nn.Module):
        return [value]
    if isinstance(value, tuple | list):
        return [module for each in value for module in _modules_in(each)]
    return []


def _own_attributes(module: nn.Module) -> TrainingState:
    transient: frozenset[str] = getattr(type(module), "transient", frozenset())
    return {
        key: value for key, value in vars(module).items() if key not in _OF_TORCH and key not in transient
    }


def _attributes(name: str, module: nn.Module, known: set[int]) -> TrainingState:
    """Return the attributes that are plain data, after checking that the others are fixed."""
    cls = type(module)
    declared: bool | None = getattr(cls, "resumable", None)
    if not (cls.__module__.partition(".")[0] in OF_PACKAGES if declared is None else declared):
        raise NotResumableError(f"{name} ({cls.__name__}) does not say that it is resumable")
    found = {}
    for key, value in _own_attributes(module).items():
        if is_plain(value):
            found[key] = value
        elif _is_record(value):
            found[key] = vars(value)
        elif not _is_fixed(value, known):
            raise NotResumableError(f"{name} ({cls.__name__}) has {key}, a {type(value).__name__}")
    return found


def _is_fixed(value: object, known: set[int]) -> bool:
    """Return True if a value cannot change in training, or is a module or tensor whose state is known."""
    if isinstance(value, nn.Module | Tensor):
        return id(value) in known
    if isinstance(value, tuple | list):
        return all(is_plain(each) or _is_fixed(each, known) for each in value)
    if isinstance(value, functools.partial):
        return _is_fixed((value.func, value.args, *value.keywords.values()), known)
    if isinstance(value, weakref.ref):
        return _is_fixed(value(), known)
    if isinstance(value, types.MethodType):
        return _is_fixed(value.__self__, known)
    if isinstance(value, BaseModel):
        return bool(value.model_config.get("frozen"))
    if is_dataclass(value) and not isinstance(value, type):
        return bool(value.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    return isinstance(value, _FIXED)


def _is_record(value: object) -> bool:
    """Return True if a value is an object of a known package that consists of plain data."""
    known = type(value).__module__.partition(".")[0] in OF_PACKAGES
    return known and type(value).__new__ is object.__new__ and is_plain(getattr(value, "__dict__", value))


def _parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    return {key: each for key, each in module._parameters.items() if each is not None}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {key: each for key, each in {**module._parameters, **module._buffers}.items() if each is not None}


def _restore_buffer(module: nn.Module, key: str, value: Tensor | None) -> None:
    """Set a buffer in place, so that what refers to it sees it, unless a training replaces it by another."""
    before = module._buffers[key]
    if before is None or value is None or (before.shape, before.dtype) != (value.shape, value.dtype):
        like = next((each for each in _tensors(module).values()), value)
        module._buffers[key] = None if value is None or like is None else value.to(like.device)
    else:
        before.copy_(value)


def _restore_attribute(module: nn.Module, key: str, value: object) -> None:
    """Set an attribute; a list or dictionary in place, so that what refers to it sees it."""
    before = vars(module).get(key)
    if isinstance(before, list) and isinstance(value, list):
        before[:] = value
    elif isinstance(before, dict) and isinstance(value, dict):
        before.clear()
        before.update(value)
    elif _is_record(before) and isinstance(value, dict):
        vars(before).update(value)
    elif before != value:
        setattr(module, key, value)
