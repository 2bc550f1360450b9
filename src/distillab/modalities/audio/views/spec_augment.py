"""SpecAugment: bands and frames masked out."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from distillab.data.examples import Indices
from distillab.modalities.views.operation import Operation, as_stored, operation

MaskShare = Annotated[float, Field(ge=0, le=1)]
MaskCount = Annotated[int, Field(ge=0, strict=True)]


@operation("spec_augment")
class SpecAugment(Operation):
    """Random ranges of bands and of frames set to the mean of their channel.

    The width of a mask is drawn uniformly from 0 to the largest width, and its place uniformly.

    Paper: Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition",
    Interspeech 2019, whose widest masks are 27 of 80 bands and 100 frames; without its time warping.

    Attributes:
        band_masks: Number of masks of bands.
        band_width: Largest width of such a mask, as a share of all bands.
        frame_masks: Number of masks of frames.
        frame_width: Largest width of such a mask, as a share of all frames.

    Example:
        >>> SpecAugment(frame_masks=3).label
        'spec_augment(frame_masks=3)'
    """

    modality: ClassVar[str | None] = "audio"

    band_masks: MaskCount = 2
    band_width: MaskShare = 0.15
    frame_masks: MaskCount = 2
    frame_width: MaskShare = 0.1

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return spectrograms, ``[N, C, F, T]``, with masked bands and frames."""
        _, _, bands, frames = items.shape
        masked = np.zeros((len(ids), bands, frames), dtype=bool)
        for number in range(self.band_masks):
            masked |= self._mask(f"band{number}", bands, self.band_width, ids, epoch, seed)[:, :, None]
        for number in range(self.frame_masks):
            masked |= self._mask(f"frame{number}", frames, self.frame_width, ids, epoch, seed)[:, None, :]
        values = items.float()
        mean = values.mean(dim=(2, 3), keepdim=True)
        where = torch.from_numpy(masked).to(items.device)[:, None]
        return as_stored(torch.where(where, mean, values), items)

    def _mask(
        self, part: str, length: int, share: float, ids: Indices, epoch: int, seed: int
    ) -> npt.NDArray[np.bool_]:
        """Return which of ``length`` bands or frames are masked, bool ``[N, length]``."""
        widest = int(share * length)
        width = (self.uniform(f"{part} width", ids, epoch, seed) * (widest + 1)).astype(np.int64)
        start = (self.uniform(f"{part} start", ids, epoch, seed) * (length - width + 1)).astype(np.int64)
        at = np.arange(length)
        return np.asarray((at >= start[:, None]) & (at < (start + width)[:, None]))
