"""Correlation congruence: deviations from the teacher should not go together from image to image."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.outputs import embeddings
from distillab.models.outputs import Outputs


@method("cc", paper="Peng et al., Correlation congruence for knowledge distillation, ICCV 2019")
class CorrelationCongruence(Method):
    """Correlation congruence: a mean_n CE(p_s, y) + w mean_n sum_d |e_n[d]| |e_n+1[d]|.

    e is the difference of what two trained linear layers make of the embeddings ``[N, D]`` of student and
    teacher, ``width`` numbers each; n and n + 1 are neighbours in the batch, whose order is random. A
    batch of one has none. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020, whose form of the loss this is: w 0.02,
    a 1, width 128.

    Paper: Peng, Jin, Liu, Li, Wu, Liu, Zhou and Zhang, "Correlation congruence for knowledge distillation",
    ICCV 2019.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding"})

    class Config(WeightedConfig):
        """The width, and the weights w (``cc_weight``) and a (``ce_weight``)."""

        width: Annotated[int, Field(ge=1, strict=True)] = 128
        cc_weight: Weight = 0.02

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        theirs = pair.student if pair.teacher is None else pair.teacher
        self.ours = nn.Linear(pair.student.embedding or 1, config.width)
        self.theirs = nn.Linear(theirs.embedding or 1, config.width)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms ``ce`` and ``cc``. Raises ValueError without a teacher or embeddings."""
        ours, theirs = embeddings(self, student, teacher)
        return {
            "cc": self.config.cc_weight * congruence(self.ours(ours), self.theirs(theirs)),
        }


def congruence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over neighbours of the products of their deviations: ``[N, D]`` both, a scalar."""
    apart = (student - teacher).abs()
    products = (apart[:-1] * apart[1:]).sum(1)
    return products.sum() / max(len(products), 1)
