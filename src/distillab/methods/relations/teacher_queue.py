"""A queue of a teacher's latest embeddings, and what methods that use one share."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.method import Method, Need, Pair
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs

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


class QueuedEmbeddings(Method):
    """A method that compares the student's embeddings with the teacher's of the batch and of a queue.

    Its configuration has ``queue``, the length of the queue as a share of the training set.

    Attributes:
        embed: The trained linear layer from the student's embedding to the teacher's width.
        queue: The teacher's embeddings of earlier batches.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding", "memory"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"embedding"})

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        width = (pair.student if pair.teacher is None else pair.teacher).embedding or 1
        self.embed: nn.Module = nn.Linear(pair.student.embedding or 1, width)
        self.queue = TeacherQueue(min(int(config.queue * pair.n_train), LARGEST_QUEUE), width)

    def unit_embeddings(self, student: Outputs, teacher: Outputs) -> tuple[Tensor, Tensor]:
        """Return the student's embeddings in the teacher's space and the teacher's, of unit length.

        Raises:
            ValueError: A network gives no embedding.
        """
        e_s, e_t = paired_embeddings(self, student, teacher)
        return F.normalize(self.embed(e_s), dim=1), F.normalize(e_t, dim=1)
