"""Transfer of the embedding through one linear layer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs


@method(
    "embedding_hint",
    paper="Passalis and Tefas, Deep representations with probabilistic knowledge transfer, ECCV 2018",
)
class EmbeddingHint(Method):
    """Hints of the embedding: match the teacher's embedding through a linear layer.

    a mean_n CE(p_s, y) + w mean_n |W e_s - e_t|^2, or w mean_n |e_s - W e_t|^2.

    e are the embeddings, the inputs of the last linear layers. ``learned``: W is trained and brings the
    student's embedding to the width of the teacher's; the authors call it an optimized hint. ``random``: W is
    a fixed random projection of the teacher's embedding to the width of the student's, with the weights that
    a linear layer begins with. p_s is the student's softmax.

    These are the baselines that the authors compare probabilistic transfer with. w 1 is theirs. a 1 is chosen
    here: they use no labels, and begin with a student that labels have trained, which is
    ``{embedding_hint: {ce_weight: 0}, start: ce}`` in a study.

    Paper: Passalis and Tefas, "Learning deep representations with probabilistic knowledge transfer", ECCV
    2018, section 4.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            projection: Whether W is learned or random.
            hint_weight: w.
            ce_weight: a.
        """

        projection: Literal["learned", "random"] = "learned"
        hint_weight: Weight = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        own, other = (shapes.embedding or 1 for shapes in (pair.student, pair.teacher or pair.student))
        if config.projection == "learned":
            self.connector = nn.Linear(own, other, bias=False)
        else:
            self.connector = nn.Linear(other, own, bias=False).requires_grad_(False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``hint``.

        Raises:
            ValueError: A network gives no embedding.
        """
        e_s, e_t = paired_embeddings(self, student, teacher)
        if self.config.projection == "random":
            difference = e_s - self.connector(e_t)
        else:
            difference = self.connector(e_s) - e_t
        return {"hint": self.config.hint_weight * difference.square().sum(1).mean()}
