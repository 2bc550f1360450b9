"""A queue of a teacher's latest embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LARGEST_QUEUE = 65536


class TeacherQueue(nn.Module):
    """The teacher's latest embeddings, and the places of their examples in the training set.

    Args:
        size: Most embeddings that are held.
        width: Numbers per embedding.
    """

    embeddings: Tensor
    places: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(size, width), persistent=False)
        self.register_buffer("places", torch.zeros(size, dtype=torch.int64), persistent=False)
        self.next = self.filled = 0

    def held(self) -> tuple[Tensor, Tensor]:
        """Return the embeddings held, ``[n, width]``, and their places, int64 ``[n]``."""
        return self.embeddings[: self.filled], self.places[: self.filled]

    @torch.no_grad()
    def add(self, embeddings: Tensor, positions: Tensor) -> None:
        """Hold embeddings ``[N, width]`` of examples at ``positions``, in the place of the oldest."""
        size = len(self.embeddings)
        fresh = embeddings[:size]
        slots = (self.next + torch.arange(len(fresh), device=embeddings.device)) % max(size, 1)
        self.embeddings[slots] = fresh.to(self.embeddings)
        self.places[slots] = positions[:size]
        self.next = (self.next + len(fresh)) % max(size, 1)
        self.filled = min(self.filled + len(fresh), size)
