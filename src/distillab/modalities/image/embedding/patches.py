"""The ``patches`` embedding: how strongly whitened patches of the images themselves answer in each region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, unfold

from distillab.data.examples import Examples, Indices
from distillab.modalities.embedding.embedding import Embedding, batches, embeddings, fitting_sample
from distillab.modalities.embedding.principal import PrincipalAxes, Vectors

SIDE = 32  # pixels; larger images are averaged down to it
FILTERS = 192
REGIONS = 3  # the image is cut into 3x3 regions
THRESHOLD = 1.0  # answers below it are none
LEARNED_FROM = 2_000  # images that patches are taken from
PATCHES = 40_000  # patches that the whitening is estimated from
FLAT = (10 / 255) ** 2  # variance added to that of a patch, so that noise in flat patches is not blown up
RIDGE = 0.1  # added to the variances of contrast-normalised patches before whitening
_SEED = 0


@embeddings.register("patches")
@dataclass(frozen=True, eq=False)
class PatchEmbedding(Embedding):
    """Answers of whitened random patches, pooled over regions, on principal axes; learned from the images.

    Coates, Lee and Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
    and Coates and Ng, "The Importance of Encoding Versus Training with Sparse Coding and Vector
    Quantization", ICML 2011: randomly chosen whitened patches with a soft threshold. Contrast normalisation,
    whitening and filters are one convolution.

    Attributes:
        filters: float32 ``[K, C, p, p]``, of zero mean.
        offsets: float32 ``[K]``.
        stride: pixels between patches.
        axes: from K x 9 pooled answers to D dimensions.
    """

    filters: Tensor
    offsets: Tensor
    stride: int
    axes: PrincipalAxes

    @classmethod
    def fit(cls, images: Examples, dimensions: int) -> PatchEmbedding:
        sample = fitting_sample(images)
        height, width = (min(side, SIDE) for side in images.shape[1:])
        side, stride = _layout(min(height, width))
        patches = _draw_patches(fitting_sample(sample, LEARNED_FROM), side, stride)
        filters, offsets = _learn(patches, images.shape[0], side)
        features = np.concatenate(
            [_answers(_small(sample, rows), filters, offsets, stride) for rows in batches(sample)]
        )
        return cls(filters, offsets, stride, PrincipalAxes.of(features, dimensions))

    @torch.inference_mode()
    def vectors(self, images: Examples) -> Vectors:
        channels = self.filters.shape[1]
        parts = [
            self.axes(_answers(_small(images, rows, channels), self.filters, self.offsets, self.stride))
            for rows in batches(images)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.axes.axes.shape[1]), np.float32)


def _layout(side: int) -> tuple[int, int]:
    """Side of a patch and stride, for images whose smaller side is ``side``."""
    return max(3, min(6, side // 3)), 2 if side >= 24 else 1


def _small(images: Examples, rows: Indices, channels: int | None = None) -> Tensor:
    """Images averaged down to at most 32 pixels a side: float32 ``[B, C, h, w]`` on [0, 1]."""
    batch = torch.from_numpy(images.pixels(rows)).float().mul_(1 / 255)
    size = (min(batch.shape[2], SIDE), min(batch.shape[3], SIDE))
    if size != tuple(batch.shape[2:]):
        batch = adaptive_avg_pool2d(batch, size)
    if channels and channels != batch.shape[1]:
        batch = batch.mean(dim=1, keepdim=True) if channels == 1 else batch.expand(-1, channels, -1, -1)
    return batch


def _draw_patches(sample: Examples, side: int, stride: int) -> Tensor:
    """Contrast-normalised patches from all over the images: float32 ``[P, C * side * side]``."""
    generator = torch.Generator().manual_seed(_SEED)
    each = max(1, PATCHES // len(sample))
    drawn = []
    for rows in batches(sample):
        columns = unfold(_small(sample, rows), side, stride=stride)
        places = torch.randint(columns.shape[2], (len(rows), 1, each), generator=generator)
        chosen = columns.gather(2, places.expand(-1, columns.shape[1], -1))
        drawn.append(chosen.transpose(1, 2).reshape(-1, columns.shape[1]))
    patches = torch.cat(drawn)
    patches -= patches.mean(dim=1, keepdim=True)
    return patches / (patches.var(dim=1, keepdim=True, unbiased=False) + FLAT).sqrt()


def _learn(patches: Tensor, channels: int, side: int) -> tuple[Tensor, Tensor]:
    """Filters and offsets: answer = (filter * patch) / contrast - offset, for raw patches."""
    mean = patches.mean(dim=0)
    centred = patches - mean
    variances, axes = torch.linalg.eigh((centred.T @ centred / len(centred)).double())
    whitening = (axes @ torch.diag((variances.clamp(min=0) + RIDGE).rsqrt()) @ axes.T).float()
    generator = torch.Generator().manual_seed(_SEED + 1)
    chosen = torch.randperm(len(patches), generator=generator)[:FILTERS]
    white = centred[chosen] @ whitening
    directions = white / white.norm(dim=1, keepdim=True).clamp(min=1e-6)
    filters = directions @ whitening
    offsets = filters @ mean + THRESHOLD
    filters = filters - filters.mean(dim=1, keepdim=True)  # subtracts the mean of the patch it meets
    return filters.reshape(-1, channels, side, side), offsets


@torch.inference_mode()
def _answers(images: Tensor, filters: Tensor, offsets: Tensor, stride: int) -> Vectors:
    """Square roots of the thresholded answers, averaged by region: float32 ``[B, K * 9]``."""
    side = filters.shape[-1]
    box = torch.full((1, 1, side, side), 1 / side**2)
    mean = conv2d(images.mean(dim=1, keepdim=True), box, stride=stride)
    square = conv2d((images * images).mean(dim=1, keepdim=True), box, stride=stride)
    contrast = ((square - mean * mean).clamp_(min=0) + FLAT).rsqrt_()
    answers = conv2d(images, filters, stride=stride).mul_(contrast).sub_(offsets[:, None, None]).clamp_(min=0)
    pooled: Vectors = adaptive_avg_pool2d(answers, REGIONS).flatten(1).sqrt_().numpy()
    return pooled
