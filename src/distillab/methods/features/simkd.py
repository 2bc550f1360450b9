"""Reuse of the teacher's classifier."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillab.methods.head_folding import Transplant
from distillab.methods.method import Batch, Need, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs


@method("simkd", paper="Chen et al., Knowledge distillation with the reused teacher classifier, CVPR 2022")
class ReusedClassifier(Transplant):
    """SimKD: give the student the teacher's classifier, and match the embeddings that it reads.

    w mean_n mean_d (P e_s + b - e_t)^2 + a mean_n CE(p_s, y), with p_s by the teacher's layer.

    e are the embeddings ``[N, D]``, P and b a trained projection; the student ends in the teacher's last
    layer, which is fixed. The labels are in that layer already, and are not learned from again.

    Defaults are the authors': w 1, a 0.

    Deviation: their projector is three convolutions on the feature maps before pooling, which stay with the
    student. Here it is linear and comes after pooling, so that it folds into the student's own last layer and
    adds nothing to its size.

    Paper: Chen, Mei, Zhang, Wang, Feng and Chen, "Knowledge distillation with the reused teacher classifier",
    CVPR 2022, equation 3.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding", "teacher_classifier"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            feature_weight: w.
            ce_weight: a.
        """

        feature_weight: Weight = 1.0
        ce_weight: Weight = 0.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``features``.

        Raises:
            ValueError: A network gives no embedding.
        """
        e_s, e_t = paired_embeddings(self, student, teacher)
        return {"features": self.config.feature_weight * F.mse_loss(self.projector(e_s), e_t)}
