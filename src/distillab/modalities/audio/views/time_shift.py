"""Time shift: a recording that begins earlier or later."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from distillab.data.examples import Indices
from distillab.modalities.views.operation import Operation, operation


@operation("time_shift")
class TimeShift(Operation):
    """The spectrogram shifted in time by up to a share of its length, either way.

    Frames without content are filled with the smallest value of each band.

    Attributes:
        share: Largest shift, as a share of all frames.

    Example:
        >>> ramp = torch.arange(10.0).expand(3, 1, 1, 10)
        >>> TimeShift(share=0.2).render(ramp, np.arange(3), epoch=0, seed=0)[:, 0, 0, 5]
        tensor([3., 5., 4.])
    """

    modality: ClassVar[str | None] = "audio"

    share: Annotated[float, Field(gt=0, le=1)] = 0.1

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return shifted spectrograms, ``[N, C, F, T]``."""
        frames = items.shape[3]
        most = int(self.share * frames)
        shift = (self.uniform("shift", ids, epoch, seed) * (2 * most + 1)).astype(np.int64) - most
        origin = torch.from_numpy(np.arange(frames) - shift[:, None]).to(items.device)[:, None, None]
        inside = (origin >= 0) & (origin < frames)
        moved = items.gather(3, origin.clamp(0, frames - 1).expand_as(items))
        return torch.where(inside, moved, items.amin(dim=3, keepdim=True))
