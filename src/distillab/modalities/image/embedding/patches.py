"""The ``patches`` embedding: responses of whitened patches of the images themselves, per region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, unfold

from distillab.data.examples import Examples, Indices
from distillab.modalities.embedding.embedding import Embedding, batches, embeddings, fitting_sample
from distillab.modalities.embedding.principal import PrincipalAxes, Vectors

_SIDE = 32  # pixels; larger images are averaged down to it
_FILTERS = 192
_REGIONS = 3  # the image is divided into 3x3 regions
_THRESHOLD = 1.0  # responses below it are set to zero
_LEARNED_FROM = 2_000  # images that patches are taken from
_PATCHES = 40_000  # patches that the whitening is estimated from
_FLAT = (10 / 255) ** 2  # added to the variance of a patch, so that noise in flat patches is not amplified
_RIDGE = 0.1  # added to the variances of contrast-normalized patches before whitening
_SEED = 0


@embeddings.register("patches")
@dataclass(frozen=True, eq=False)
class PatchEmbedding(Embedding):
    """Responses of whitened random patches, pooled over regions, on principal axes; learned from the images.

    Coates, Lee and Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
    and Coates and Ng, "The Importance of Encoding Versus Training with Sparse Coding and Vector
    Quantization", ICML 2011: randomly chosen whitened patches with a soft threshold. Contrast
    normalization, whitening and filters are one convolution.

    Attributes:
        filters: float32 ``[K, C, p, p]``, of zero mean.
        offsets: float32 ``[K]``.
        stride: Pixels between patches.
        axes: The map from K x 9 pooled responses to D dimensions.

    Example:
        >>> pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
        >>> images = Examples.of(pixels, [0, 1] * 10, ("cat", "dog"))
        >>> PatchEmbedding.fit(images, 4).vectors(images).shape
        (20, 4)
    """

    filters: Tensor
    offsets: Tensor
    stride: int
    axes: PrincipalAxes

    @classmethod
    def fit(cls, examples: Examples, dimensions: int) -> PatchEmbedding:
        """Return the embedding fitted on some images."""
        sample = fitting_sample(examples)
        height, width = (min(side, _SIDE) for side in examples.shape[1:])
        side, stride = _layout(min(height, width))
        patches = _draw_patches(fitting_sample(sample, _LEARNED_FROM), side, stride)
        filters, offsets = _learn(patches, examples.shape[0], side)
        features = np.concatenate(
            [_responses(_small(sample, rows), filters, offsets, stride) for rows in batches(sample)]
        )
        return cls(filters, offsets, stride, PrincipalAxes.of(features, dimensions))

    @torch.inference_mode()
    def vectors(self, examples: Examples) -> Vectors:
        """Return float32 ``[N, D]``, one row per image."""
        channels = self.filters.shape[1]
        parts = [
            self.axes(_responses(_small(examples, rows, channels), self.filters, self.offsets, self.stride))
            for rows in batches(examples)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.axes.axes.shape[1]), np.float32)


def _layout(side: int) -> tuple[int, int]:
    """Return the side of a patch and the stride, for images whose smaller side is ``side``."""
    return max(3, min(6, side // 3)), 2 if side >= 24 else 1


def _small(images: Examples, rows: Indices, channels: int | None = None) -> Tensor:
    """Average images down to at most 32 pixels per side: float32 ``[B, C, h, w]`` on [0, 1]."""
    batch = torch.from_numpy(images.pixels(rows)).float().mul_(1 / 255)
    size = (min(batch.shape[2], _SIDE), min(batch.shape[3], _SIDE))
    if size != tuple(batch.shape[2:]):
        batch = adaptive_avg_pool2d(batch, size)
    if channels and channels != batch.shape[1]:
        batch = batch.mean(dim=1, keepdim=True) if channels == 1 else batch.expand(-1, channels, -1, -1)
    return batch


def _draw_patches(sample: Examples, side: int, stride: int) -> Tensor:
    """Return contrast-normalized patches from random places: float32 ``[P, C * side * side]``."""
    generator = torch.Generator().manual_seed(_SEED)
    each = max(1, _PATCHES // len(sample))
    drawn = []
    for rows in batches(sample):
        columns = unfold(_small(sample, rows), side, stride=stride)
        places = torch.randint(columns.shape[2], (len(rows), 1, each), generator=generator)
        chosen = columns.gather(2, places.expand(-1, columns.shape[1], -1))
        drawn.append(chosen.transpose(1, 2).reshape(-1, columns.shape[1]))
    patches = torch.cat(drawn)
    patches -= patches.mean(dim=1, keepdim=True)
    return patches / (patches.var(dim=1, keepdim=True, unbiased=False) + _FLAT).sqrt()


def _learn(patches: Tensor, channels: int, side: int) -> tuple[Tensor, Tensor]:
    """Return filters and offsets: response = (filter * patch) / contrast - offset, for raw patches."""
    mean = patches.mean(dim=0)
    centered = patches - mean
    variances, axes = torch.linalg.eigh((centered.T @ centered / len(centered)).double())
    whitening = (axes @ torch.diag((variances.clamp(min=0) + _RIDGE).rsqrt()) @ axes.T).float()
    generator = torch.Generator().manual_seed(_SEED + 1)
    chosen = torch.randperm(len(patches), generator=generator)[:_FILTERS]
    white = centered[chosen] @ whitening
    directions = white / white.norm(dim=1, keepdim=True).clamp(min=1e-6)
    filters = directions @ whitening
    offsets = filters @ mean + _THRESHOLD
    filters = filters - filters.mean(dim=1, keepdim=True)  # subtracts the mean of the patch
    return filters.reshape(-1, channels, side, side), offsets


@torch.inference_mode()
def _responses(images: Tensor, filters: Tensor, offsets: Tensor, stride: int) -> Vectors:
    """Return square roots of the thresholded responses, averaged per region: float32 ``[B, K * 9]``."""
    side = filters.shape[-1]
    box = torch.full((1, 1, side, side), 1 / side**2)
    mean = conv2d(images.mean(dim=1, keepdim=True), box, stride=stride)
    square = conv2d((images * images).mean(dim=1, keepdim=True), box, stride=stride)
    contrast = ((square - mean * mean).clamp_(min=0) + _FLAT).rsqrt_()
    responses = (
        conv2d(images, filters, stride=stride).mul_(contrast).sub_(offsets[:, None, None]).clamp_(min=0)
    )
    pooled: Vectors = adaptive_avg_pool2d(responses, _REGIONS).flatten(1).sqrt_().numpy()
    return pooled
