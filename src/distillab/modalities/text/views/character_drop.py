"""Characters left out at random."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distillab.data.examples import Indices
from distillab.modalities.text.views.draws import uniform_per_character
from distillab.modalities.views.operation import Operation, operation


@operation("character_drop")
class CharacterDrop(Operation):
    """Each character left out with a probability; those after it move up. The first one stays.

    Attributes:
        share: The probability.

    Example:
        >>> texts = torch.arange(1, 9, dtype=torch.int32).expand(1, 1, 1, 8)
        >>> import numpy as np
        >>> kept = CharacterDrop(share=0.5).render(texts, np.arange(1), epoch=0, seed=0)[0, 0, 0]
        >>> kept.shape, int(kept[0]), bool((kept[kept > 0].diff() > 0).all())
        (torch.Size([8]), 1, True)
    """

    modality: ClassVar[str | None] = "text"

    share: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return texts, ``[N, 1, 1, L]``, with fewer characters and zeros after the end."""
        draws = uniform_per_character(self.bits("drop", ids, epoch, seed), items.shape[3])
        dropped = torch.from_numpy(draws < self.share).to(items.device)
        dropped[:, 0] = False
        order = dropped.to(torch.uint8).argsort(dim=1, stable=True)[:, None, None]
        moved = items.masked_fill(dropped[:, None, None], 0).gather(3, order)
        return moved
