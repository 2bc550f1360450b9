"""Networks given as Python objects: written to files, from which every process builds them again.

``object:NAME`` is the name of such a network. Its definition is a file ``NAME.pickle.z`` of cloudpickle:
classes of the main program or of a notebook are written with their code, and others are imported where the
file is read. Reading it hence runs code of the person who made the study, like a network ``MODULE:FACTORY``
or a method of one's own. Only running a job reads it; weights and the store are never pickled.
"""

from __future__ import annotations

import copy
import pickle
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from torch import Tensor, nn

from distillab.artefacts import save_state, weights_digest, write_atomically
from distillab.canonical import array_digest, spec_id
from distillab.errors import RequestError
from distillab.models.definitions import factory_digest, is_installed, network_digest
from distillab.models.external import call_factory
from distillab.models.input_spec import InputSpec
from distillab.models.object_files import ENDING, KIND, find_object, written_here
from distillab.user_code import require_code

# The name of the network inside what torch wraps around it.
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
}


def write_network(network: nn.Module, where: str) -> tuple[str, Path]:
    """Write a network, and return its name and the file of its weights.

    Networks with equal definitions have equal names, and equal weights are one file. A network that was
    compiled or wrapped for several devices is written without the wrapper, on the CPU and in float32.

    Args:
        network: The network; it is not changed.
        where: Its place, for messages.

    Raises:
        RequestError: It cannot be copied or written.

    Example:
        >>> name, weights = write_network(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), "teacher")
        >>> name.partition("-")[0], weights.suffix
        ('object:Sequential', '.safetensors')
    """
    network = _unwrapped(network)
    _must_be_writable(network, where)
    try:
        own = copy.deepcopy(network).cpu().float()
    except Exception as error:  # copying runs code of the network's classes
        raise _not_written(error, where) from error
    state = {name: value for name, value in own.state_dict().items() if isinstance(value, Tensor)}
    draft = written_here() / uuid.uuid4().hex
    save_state({name: value.detach().clone() for name, value in state.items()}, draft)
    weights = draft.replace(draft.with_name(f"{weights_digest(draft)}.safetensors"))
    kept = _without_weights(own)
    digest = spec_id([network_digest(own), kept])
    return _write(own, type(network).__name__, digest, where), weights


def write_factory(factory: Callable[..., Any], where: str) -> str:
    """Write a function or class that builds networks, and return the name of what it builds.

    One of an installed package is named ``timm:NAME``, ``torchvision:NAME`` or ``MODULE:FACTORY``, and not
    written.

    Args:
        factory: It is called as ``MODULE:FACTORY`` is.
        where: Its place, for messages.

    Raises:
        RequestError: It cannot be written.

    Example:
        >>> write_factory(lambda: nn.Linear(2, 2), "students").startswith("object:factory-")
        True
    """
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", "")
    library = (module or "").partition(".")[0]
    if library in ("timm", "torchvision") and _is_model_of(library, name):
        return f"{library}:{name}"
    if module and is_installed(module) and name.isidentifier():
        return f"{module}:{name}"
    return _write(factory, name if name.isidentifier() else "factory", factory_digest(factory), where)


def build_object(name: str, *, classes: int, inputs: InputSpec) -> nn.Module:
    """Return the network ``object:NAME``, with initial weights from torch's global generator.

    Args:
        name: The name, without ``object:``.
        classes: Number of logits, for a factory.
        inputs: Shape of one input, for a factory.

    Raises:
        RequestError: Its file is missing, is not allowed to run or cannot be read here.

    Example:
        >>> name, _ = write_network(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), "teacher")
        >>> build_object(name.removeprefix("object:"), classes=2, inputs=InputSpec(1, 8, 8))[1]
        Linear(in_features=64, out_features=2, bias=True)
    """
    full = f"{KIND}:{name}"
    path = find_object(name)
    require_code(full, path)
    try:
        held = pickle.loads(zlib.decompress(path.read_bytes()))
    except Exception as error:  # reading runs imports and code of the network's classes
        raise RequestError(
            f"cannot be read: {type(error).__name__}: {error}",
            where=full,
            allowed="the Python version and the modules that it was written with",
        ) from error
    if isinstance(held, nn.Module):
        return _initialized(held)
    return call_factory(held, full, classes=classes, inputs=inputs)


def _write(held: Any, kind: str, digest: str, where: str) -> str:
    """Write an object under its content address and return its name."""
    name = f"{kind}-{digest[:12]}"
    try:
        content = zlib.compress(cloudpickle.dumps(held), 1)
    except Exception as error:  # each kind of object fails in its own way
        raise _not_written(error, where) from error
    with write_atomically(written_here() / f"{name}{ENDING}") as draft:
        draft.write_bytes(content)
    return f"{KIND}:{name}"


def _is_model_of(library: str, name: str) -> bool:
    """Return True if a function of timm or torchvision is the one that builds the model of its name."""
    if library == "timm":
        import timm

        return bool(timm.is_model(name))
    import torchvision

    return name in torchvision.models.list_models(module=torchvision.models)


def _unwrapped(network: nn.Module) -> nn.Module:
    while type(network).__module__.startswith("torch.") and type(network).__name__ in _WRAPPERS:
        network = network.get_submodule(_WRAPPERS[type(network).__name__])
    return network


def _must_be_writable(network: nn.Module, where: str) -> None:
    if isinstance(network, torch.jit.ScriptModule):
        raise RequestError(
            "a scripted network cannot be written", where=where, allowed="the nn.Module that it was made from"
        )
    for name, parameter in network.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise RequestError(
                f"the shape of {name} is not known yet",
                where=where,
                allowed="a network that was called once, or a function that builds it",
            )
        if parameter.is_meta:
            raise RequestError(f"{name} is on the meta device and has no values", where=where)


def _not_written(error: Exception, where: str) -> RequestError:
    return RequestError(
        f"the network cannot be written: {type(error).__name__}: {error}",
        where=where,
        allowed="a network that copy.deepcopy and cloudpickle take, or an importable function that builds it",
    )


def _is_stock(module: nn.Module) -> bool:
    """Return True for a layer of torch, all of whose weights its initialization replaces."""
    return type(module).__module__.startswith("torch.nn.modules") and _initializer(module) is not None


def _initializer(module: nn.Module) -> Callable[[], None] | None:
    return getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)


def _without_weights(network: nn.Module) -> list[Any]:
    """Set what initialization replaces to zero, and return the content of all other weights and buffers."""
    kept: list[Any] = []
    with torch.no_grad():
        for path, module in network.named_modules():
            persistent = {
                k: v for k, v in module._buffers.items() if k not in module._non_persistent_buffers_set
            }
            for name, tensor in {**module._parameters, **module._buffers}.items():
                if tensor is None:
                    continue
                if _is_stock(module) and (name in module._parameters or name in persistent):
                    tensor.zero_()
                else:
                    kept.append([path, name, array_digest(tensor.numpy())])
    return kept


def _initialized(network: nn.Module) -> nn.Module:
    """Give every layer that can do so new initial weights, those inside of a layer before its own."""
    for module in reversed(list(network.modules())):
        initialize = _initializer(module)
        if initialize is not None:
            initialize()
    return network
