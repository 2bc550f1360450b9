"""Transfer of distances and angles among the examples of a batch."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Batch, Method, Need, Weight, WeightedConfig, method
from distillab.models.outputs import Outputs

LEAST_MEAN = 1e-12
# Where two examples are nearer than this share of the mean distance, the direction from one to the other is
# mostly rounding; dividing by no less keeps gradients finite when embeddings coincide.
LEAST_DISTANCE = 1e-4


@method("rkd", paper="Park et al., Relational knowledge distillation, CVPR 2019")
class RelationalDistillation(Method):
    """Relational distillation: match the distances and angles among the embeddings of a batch.

    a mean_n CE(p_s, y) + d mean_ij l(D_s, D_t) + g mean_ijk l(A_s, A_t).

    With the embeddings e of a batch, D[i, j] is the distance of e_i and e_j over the mean distance of two
    examples of the batch, A[i, j, k] the cosine of the angle at i between e_j and e_k, and l the Huber loss
    with its bend at 1. Neither changes when all embeddings are moved, turned or scaled together, and those of
    the two networks may differ in width.

    Defaults are the paper's with both terms: d 25, g 50, a 1. Memory grows with N^2 (N + width) for a batch
    of N.

    Paper: Park, Kim, Lu and Cho, "Relational knowledge distillation", CVPR 2019, equations 4 to 9.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            distance_weight: d.
            angle_weight: g.
            ce_weight: a.
        """

        distance_weight: Weight = 25.0
        angle_weight: Weight = 50.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms ``distance`` and ``angle``.

        Raises:
            ValueError: A network gives no embedding.
        """
        if student.embedding is None or teacher.embedding is None:
            raise ValueError(f"method {self.name} needs the embeddings of both networks")
        distances_s, angles_s = relations(student.embedding)
        with torch.no_grad():
            distances_t, angles_t = relations(teacher.embedding)
        return {
            "distance": self.config.distance_weight * smooth_l1_loss(distances_s, distances_t),
            "angle": self.config.angle_weight * smooth_l1_loss(angles_s, angles_t),
        }


def relations(embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances ``[N, N]`` over their mean, and cosines ``[N, N, N]`` of angles.

    An angle is that at the first of three examples. Of an example with itself both are 0.

    Args:
        embedding: ``[N, D]``; computed in float32 at least.
    """
    e = in_full_precision(embedding)
    n = len(e)
    differences = e[None, :, :] - e[:, None, :]
    distances = torch.linalg.vector_norm(
        differences, dim=2
    )  # exact where examples are near; 0 has gradient 0
    mean = (distances.sum() / max(n * (n - 1), 1)).clamp(min=LEAST_MEAN)
    relative = distances / mean
    directions = differences / (mean * relative.clamp(min=LEAST_DISTANCE))[:, :, None]
    return relative, directions @ directions.mT
