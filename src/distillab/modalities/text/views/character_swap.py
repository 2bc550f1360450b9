"""Neighboring characters exchanged at random."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from distillab.data.examples import Indices
from distillab.modalities.text.views.draws import uniform_per_character
from distillab.modalities.views.operation import Operation, operation


@operation("character_swap")
class CharacterSwap(Operation):
    """Each character exchanged with the next one with a probability. None moves by more than one place.

    Attributes:
        share: The probability.

    Example:
        >>> texts = torch.arange(1, 9, dtype=torch.int32).expand(1, 1, 1, 8)
        >>> swapped = CharacterSwap(share=0.5).render(texts, np.arange(1), epoch=0, seed=0)[0, 0, 0]
        >>> sorted(swapped.tolist()), int((swapped - texts[0, 0, 0]).abs().max())
        ([1, 2, 3, 4, 5, 6, 7, 8], 1)
    """

    modality: ClassVar[str | None] = "text"

    share: Annotated[float, Field(ge=0, lt=1)] = 0.05

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Return texts, ``[N, 1, 1, L]``, with exchanged characters; what follows the end stays."""
        length = items.shape[3]
        begins = uniform_per_character(self.bits("swap", ids, epoch, seed), length) < self.share
        begins[:, -1] = False
        for place in range(1, length):
            begins[:, place] &= ~begins[:, place - 1]
        order = np.tile(np.arange(length), (len(ids), 1))
        order[begins] += 1
        order[:, 1:][begins[:, :-1]] -= 1
        index = torch.from_numpy(order).to(items.device)[:, None, None]
        inside = (items > 0) & (items.gather(3, index) > 0)
        return torch.where(inside, items.gather(3, index), items)
