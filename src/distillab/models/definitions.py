"""The content address of a network's definition: its classes, settings and shapes, but not its weights."""

from __future__ import annotations

import copyreg
import sys
import sysconfig
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distillab.canonical import array_digest, spec_id

# What torch keeps in every module, and what says nothing about the function that it computes.
_OF_TORCH = frozenset(vars(nn.Module())) | {"_is_torch_compile"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_INSTALLED = tuple(
    str(Path(sysconfig.get_path(kind)).resolve()) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)
_BY_REPR = (float, complex, bytes, torch.dtype, torch.device, torch.Size, range, slice)
_DATA = (Tensor, np.ndarray, np.generic)
_PLAIN = (
    *(*_BY_REPR, *_DATA, bool, int, str, list, tuple, dict, set, frozenset, Enum, type(None)),
    *(Namespace, SimpleNamespace, partial, type, FunctionType, BuiltinFunctionType),
)
_IRREDUCIBLE = (TypeError, AttributeError, ValueError, RuntimeError)
_OF_CLASSES = frozenset(
    {"__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "__annotations__"}
)


def network_digest(network: nn.Module) -> str:
    """Return the content address of the definition of a network.

    It covers the classes of all modules with their code, their settings, hooks, and the shapes of their
    parameters and buffers. Of installed packages the name of a class stands for its code.

    Example:
        >>> network_digest(nn.Linear(2, 3)) == network_digest(nn.Linear(2, 3))
        True
        >>> network_digest(nn.Linear(2, 3)) == network_digest(nn.Linear(2, 3, bias=False))
        False
    """
    return spec_id(_Describer().describe(_of_network(network)))


def factory_digest(factory: Any) -> str:
    """Return the content address of a function or class: its code, and what of its module the code uses.

    Example:
        >>> width = 3
        >>> factory_digest(lambda: nn.Linear(2, width)) == factory_digest(lambda: nn.Linear(2, width))
        True
    """
    return spec_id(_Describer().describe(factory))


def is_installed(module: str) -> bool:
    """Return True for a module of Python itself or of an installed package, which workers import.

    Example:
        >>> is_installed("torch.nn"), is_installed("__main__")
        (True, False)
    """
    return _is_installed(module.partition(".")[0])


@cache
def _is_installed(package: str) -> bool:
    if package in ("__main__", "__mp_main__"):
        return False
    if package == "distillab" or package in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(package), "__file__", None)
    return file is not None and str(Path(file).resolve()).startswith(_INSTALLED)


def _settings(module: nn.Module) -> dict[str, object]:
    """Return what the code of a module's class set, its hooks, and which buffers are not saved."""
    own = {key: value for key, value in vars(module).items() if key not in _OF_TORCH}
    hooks = {key: list(vars(module)[key].values()) for key in _HOOKS}
    return own | hooks | {"unsaved": sorted(module._non_persistent_buffers_set)}


def _tensors(module: nn.Module) -> dict[str, Tensor | None]:
    return {**module._parameters, **module._buffers}


def _form(tensor: Tensor | None) -> list[Any] | None:
    return None if tensor is None else [tensor.shape, tensor.dtype, tensor.requires_grad]


class _Describer:
    """Describes values by what they are, in JSON that is equal for equal values in every process.

    Definitions may refer to each other: one that is being described is referred to by its name.
    """

    def __init__(self) -> None:
        self._open: dict[int, Any] = {}
        self._known: dict[int, tuple[Any, Any]] = {}  # of classes and functions, kept so that ids stay theirs

    def describe(self, value: Any) -> Any:
        """Return the JSON of a value."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, _BY_REPR):
            return repr(value)
        if isinstance(value, Enum):
            return [_name(type(value)), value.name]
        if isinstance(value, ModuleType):
            return value.__name__
        if id(value) in self._known:
            return self._known[id(value)][1]
        if id(value) in self._open:
            return ["above", getattr(value, "__qualname__", type(value).__qualname__)]
        self._open[id(value)] = value
        try:
            parts = value if isinstance(value, list | tuple) else _parts(value)
            found = [self.describe(each) for each in parts] if isinstance(parts, list | tuple) else parts
        finally:
            del self._open[id(value)]
        if isinstance(value, type | FunctionType):
            self._known[id(value)] = value, found
        return found


def _parts(value: Any) -> list[Any] | str:
    """Return what a value consists of, or its name or content address."""
    parts_of = next((parts_of for kinds, parts_of in _PARTS if isinstance(value, kinds)), _of_object)
    return parts_of(value)


def _of_array(value: Any) -> str:
    return array_digest(np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value))


def _of_function(function: FunctionType) -> list[Any] | str:
    if is_installed(function.__module__ or ""):
        return _name(function)
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    used = [[name, function.__globals__[name]] for name in sorted(names & function.__globals__.keys())]
    cells = [_content(cell) for cell in function.__closure__ or ()]
    return [function.__code__, function.__defaults__, function.__kwdefaults__, cells, used]


def _of_code(code: CodeType) -> list[Any]:
    return [code.co_code.hex(), code.co_consts, code.co_names, code.co_varnames, code.co_freevars]


def _of_class(cls: type) -> list[Any] | str:
    if is_installed(cls.__module__):
        return _name(cls)
    body = {key: each for key, each in vars(cls).items() if key not in _OF_CLASSES}
    return [cls.__qualname__, cls.__bases__, body]


def _of_network(network: nn.Module) -> list[Any]:
    """Return each module's class, settings, and shapes of parameters and buffers."""
    return [
        [
            path,
            type(module),
            _settings(module),
            [[name, _form(each)] for name, each in _tensors(module).items()],
        ]
        for path, module in network.named_modules()
    ]


def _of_object(value: Any) -> list[Any]:
    own = getattr(value, "__dict__", {})
    if is_installed(type(value).__module__):  # a logger, a lock: its settings, not what it holds on to
        own = {k: v for k, v in own.items() if isinstance(v, _PLAIN) and not k.startswith("_")}
    return [_name(type(value)), own or _reduced(value)]


def _reduced(value: Any) -> Any:
    """Return what pickle would write of a value without attributes (a path, a pattern, one with slots)."""
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        return reduce(value) if reduce else value.__reduce_ex__(4)
    except _IRREDUCIBLE:  # a lock or a weak reference: its class is all that a definition has of it
        return {}


_PARTS: tuple[tuple[Any, Callable[[Any], list[Any] | str]], ...] = (
    (_DATA, _of_array),
    (Mapping, lambda value: [[key, each] for key, each in value.items()]),
    (deque, list),
    (set | frozenset, lambda value: sorted(map(repr, value))),
    (CodeType, _of_code),
    (FunctionType, _of_function),
    (MethodType, lambda value: [value.__func__, value.__self__]),
    (staticmethod | classmethod, lambda value: [value.__func__]),
    (property, lambda value: [value.fget, value.fset]),
    (partial, lambda value: [value.func, value.args, value.keywords]),
    (type, _of_class),
    (BuiltinFunctionType, lambda value: str(value.__qualname__)),
    (nn.Module, _of_network),
)


def _codes(code: CodeType) -> list[CodeType]:
    """Return a function's code and that of the functions inside."""
    return [code, *(inner for each in code.co_consts if isinstance(each, CodeType) for inner in _codes(each))]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not yet bound
        return None


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
