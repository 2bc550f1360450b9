"""Transfer of the direction of the embedding."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs


@method(
    "cosine_embedding",
    paper="Wang et al., Knowledge distillation for small foot-print deep speaker embedding, ICASSP 2019",
)
class CosineEmbedding(Method):
    """Cosine distance: bring the direction of the student's embedding to that of the teacher's.

    a mean_n CE(p_s, y) + w mean_n (1 - cos(W e_s, e_t)).

    e are the embeddings, the inputs of the last linear layers; the trained linear layer W brings the
    student's to the width of the teacher's. Lengths do not count, as where embeddings are compared by cosine
    similarity. The term uses no label; with a 0 the method uses none at all. p_s is the student's softmax.

    The authors' networks have embeddings of one width and no W. Defaults w 1 and a 1 are chosen here.

    Paper: Wang et al., "Knowledge distillation for small foot-print deep speaker embedding", ICASSP 2019.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding"})
    teacher_needs: ClassVar[frozenset[Need] | None] = frozenset({"embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            cosine_weight: w.
            ce_weight: a.
        """

        cosine_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        own, other = (shapes.embedding or 1 for shapes in (pair.student, pair.teacher or pair.student))
        self.embed = nn.Linear(own, other)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``cosine``.

        Raises:
            ValueError: A network gives no embedding.
        """
        e_s, e_t = paired_embeddings(self, student, teacher)
        distance = 1 - (F.normalize(self.embed(e_s), dim=1) * F.normalize(e_t, dim=1)).sum(1)
        return {"cosine": self.config.cosine_weight * distance.mean()}
