"""Self-supervised training: two views of one example are told from those of all others."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import (
    Batch,
    Method,
    Need,
    Pair,
    TeacherKind,
    Temperature,
    Weight,
    WeightedConfig,
    method,
)
from distillab.models.outputs import Outputs


@method("simclr", paper="Chen et al., A simple framework for contrastive learning, ICML 2020")
class SimClr(Method):
    """SimCLR: a student learns from views alone, without a teacher and without labels.

    a mean_n CE(p_s, y) - w mean_i log (exp(z_i . z_j / tau) / sum_(k != i) exp(z_i . z_k / tau)).

    i goes over both views of the N examples of a batch, j is the other view of the same example, and k over
    all 2N - 1 others. z are of unit length: the outputs of two trained linear layers with a ReLU between them
    on the embedding, the input of the student's last linear layer. These layers do not stay in the student.

    One view is that of the recipe, the other its strong view; the authors draw both from one strong
    augmentation. Defaults: 128 outputs are the authors', as is tau 0.5, of their runs on CIFAR-10; w is 1,
    and a is 0: no label is used. p_s is the student's softmax.

    Paper: Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020, equation 1.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"embedding", "strong_view"})
    teacher: ClassVar[TeacherKind] = "none"
    learns_unlabelled: ClassVar[bool | None] = True

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            temperature: tau.
            width: Outputs of the layers on the embedding.
            contrast_weight: w.
            ce_weight: a.
        """

        temperature: Temperature = 0.5
        width: int = 128
        contrast_weight: Weight = 1.0
        ce_weight: Weight = 0.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        own = pair.student.embedding or 1
        self.project = nn.Sequential(nn.Linear(own, own), nn.ReLU(), nn.Linear(own, config.width))

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``contrast``.

        Raises:
            ValueError: The student gives no embedding, or the batch has no strong views.
        """
        other = None if batch.strong is None else batch.strong.student.embedding
        if student.embedding is None or other is None:
            raise ValueError(f"method {self.name} needs the embeddings of the student for two views")
        both = in_full_precision(torch.cat((student.embedding, other)).flatten(1))
        z = F.normalize(self.project(both), dim=1)
        similar = z @ z.T / self.config.temperature
        similar = similar.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
        twin = torch.arange(len(z), device=z.device).roll(len(z) // 2)
        return {"contrast": self.config.contrast_weight * F.cross_entropy(similar, twin)}
