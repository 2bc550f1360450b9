"""Transfer of the probabilities of neighbors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from distillab.methods.method import Batch, Method, Need, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs

_EPSILON = 1e-7
_LEAST_SQUARE = 1e-6
Kernel = Literal["cosine", "rbf", "student_t", "combined"]
Divergence = Literal["kl", "jeffreys", "squared", "absolute"]


@method(
    "pkt",
    paper="Passalis and Tefas, Deep representations with probabilistic knowledge transfer, ECCV 2018",
)
class ProbabilisticTransfer(Method):
    """Probabilistic transfer: match the probabilities with which examples are neighbors.

    a mean_n CE(p_s, y) + w mean_nm D(q_t[n, m], q_s[n, m]).

    q[n, m] is the kernel of the embeddings ``[N, D]`` of examples n and m over its sum along the row: the
    probability that n picks m as its neighbor. Widths may differ. Kernels: ``cosine``, (1 + cos) / 2;
    ``rbf``, exp(-d / s) with s the mean of d over all pairs of the batch, held fixed; ``student_t``, 1 / (1 +
    d), which depends on the scale of the embeddings; ``combined``, the losses of cosine and student_t added.
    d is the Euclidean distance, sqrt(|e_n - e_m|^2 + 1e-6). Divergences D(t, s): ``kl``, t log(t / s);
    ``jeffreys``, (t - s)(log t - log s); ``squared`` and ``absolute`` differences. p_s is the student's
    softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: cosine, kl, w 30000, a 1. The other kernels
    are those of the authors' later program, whose name for rbf is ``adaptive_rbf``.

    Paper: Passalis and Tefas, "Learning deep representations with probabilistic knowledge transfer", ECCV
    2018, equations 4 to 7; kernels and divergences after Passalis, Tzelepi and Tefas, "Heterogeneous
    knowledge distillation using information flow modeling", CVPR 2020.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            kernel: Kernel of the neighbors.
            divergence: D.
            pkt_weight: w.
            ce_weight: a.
        """

        kernel: Kernel = "cosine"
        divergence: Divergence = "kl"
        pkt_weight: Weight = 30000.0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``pkt``.

        Raises:
            ValueError: A network gives no embedding.
        """
        config = self.config
        embeddings = paired_embeddings(self, student, teacher)
        return {"pkt": config.pkt_weight * neighbor_divergence(*embeddings, config.kernel, config.divergence)}

    @classmethod
    def revision_of(cls, config: Any) -> int:
        """Return 1 for the cosine kernel, and 2 for the others, whose distances were squared before."""
        return 1 if config.kernel == "cosine" else 2


def neighbor_divergence(student: Tensor, teacher: Tensor, kernel: Kernel, divergence: Divergence) -> Tensor:
    """Return the divergence of the probabilities of neighbors, a scalar.

    Args:
        student: Features ``[N, D_s]``.
        teacher: Features ``[N, D_t]``.
        kernel: Kernel of the neighbors.
        divergence: How their probabilities are compared.
    """
    kernels: tuple[Kernel, ...] = ("cosine", "student_t") if kernel == "combined" else (kernel,)
    parts = [_divergence(neighbors(teacher, each), neighbors(student, each), divergence) for each in kernels]
    return torch.stack(parts).sum()


def neighbors(features: Tensor, kernel: Kernel) -> Tensor:
    """Return the probability that an example picks another as its neighbor.

    Args:
        features: ``[N, D]``.
        kernel: Kernel of the neighbors, not ``combined``.

    Returns:
        ``[N, N]``, rows sum to 1.
    """
    similar = _SIMILARITIES[kernel](features)
    return torch.div(similar, similar.sum(1, keepdim=True))


def _cosine(features: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    unit = features / (length + _EPSILON)
    return (1 + unit @ unit.T) / 2


def _distances(features: Tensor) -> Tensor:
    """Distances between examples, ``[N, N]``; of products, so that no tensor is [N, N, D]."""
    centered = features - features.mean(0).detach()
    products = centered @ centered.T
    lengths = products.diagonal()
    squared = (lengths[:, None] + lengths[None] - 2 * products).clamp(min=0)
    return (squared + _LEAST_SQUARE).sqrt()


def _rbf(features: Tensor) -> Tensor:
    distances = _distances(features)
    return (-distances / distances.mean().detach()).exp()


def _student_t(features: Tensor) -> Tensor:
    return 1 / (1 + _distances(features))


_SIMILARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "cosine": _cosine,
    "rbf": _rbf,
    "student_t": _student_t,
}


def _divergence(teacher: Tensor, student: Tensor, divergence: Divergence) -> Tensor:
    if divergence == "squared":
        return (teacher - student).square().mean()
    if divergence == "absolute":
        return (teacher - student).abs().mean()
    ratio = ((teacher + _EPSILON) / (student + _EPSILON)).log()
    return ((teacher if divergence == "kl" else teacher - student) * ratio).mean()
