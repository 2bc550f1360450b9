"""Networks from elsewhere: timm, torchvision, and any Python module."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import torch
from torch import nn

from distillab.errors import RequestError, unknown_name
from distillab.extras import install_command
from distillab.models.input_spec import InputSpec
from distillab.models.names import torchvision_names, unknown_of_library
from distillab.models.stems import (
    FITTED_UP_TO,
    first_convolution,
    fit_stem,
    fitting_patch,
    replace_module,
    unfit_stem,
    with_channels,
)
from distillab.user_code import require_code

# The names that timm and torchvision, too, use for what a factory is called with.
SPELLINGS = {
    "classes": ("classes", "num_classes", "n_classes"),
    "channels": ("channels", "in_channels", "in_chans"),
    "resolution": ("resolution", "img_size", "image_size"),
}


BATCH_NORM_MOMENTUM = 0.1  # torch's default


def from_timm(name: str, *, classes: int, inputs: InputSpec, original_stem: bool = False) -> nn.Module:
    """Return the untrained network ``timm:NAME``, its stem fitted unless it is to be the original.

    Raises:
        RequestError: timm is not installed or has no such model, or its stem does not fit the inputs.
    """
    return create_timm_model(
        name, inputs, original_stem=original_stem, num_classes=classes, in_chans=inputs.channels
    )


def create_timm_model(
    name: str,
    inputs: InputSpec,
    *,
    weights: Path | None = None,
    original_stem: bool = False,
    **options: Any,
) -> nn.Module:
    """Return the network ``timm:NAME`` for inputs of a size, untrained or with its pretrained weights.

    Args:
        name: The name without ``timm:``.
        inputs: Shape of one input.
        weights: The file of its pretrained weights. The network is then as it was trained, but for the
            positions of a transformer, which are those of these inputs.
        original_stem: Whether the stem stays as it is in timm.
        options: Further arguments of ``timm.create_model``.

    Raises:
        RequestError: As :func:`from_timm`.
    """
    timm, full = _timm(name), f"timm:{name}"
    given: dict[str, object] = {"pretrained": weights is not None, **options}
    if weights is not None:
        given["pretrained_cfg_overlay"] = {"file": str(weights)}
    build: Callable[..., nn.Module] = partial(timm.create_model, name, **given)
    with torch.device("meta"):  # to look at the network: this takes no memory and no random numbers
        plan = timm.create_model(name, pretrained=False, **options)
    known = {key for kind in type(plan).__mro__ for key in inspect.signature(kind).parameters}
    if "img_size" not in known:
        model = build()
        if weights is None and not original_stem:
            fit_stem(model, full, inputs)
        return model
    build = partial(build, img_size=inputs.height if inputs.is_square else (inputs.height, inputs.width))
    found = None if original_stem else first_convolution(plan)
    stride = found[1].stride if found else (1, 1)
    if found and "patch_size" in known and found[1].kernel_size == stride:
        patch = fitting_patch(full, stride[0], inputs)
        if patch != stride[0]:
            build = partial(build, patch_size=patch)
    elif inputs.shorter_side <= FITTED_UP_TO and max(stride) > 1:
        raise unfit_stem(full, inputs, f"its first layer has a stride of {max(stride)}")
    try:
        return build()
    except TypeError as error:
        raise unfit_stem(full, inputs, f"its first layer has a fixed stride of {stride[0]}") from error
    except Exception as error:  # each family of timm refuses sizes in its own way
        raise RequestError(f"cannot be built for {inputs.size}: {error}", where=full) from error


def _timm(name: str) -> Any:
    """Return the module timm, after checking that it is installed and has a model."""
    try:
        import timm
    except ImportError as error:
        raise RequestError(f"timm:{name} needs the timm package", allowed=install_command("timm")) from error
    if not timm.is_model(name):
        raise unknown_of_library("timm", name, timm.list_models())
    return timm


def from_torchvision(name: str, *, classes: int, inputs: InputSpec, original_stem: bool = False) -> nn.Module:
    """Return the untrained classifier ``torchvision:NAME``, its stem fitted unless it is to be the original.

    Raises:
        RequestError: The package has no such model, or its stem does not fit the inputs.
    """
    import torchvision

    if name not in torchvision_names():
        raise unknown_of_library("torchvision", name, torchvision_names())
    full = f"torchvision:{name}"
    facts: dict[str, object] = {"weights": None, "num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        facts |= {"aux_logits": False, "init_weights": True}
    transformer = name.startswith("vit_")
    if transformer:
        if not inputs.is_square:
            raise RequestError(
                f"takes square inputs only, not {inputs.size}",
                where=full,
                allowed=f"{full}@224, which resizes them, or a vision transformer of timm",
            )
        patch = int(name.rsplit("_", 1)[1])
        if not original_stem and fitting_patch(full, patch, inputs) != patch:
            raise unfit_stem(full, inputs, f"its patches are {patch}x{patch} pixels")
        facts["image_size"] = inputs.height
    model: nn.Module = torchvision.models.get_model(name, **facts)
    found = first_convolution(model)
    if found and found[1].in_channels != inputs.channels:
        replace_module(model, found[0], with_channels(found[1], inputs.channels))
    if not transformer and not original_stem:
        fit_stem(model, full, inputs)
    quicken_statistics(model)
    return model


def quicken_statistics(network: nn.Module) -> None:
    """Let batch normalization average over some ten steps, where it would average over a hundred or more.

    The running statistics of torchvision's MobileNetV3, MnasNet and large EfficientNets are meant for
    trainings of a hundred thousand steps: after some hundred they still are those of the beginning, and the
    network predicts at chance although it has learned.

    Example:
        >>> norm = nn.BatchNorm2d(4, momentum=0.01)
        >>> quicken_statistics(norm)
        >>> norm.momentum
        0.1
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:
            module.momentum = max(module.momentum, BATCH_NORM_MOMENTUM)


def from_module(module: str, factory: str, *, classes: int, inputs: InputSpec) -> nn.Module:
    """Import ``MODULE`` (the current directory counts too) and return what its ``FACTORY`` builds.

    The factory is called with ``classes``, ``channels`` and ``resolution``, as far as its signature takes
    them, under these names or those of timm and torchvision. One with a parameter ``inputs`` gets the
    :class:`InputSpec` in the place of the resolution.

    Raises:
        RequestError: There is no such factory, it fails or returns no network, or it takes a resolution and
            the inputs are not square.
    """
    return call_factory(find_factory(module, factory), f"{module}:{factory}", classes=classes, inputs=inputs)


def call_factory(build: Callable[..., Any], name: str, *, classes: int, inputs: InputSpec) -> nn.Module:
    """Return the network that a factory builds, called as :func:`from_module` describes.

    Args:
        build: The factory.
        name: Its name, for messages.
        classes: Number of logits.
        inputs: Shape of one input.

    Raises:
        RequestError: It fails or returns no network, or it takes a resolution and the inputs are not square.
    """
    arguments = _arguments(build, classes, inputs)
    if not inputs.is_square and not {*SPELLINGS["resolution"]}.isdisjoint(arguments):
        raise RequestError(
            f"takes a resolution, and inputs of {inputs.size} have none",
            where=name,
            allowed="square inputs, or a factory with the parameter `inputs`",
        )
    try:
        model = build(**arguments)
    except Exception as error:
        raise RequestError(f"could not be called: {type(error).__name__}: {error}", where=name) from error
    if not isinstance(model, nn.Module):
        raise RequestError(
            f"returned {type(model).__name__}, not a network", where=name, allowed="a torch.nn.Module"
        )
    return model


def find_factory(module: str, factory: str) -> Callable[..., Any]:
    """Import ``MODULE``, found on the path or in the current directory, and return its ``FACTORY``.

    Raises:
        RequestError: It cannot be imported, is not allowed to run, or there is no such function in it.
    """
    here = str(Path.cwd())
    require_code(f"{module}:{factory}", _file_of(module, here))
    sys.path.append(here)
    try:
        source = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise RequestError(f"cannot be imported: {error}", where=module) from error
        near = difflib.get_close_matches(module.lower(), ["timm", "torchvision"], n=1)
        hint = f", did you mean '{near[0]}:{factory}'?" if near else ""
        raise RequestError(
            f"there is no module {error.name!r} on the Python path or in the current directory{hint}",
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


def _file_of(module: str, here: str) -> Path | None:
    """Return the file of a module without importing it; None if it is in a package, which has others."""
    found = PathFinder.find_spec(module, [*sys.path, here]) if "." not in module else None
    return Path(found.origin) if found is not None and found.origin else None


def _arguments(build: Callable[..., Any], classes: int, inputs: InputSpec) -> dict[str, int | InputSpec]:
    """Return the arguments of a factory by the names in its signature."""
    parameters = inspect.signature(build).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    # A partial function has been given what it needs beyond its named parameters.
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters) and not isinstance(build, partial)
    facts = {"classes": classes, "channels": inputs.channels, "resolution": inputs.height}
    arguments: dict[str, int | InputSpec] = {}
    if "inputs" in named:
        arguments["inputs"] = inputs
        del facts["resolution"]
    for fact, value in facts.items():
        default = fact if anything else None
        spelling = next((spelling for spelling in SPELLINGS[fact] if spelling in named), default)
        if spelling:
            arguments[spelling] = value
    return arguments
