"""How plain torchvision or timm builds a network, as far as its name and a few layers say it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import torch
from torch import nn

from distillab.canonical import JsonObject
from distillab.deploy.description import ModelDescription
from distillab.models import ensemble_parts
from distillab.models.input_transforms import split_input_size
from distillab.models.stems import first_convolution, split_stem

LibraryArguments = Mapping[str, int | bool | list[int]]
"""Arguments of a library's function that builds networks."""
_MOST_LAYERS = 4  # replaced layers that a snippet of ten lines can hold
_WRITTEN = re.compile(r"(Conv2d|Identity|MaxPool2d|Linear)\(([\w\s,.=()-]*)\)")
_UNQUOTED = re.compile(r"padding(_mode)?=[a-z]")  # text that repr leaves without quotes


@dataclass(frozen=True)
class BuildRecipe:
    """How a library builds a network.

    Attributes:
        library: ``torchvision`` or ``timm``.
        name: The library's name of the network.
        arguments: Of its function that builds networks by name.
        layers: Layers to replace afterwards, as Python code of ``torch.nn``, by path.
        pixels: The side of the square that inputs are resized to first; None if they are not.

    Example:
        >>> BuildRecipe("torchvision", "resnet18", {"num_classes": 4}).call
        "torchvision.models.get_model('resnet18', num_classes=4)"
    """

    library: str
    name: str
    arguments: LibraryArguments
    layers: Mapping[str, str] = field(default_factory=dict)
    pixels: int | None = None

    @property
    def call(self) -> str:
        """The call that builds the network, before layers are replaced."""
        function = "torchvision.models.get_model" if self.library == "torchvision" else "timm.create_model"
        arguments = "".join(f", {key}={value!r}" for key, value in self.arguments.items())
        return f"{function}({self.name!r}{arguments})"

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "library": self.library,
            "call": self.call,
            "name": self.name,
            "arguments": dict(self.arguments),
            "layers": {path: f"torch.nn.{layer}" for path, layer in self.layers.items()},
            "input_size": self.pixels,
        }


def find_recipe(network: nn.Module, description: ModelDescription) -> BuildRecipe | None:
    """Return how a library builds a network; None if none does in a few lines.

    Args:
        network: The network.
        description: What it is.

    Example:
        >>> import numpy as np
        >>> from distillab.models import InputSpec
        >>> half = np.full(3, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="torchvision:squeezenet1_1", classes=("a", "b"), item=InputSpec(3, 96, 96),
        ...     mean=half, std=half,
        ... )
        >>> find_recipe(description.build(), description).call
        "torchvision.models.get_model('squeezenet1_1', num_classes=2)"
    """
    if description.pruned or ensemble_parts(description.architecture):
        return None
    sized, pixels = split_input_size(description.architecture)
    library, _, name = split_stem(sized)[0].partition(":")
    if library not in ("torchvision", "timm"):
        return None
    for arguments in _possible(library, name, network, description, pixels):
        layers = _replaced(library, name, arguments, network)
        if layers is not None:
            return BuildRecipe(library, name, arguments, layers, pixels)
    return None


def _possible(
    library: str, name: str, network: nn.Module, description: ModelDescription, pixels: int | None
) -> Iterator[dict[str, int | bool | list[int]]]:
    """Yield arguments that may build the network, the shortest first."""
    size = description.network_input
    side: int | list[int] = size.height if size.is_square else [size.height, size.width]
    side = pixels or side
    basic: dict[str, int | bool | list[int]] = {"num_classes": description.width}
    if library == "torchvision":
        if name in ("googlenet", "inception_v3"):
            basic |= {"aux_logits": False, "init_weights": False}
        yield basic
        yield {**basic, "image_size": side}
        return
    if size.channels != 3:
        basic["in_chans"] = size.channels
    yield basic
    yield {**basic, "img_size": side}
    found = first_convolution(network)
    if found:
        yield {**basic, "img_size": side, "patch_size": int(found[1].kernel_size[0])}


def _replaced(
    library: str, name: str, arguments: LibraryArguments, network: nn.Module
) -> dict[str, str] | None:
    """Return the layers in which a network differs from what a library builds; None if it is another one."""
    try:
        with torch.device("meta"):
            plain = _create(library, name, arguments)
    except Exception:  # noqa: BLE001  # arguments that this network does not take
        return None
    layers: dict[str, str] = {}
    for path, module in network.named_modules():
        if any(True for _ in module.children()):
            continue
        other = _module_at(plain, path)
        if other is None:
            return None
        if repr(other) != repr(module):
            written = repr(module)
            if not _WRITTEN.fullmatch(written) or _UNQUOTED.search(written):
                return None
            layers[path] = written
            plain.set_submodule(path, copy.deepcopy(module).to("meta"))
    same = repr(plain) == repr(network) and _shapes(plain) == _shapes(network)
    return layers if same and len(layers) <= _MOST_LAYERS else None


def _create(library: str, name: str, arguments: LibraryArguments) -> nn.Module:
    package = import_module("torchvision.models" if library == "torchvision" else "timm")
    create = package.get_model if library == "torchvision" else package.create_model
    network: nn.Module = create(name, **arguments)
    return network


def _module_at(network: nn.Module, path: str) -> nn.Module | None:
    try:
        return network.get_submodule(path)
    except AttributeError:
        return None


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}
