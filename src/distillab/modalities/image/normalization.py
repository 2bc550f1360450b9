"""Normalization of images by channel statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distillab.modalities.normalization import Normalization
from distillab.modalities.views.layout import to_channels_last


@dataclass(frozen=True)
class PixelNormalization(Normalization):
    """Mean and standard deviation per channel on the [0, 1] scale, float32 ``[C]`` each.

    Example:
        >>> import numpy as np
        >>> half = np.full(1, 0.5, np.float32)
        >>> PixelNormalization(half, half)(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).flatten()
        tensor([-1.,  1.])
    """

    def __call__(self, items: Tensor) -> Tensor:
        """Normalize images, uint8 ``[N, C, H, W]``."""
        n, _, height, width = items.shape
        mean = torch.as_tensor(self.mean, device=items.device) * 255.0
        scale = 1.0 / (torch.as_tensor(self.std, device=items.device) * 255.0)
        # An image is one long row, channels last, and so are the statistics: no short loop over channels.
        rows = to_channels_last(items).permute(0, 2, 3, 1).reshape(n, -1).float()
        rows.sub_(mean.repeat(height * width)).mul_(scale.repeat(height * width))
        return rows.view(n, height, width, -1).permute(0, 3, 1, 2)
