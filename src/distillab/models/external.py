"""Networks that others wrote: from timm, from torchvision, from anyone's module."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from distillab.errors import RequestError, unknown_name
from distillab.models.stems import (
    FITTED_UP_TO,
    first_convolution,
    fit_stem,
    fitting_patch,
    replace_module,
    unfit_stem,
    with_channels,
)

# What others call the three facts that a factory is told.
SPELLINGS = {
    "classes": ("classes", "num_classes", "n_classes"),
    "channels": ("channels", "in_channels", "in_chans"),
    "resolution": ("resolution", "img_size", "image_size"),
}


def from_timm(name: str, *, classes: int, channels: int, resolution: int) -> nn.Module:
    """``timm:NAME``, untrained. Raises RequestError: no timm, an unknown name, or an unfit stem."""
    try:
        import timm
    except ImportError as error:
        raise RequestError(
            f"timm:{name} needs the timm package", allowed="pip install 'distillab[timm]'"
        ) from error
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    full = f"timm:{name}"
    facts: dict[str, Any] = {"pretrained": False, "num_classes": classes, "in_chans": channels}
    with torch.device("meta"):  # to ask what the network is like: no memory, no random numbers
        plan = timm.create_model(name, **facts)
    options = {key for kind in type(plan).__mro__ for key in inspect.signature(kind).parameters}
    if "img_size" not in options:
        model: nn.Module = timm.create_model(name, **facts)
        fit_stem(model, full, resolution)
        return model
    facts["img_size"] = resolution
    found = first_convolution(plan)
    stride = found[1].stride if found else (1, 1)
    if found and "patch_size" in options and found[1].kernel_size == stride:
        patch = fitting_patch(full, stride[0], resolution)
        if patch != stride[0]:
            facts["patch_size"] = patch
    elif resolution <= FITTED_UP_TO and max(stride) > 1:
        raise unfit_stem(full, resolution, f"its first layer moves in steps of {max(stride)}")
    try:
        model = timm.create_model(name, **facts)
    except TypeError as error:
        why = f"its first layer moves in steps of {stride[0]} and cannot be told otherwise"
        raise unfit_stem(full, resolution, why) from error
    except Exception as error:  # each family of timm refuses sizes in its own way
        raise RequestError(f"cannot be built for {resolution}x{resolution}: {error}", where=full) from error
    return model


def from_torchvision(name: str, *, classes: int, channels: int, resolution: int) -> nn.Module:
    """``torchvision:NAME`` (classification), untrained. Raises RequestError if unknown or the stem unfit."""
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown("torchvision", name, known)
    full = f"torchvision:{name}"
    facts: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        facts |= {"aux_logits": False, "init_weights": True}
    transformer = name.startswith("vit_")
    if transformer:
        patch = int(name.rsplit("_", 1)[1])
        if fitting_patch(full, patch, resolution) != patch:
            raise unfit_stem(full, resolution, f"its patches are {patch}x{patch} pixels")
        facts["image_size"] = resolution
    model: nn.Module = torchvision.models.get_model(name, **facts)
    found = first_convolution(model)
    if found and found[1].in_channels != channels:
        replace_module(model, found[0], with_channels(found[1], channels))
    if not transformer:
        fit_stem(model, full, resolution)
    return model


def from_module(module: str, factory: str, *, classes: int, channels: int, resolution: int) -> nn.Module:
    """``MODULE:FACTORY``: import the module (the current directory counts too) and call the factory.

    It is told ``classes``, ``channels`` and ``resolution``, as far as its signature takes them, or by the
    names that timm and torchvision use for the same.
    """
    name = f"{module}:{factory}"
    build = _factory(module, factory)
    facts = {"classes": classes, "channels": channels, "resolution": resolution}
    try:
        model = build(**_accepted(build, facts))
    except Exception as error:
        raise RequestError(f"could not be called: {type(error).__name__}: {error}", where=name) from error
    if not isinstance(model, nn.Module):
        raise RequestError(
            f"returned {type(model).__name__}, not a network", where=name, allowed="a torch.nn.Module"
        )
    return model


def _factory(module: str, factory: str) -> Callable[..., Any]:
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        source = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise RequestError(f"cannot be imported: {error}", where=module) from error
        raise RequestError(
            f"there is no module {error.name!r} on the Python path or in the current directory",
            where=f"{module}:{factory}",
            allowed="a registered model, timm:NAME, torchvision:NAME, or MODULE:FACTORY",
        ) from error
    except Exception as error:
        raise RequestError(f"cannot be imported: {type(error).__name__}: {error}", where=module) from error
    finally:
        sys.path.remove(here)
    build = getattr(source, factory, None)
    if not callable(build):
        package = module.partition(".")[0]
        public = [
            key
            for key, value in vars(source).items()
            if callable(value) and str(getattr(value, "__module__", "")).partition(".")[0] == package
        ]
        raise unknown_name("model factory", factory, public, where=module)
    return build  # type: ignore[no-any-return]


def _accepted(build: Callable[..., Any], facts: dict[str, int]) -> dict[str, int]:
    """The facts by the names under which the signature takes them."""
    parameters = inspect.signature(build).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
    accepted = {}
    for fact, value in facts.items():
        spelling = next(
            (spelling for spelling in SPELLINGS[fact] if spelling in named), fact if rest else None
        )
        if spelling:
            accepted[spelling] = value
    return accepted


def _unknown(library: str, name: str, known: Iterable[str]) -> RequestError:
    """Like :func:`unknown_name`, without listing a thousand names."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f", did you mean '{library}:{near[0]}'?" if near else ""
    return RequestError(
        f"unknown {library} model {name!r}{hint}", allowed=f"a name of {library}'s list_models()"
    )
