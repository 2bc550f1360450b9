"""Transfer of similarities to a queue of teacher embeddings, without labels."""

from __future__ import annotations

import torch
from torch import Tensor

from distillab.methods.divergence import kl_divergence
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


@method("queue_similarity", paper="LightlyTrain, distillation v1, 2025")
class QueueSimilarity(QueuedEmbeddings):
    """Queue similarity: match similarities to many other examples in the teacher's space, without labels.

    a mean_n CE(p_s, y) + w mean_n KL(p_t || p_s'), p_t = softmax(Q t / tau), p_s' = softmax(Q v / tau).

    t ``[N, D]`` are the teacher's embeddings of unit length, v the output of a trained linear layer on the
    student's, also of unit length. The rows of Q are the teacher's embeddings of the batch and of a queue of
    earlier ones: ``queue`` times the examples of the training set, at most 65536. The term uses no label and
    no class of the teacher, so that any pretrained network can teach; p_s is the student's softmax.

    Defaults: tau 0.07, and a queue of a quarter of the training set, as in the program for sets of medium
    size. w 1 and a 1 are chosen here: the program trains features alone, without labels.

    Deviations: the program always mixes two examples by a share between 0 and 1; here that is the recipe's
    augmentation (``mixup``), which the plain student gets as well. Its queue begins with zeros that count as
    embeddings; here it begins empty, and the batch stands beside it rather than in it.

    Paper: LightlyTrain, "distillation" version 1, 2025 (a program, without a paper).
    """

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: tau.
            queue: Length of the queue as a share of the training set.
            similarity_weight: w.
            ce_weight: a.
        """

        temperature: Temperature = 0.07
        queue: Share = 0.25
        similarity_weight: Weight = 1.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``similarity``.

        Raises:
            ValueError: A network gives no embedding.
        """
        v, t = self.unit_embeddings(student, teacher)
        others, _ = self.queue.held()
        rows = torch.cat((t, others.to(t)))
        divergence = kl_divergence(v @ rows.T, t @ rows.T, self.config.temperature).mean()
        self.queue.add(t, batch.positions)
        return {"similarity": self.config.similarity_weight * divergence}
