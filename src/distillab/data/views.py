"""Views: augmentation as a function of (image id, epoch, seed), rendered for a whole batch at once.

A view never depends on global random state or on its neighbours in the batch. Teacher and student therefore
see the same pixels, twins see the same pixels, and what a teacher said about a view can be stored and reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distillab.data.imageset import Indices
from distillab.data.randomness import random_bits

ViewKind = Literal["none", "flip", "crop", "crop_flip"]


@dataclass(frozen=True)
class Views:
    """Which views are drawn: random crops of the image padded by ``pad`` black pixels, and mirror images."""

    kind: ViewKind
    pad: int

    @classmethod
    def resolve(cls, kind: ViewKind | Literal["auto"], *, channels: int, resolution: int) -> Views:
        """The views for images of a size. ``auto``: crops for grey images (digits have no mirror), crops and
        flips for colour. The padding is an eighth of the side: the usual 4 pixels at 32."""
        if kind == "auto":
            kind = "crop" if channels == 1 else "crop_flip"
        pad = max(1, resolution // 8) if "crop" in kind else 0
        return cls(kind, pad)

    def draw(self, ids: Indices, epoch: int, seed: int) -> ViewParameters:
        """The view of each image in an epoch: a pure function of id, epoch and seed."""
        bits = random_bits(ids, seed, epoch)
        sides = np.uint64(2 * self.pad + 1)
        top = (bits & np.uint64(0xFFFFF)) % sides
        left = ((bits >> np.uint64(20)) & np.uint64(0xFFFFF)) % sides
        flip = (bits >> np.uint64(63)).astype(bool) if "flip" in self.kind else np.zeros(len(ids), dtype=bool)
        return ViewParameters(
            torch.from_numpy(top.astype(np.int64)),
            torch.from_numpy(left.astype(np.int64)),
            torch.from_numpy(flip),
        )

    def render(self, pixels: Tensor, parameters: ViewParameters) -> Tensor:
        """The views of a batch: ``pixels`` [N, C, H, W] (any dtype) to the same shape, dtype and device."""
        if self.kind == "none":
            return pixels
        n, _, height, width = pixels.shape
        device = pixels.device
        rows = parameters.top.to(device)[:, None] + torch.arange(height, device=device)
        columns = torch.arange(width, device=device).expand(n, width)
        columns = torch.where(parameters.flip.to(device)[:, None], columns.flip(1), columns)
        columns = columns + parameters.left.to(device)[:, None]
        padded = F.pad(pixels, (self.pad,) * 4)
        image = torch.arange(n, device=device)[:, None, None]
        # Indexing around the channel axis puts it last: [N, H, W, C], which is channels-last memory already.
        return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class ViewParameters:
    """Crop offsets (int64 ``[N]``, from the padded top left corner) and mirror flags (bool ``[N]``)."""

    top: Tensor
    left: Tensor
    flip: Tensor
