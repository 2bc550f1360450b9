"""Contrastive transfer against a queue of teacher embeddings, without labels."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distillab.methods.method import (
    Batch,
    Share,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.methods.relations.teacher_queue import QueuedEmbeddings
from distillab.models.outputs import Outputs


@method(
    "infonce", paper="van den Oord et al., Representation learning with contrastive predictive coding, 2018"
)
class Contrast(QueuedEmbeddings):
    """InfoNCE: identify an example among the teacher's embeddings of many, without labels.

    a mean_n CE(p_s, y) - w mean_n log (exp(v_n . t_n / tau) / sum_m exp(v_n . t_m / tau)).

    t ``[N, D_t]`` are the teacher's embeddings of unit length, v the output of a trained linear layer on the
    student's, also of unit length. m goes over the examples of the batch and a queue of the teacher's earlier
    embeddings: ``queue`` times the examples of the training set, at most 65536, without those of the example
    itself. The term uses no label; with a 0 the method uses none at all.

    Defaults: tau 0.07 and the queue as in He et al., "Momentum contrast", CVPR 2020, and similarity
    distillation after it; w 1 and a 1 are chosen here.

    Paper: van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018,
    equation 4.
    """

    revision: ClassVar[int] = 2

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: tau.
            queue: Length of the queue as a share of the training set.
            contrast_weight: w.
            ce_weight: a.
        """

        temperature: Temperature = 0.07
        queue: Share = 0.25
        contrast_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``contrast``.

        Raises:
            ValueError: A network gives no embedding.
        """
        v, t = self.unit_embeddings(student, teacher)
        earlier, places = self.queue.held()
        candidates = torch.cat((t, earlier.to(t)))
        similar = v @ candidates.T / self.config.temperature
        itself = F.pad(batch.positions[:, None] == places, (len(t), 0), value=False)
        similar = similar.masked_fill(itself, -torch.inf)
        contrast = F.cross_entropy(similar, torch.arange(len(v), device=v.device))
        self.queue.add(t, batch.positions)
        return {"contrast": self.config.contrast_weight * contrast}
