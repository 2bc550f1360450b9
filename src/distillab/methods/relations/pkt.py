"""Transfer of the probabilities of neighbors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.functional import one_hot

from distillab.errors import RequestError
from distillab.methods.method import Batch, Method, Need, Pair, Weight, WeightedConfig, method
from distillab.methods.paired_outputs import paired_embeddings
from distillab.models.outputs import Outputs

_EPSILON = 1e-7
_LEAST_SQUARE = 1e-6
Kernel = Literal["cosine", "rbf", "gaussian", "cauchy", "student_t", "combined"]
Divergence = Literal["kl", "jeffreys", "squared", "absolute", "exponential", "kagan"]
WITH_BANDWIDTH = ("rbf", "gaussian", "cauchy")


@method(
    "pkt",
    paper="Passalis and Tefas, Deep representations with probabilistic knowledge transfer, ECCV 2018",
)
class ProbabilisticTransfer(Method):
    """Probabilistic transfer: match the probabilities with which examples are neighbors.

    a mean_n CE(p_s, y) + w mean_nm D(q_t[n, m], q_s[n, m]) + v mean_nm KL(q_y[n, m], q_s[n, m]).

    q[n, m] is the kernel of the embeddings ``[N, D]`` of examples n and m over its sum along the row: the
    probability that n picks m as its neighbor. Widths may differ. d is the Euclidean distance, sqrt(|e_n -
    e_m|^2 + 1e-6), and s the bandwidth: by default the mean of d over all pairs of the batch, of each network
    its own, held fixed.

    | kernel | K |
    |---|---|
    | ``cosine`` | (1 + cos) / 2 |
    | ``rbf`` | exp(-d / s) |
    | ``gaussian`` | exp(-d^2 / s^2) |
    | ``cauchy`` | 1 / (1 + d^2 / s^2) |
    | ``student_t`` | 1 / (1 + d), which depends on the scale of the embeddings |
    | ``combined`` | the losses of ``cosine`` and ``student_t`` added |

    D(t, s) is one of ``kl``, t log(t / s); ``jeffreys``, (t - s)(log t - log s); ``squared`` and ``absolute``
    differences; ``exponential``, t (log t - log s)^2; ``kagan``, (t - s)^2 / t. Probabilities in quotients
    and logarithms are increased by 1e-7.

    q_y is the probability that n picks an example of its own class, the same for all of these, itself among
    them: labels in the place of the teacher. Unlabelled examples are left out of this term; a mixed example
    has its classes by their shares. p_s is the student's softmax.

    Defaults as in the CIFAR-100 tables of Tian et al., ICLR 2020: cosine, kl, w 30000, a 1, v 0. The authors'
    first program has a 0, w 1 and for v 0 or 0.001; in their later one ``rbf`` is called ``adaptive_rbf``,
    and ``rbf`` and ``cauchy`` have a bandwidth of 1.

    Paper: Passalis and Tefas, "Learning deep representations with probabilistic knowledge transfer", ECCV
    2018, equations 4 to 7; kernels and divergences after Passalis, Tzelepi and Tefas, "Heterogeneous
    knowledge distillation using information flow modeling", CVPR 2020.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "embedding"})
    later_settings: ClassVar[frozenset[str]] = frozenset({"bandwidth", "label_similarity_weight"})

    class Config(WeightedConfig):
        """Hyper-parameters.

        Attributes:
            kernel: Kernel of the neighbors.
            divergence: D.
            bandwidth: s, of both networks; 0 for the mean distance.
            pkt_weight: w.
            label_similarity_weight: v.
            ce_weight: a.
        """

        kernel: Kernel = "cosine"
        divergence: Divergence = "kl"
        bandwidth: Weight = 0.0
        pkt_weight: Weight = 30000.0
        label_similarity_weight: Weight = 0.0

        @model_validator(mode="after")
        def _has_bandwidth(self) -> Any:
            if self.bandwidth and self.kernel not in WITH_BANDWIDTH:
                kernels = ", ".join(WITH_BANDWIDTH)
                raise ValueError(f"the kernel {self.kernel} has no bandwidth: leave it out, or use {kernels}")
            return self

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        if config.label_similarity_weight and "classification" not in self.task.kinds():
            raise RequestError(
                f"label_similarity_weight of method {self.name} compares classes, and an example of the task "
                f"{self.task.name} can have several",
                allowed="label_similarity_weight: 0",
            )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the term ``pkt``, and ``label_similarity`` if it has a weight.

        Raises:
            ValueError: A network gives no embedding.
        """
        config = self.config
        e_s, e_t = paired_embeddings(self, student, teacher)
        divergence = neighbor_divergence(e_s, e_t, config.kernel, config.divergence, config.bandwidth)
        terms = {"pkt": config.pkt_weight * divergence}
        if config.label_similarity_weight:
            with_labels = label_divergence(
                e_s, label_similarity(batch, student.logits.shape[1]), config.kernel, config.bandwidth
            )
            terms["label_similarity"] = config.label_similarity_weight * with_labels
        return terms

    @classmethod
    def revision_of(cls, config: Any) -> int:
        """Return 1 for the cosine kernel, and 2 for the others, whose distances were squared before."""
        return 1 if config.kernel == "cosine" else 2


def neighbor_divergence(
    student: Tensor, teacher: Tensor, kernel: Kernel, divergence: Divergence, bandwidth: float = 0.0
) -> Tensor:
    """Return the divergence of the probabilities of neighbors, a scalar.

    Args:
        student: Features ``[N, D_s]``.
        teacher: Features ``[N, D_t]``.
        kernel: Kernel of the neighbors.
        divergence: How their probabilities are compared.
        bandwidth: That of the kernel; 0 for the mean distance of each network.
    """
    parts = [
        _divergence(neighbors(teacher, each, bandwidth), neighbors(student, each, bandwidth), divergence)
        for each in _parts(kernel)
    ]
    return torch.stack(parts).sum()


def label_similarity(batch: Batch, classes: int) -> Tensor:
    """Return how much two examples of a batch have the same class, ``[N, N]``; 0 with an unlabelled one.

    It is 1 for the same class and 0 for different ones; between mixed examples it is the product of their
    shares, summed over classes.
    """
    share = _shares(batch.labels, classes)
    if batch.mixed is not None:
        first = batch.mixed.share.to(share.dtype)[:, None]
        second = _shares(batch.mixed.labels, classes)
        known = (share.sum(1, keepdim=True) > 0) & (second.sum(1, keepdim=True) > 0)
        share = torch.where(known, first * share + (1 - first) * second, 0.0)
    return share @ share.T


def label_divergence(student: Tensor, similarity: Tensor, kernel: Kernel, bandwidth: float = 0.0) -> Tensor:
    """Return mean_nm KL of the probabilities of neighbors by labels and by the student, a scalar.

    Args:
        student: Features ``[N, D]``.
        similarity: Similarity by labels, ``[N, N]``; examples without any are left out.
        kernel: Kernel of the neighbors.
        bandwidth: That of the kernel; 0 for the mean distance.
    """
    known = similarity.diagonal() > 0
    if not known.any():
        return student.sum() * 0.0
    features, similar = student[known], similarity[known][:, known].to(student.dtype)
    target = similar / similar.sum(1, keepdim=True)
    parts = [_divergence(target, neighbors(features, each, bandwidth), "kl") for each in _parts(kernel)]
    return torch.stack(parts).sum()


def neighbors(features: Tensor, kernel: Kernel, bandwidth: float = 0.0) -> Tensor:
    """Return the probability that an example picks another as its neighbor.

    Args:
        features: ``[N, D]``.
        kernel: Kernel of the neighbors, not ``combined``.
        bandwidth: That of the kernel; 0 for the mean distance.

    Returns:
        ``[N, N]``, rows sum to 1.
    """
    similar = _SIMILARITIES[kernel](features, bandwidth)
    return torch.div(similar, similar.sum(1, keepdim=True))


def _parts(kernel: Kernel) -> tuple[Kernel, ...]:
    return ("cosine", "student_t") if kernel == "combined" else (kernel,)


def _shares(labels: Tensor, classes: int) -> Tensor:
    """Return which class each example has, float ``[N, classes]``; zeros where it is not known."""
    return one_hot(labels.clamp(min=0), classes).float() * (labels >= 0)[:, None]


def _cosine(features: Tensor, bandwidth: float) -> Tensor:
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


def _scaled(features: Tensor, bandwidth: float) -> Tensor:
    """Distances over the bandwidth, ``[N, N]``."""
    distances = _distances(features)
    return distances / (bandwidth or distances.mean().detach())


def _rbf(features: Tensor, bandwidth: float) -> Tensor:
    return (-_scaled(features, bandwidth)).exp()


def _gaussian(features: Tensor, bandwidth: float) -> Tensor:
    return (-_scaled(features, bandwidth).square()).exp()


def _cauchy(features: Tensor, bandwidth: float) -> Tensor:
    return 1 / (1 + _scaled(features, bandwidth).square())


def _student_t(features: Tensor, bandwidth: float) -> Tensor:
    return 1 / (1 + _distances(features))


_SIMILARITIES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "cosine": _cosine,
    "rbf": _rbf,
    "gaussian": _gaussian,
    "cauchy": _cauchy,
    "student_t": _student_t,
}


def _divergence(teacher: Tensor, student: Tensor, divergence: Divergence) -> Tensor:
    if divergence == "squared":
        return (teacher - student).square().mean()
    if divergence == "absolute":
        return (teacher - student).abs().mean()
    if divergence == "kagan":
        return ((teacher - student).square() / (teacher + _EPSILON)).mean()
    ratio = ((teacher + _EPSILON) / (student + _EPSILON)).log()
    if divergence == "exponential":
        return (teacher * ratio.square()).mean()
    return ((teacher if divergence == "kl" else teacher - student) * ratio).mean()
