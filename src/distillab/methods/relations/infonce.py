"""InfoNCE: find one's own image among the teacher's embeddings of many, without labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    Share,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.outputs import embeddings
from distillab.models.outputs import Outputs

LARGEST_QUEUE = 65536


@method(
    "infonce", paper="van den Oord et al., Representation learning with contrastive predictive coding, 2018"
)
class Contrast(Method):
    """Contrast: a mean_n CE(p_s, y) - w mean_n log (exp(v_n . t_n / tau) / sum_m exp(v_n . t_m / tau)).

    t ``[N, D_t]`` are the teacher's embeddings of unit length, v what a trained linear layer makes of the
    student's, also of unit length. m goes over the images of the batch and a queue of those the teacher spoke
    of before: ``queue`` times the images of the training set, at most 65536, without those of the image
    itself. The term uses no label; a 0 makes the method do without.

    Defaults: tau 0.07 and the queue as in He et al., "Momentum contrast", CVPR 2020, and similarity
    distillation after it; w 1 and a 1 are ours.

    Paper: van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018,
    equation 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding", "memory"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"embedding"})
    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """tau (``temperature``), the queue as a share of the set, w (``contrast_weight``) and a."""

        temperature: Temperature = 0.07
        queue: Share = 0.25
        contrast_weight: Weight = 1.0

    queue: Tensor
    places: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        width = (pair.student if pair.teacher is None else pair.teacher).embedding or 1
        self.embed = nn.Linear(pair.student.embedding or 1, width)
        size = min(int(config.queue * pair.n_train), LARGEST_QUEUE)
        self.register_buffer("queue", torch.zeros(size, width), persistent=False)
        self.register_buffer("places", torch.zeros(size, dtype=torch.int64), persistent=False)
        self.next = self.filled = 0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``contrast``. Raises ValueError without a teacher or embeddings."""
        ours, theirs = embeddings(self, student, teacher)
        v, t = F.normalize(self.embed(ours), dim=1), F.normalize(theirs, dim=1)
        all_of_them = torch.cat((t, self.queue[: self.filled].to(t)))
        similar = v @ all_of_them.T / self.config.temperature
        itself = F.pad(batch.positions[:, None] == self.places[: self.filled], (len(t), 0), value=False)
        similar = similar.masked_fill(itself, -torch.inf)
        contrast = F.cross_entropy(similar, torch.arange(len(v), device=v.device))
        self._enqueue(t, batch.positions)
        return {
            "contrast": self.config.contrast_weight * contrast,
        }

    @torch.no_grad()
    def _enqueue(self, t: Tensor, positions: Tensor) -> None:
        size = len(self.queue)
        fresh = t[:size]
        places = (self.next + torch.arange(len(fresh), device=t.device)) % max(size, 1)
        self.queue[places] = fresh.to(self.queue)
        self.places[places] = positions[:size]
        self.next = (self.next + len(fresh)) % max(size, 1)
        self.filled = min(self.filled + len(fresh), size)
