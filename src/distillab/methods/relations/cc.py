"""Transfer of how deviations from the teacher correlate between examples."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs


@method("cc", paper="Peng et al., Correlation congruence for knowledge distillation, ICCV 2019")
class CorrelationCongruence(Method):
    """Correlation congruence: penalize deviations from the teacher that neighboring examples share.

    a mean_n CE(p_s, y) + w mean_n sum_d |e_n[d]| |e_n+1[d]|.

    e is the difference of what two trained linear layers make of the embeddings ``[N, D]`` of student and
    teacher, ``width`` numbers each; n and n + 1 are neighbors in the batch, whose order is random. A
    batch of one has none. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020, whose form of the loss this is: w 0.02,
    a 1, width 128.

    Paper: Peng, Jin, Liu, Li, Wu, Liu, Zhou and Zhang, "Correlation congruence for knowledge distillation",
    ICCV 2019.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            width: Outputs of the linear layers.
            cc_weight: w.
            ce_weight: a.
        """

        width: Annotated[int, Field(ge=1, strict=True)] = 128
        cc_weight: Weight = 0.02

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        teacher = pair.student if pair.teacher is None else pair.teacher
        self.embed_student = nn.Linear(pair.student.embedding or 1, config.width)
        self.embed_teacher = nn.Linear(teacher.embedding or 1, config.width)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``cc``.

        Raises:
            ValueError: A network gives no embedding.
        """
        e_s, e_t = paired_embeddings(self, student, teacher)
        return {"cc": self.config.cc_weight * congruence(self.embed_student(e_s), self.embed_teacher(e_t))}


def congruence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over neighbors of the products of their deviations: ``[N, D]`` both, a scalar."""
    deviations = (student - teacher).abs()
    products = (deviations[:-1] * deviations[1:]).sum(1)
    return products.sum() / max(len(products), 1)
