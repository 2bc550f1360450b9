"""What the networks gave a method, in full precision; a method that lacks something says what."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from distillab.methods.divergence import in_full_precision
from distillab.methods.method import Method
from distillab.models.outputs import Outputs


def embeddings(method: Method, student: Outputs, teacher: Outputs) -> tuple[Tensor, Tensor]:
    """Embeddings ``[N, D_s]`` and ``[N, D_t]``, the second without gradient. Raises ValueError."""
    if student.embedding is None or teacher.embedding is None:
        raise ValueError(f"method {method.name} needs the embeddings of both networks")
    return in_full_precision(student.embedding), in_full_precision(teacher.embedding.detach())


def maps(method: Method, student: Outputs, teacher: Outputs) -> list[tuple[Tensor, Tensor]]:
    """Feature maps of paired stages, from shallow to deep, the teacher's without gradient.

    Stages are paired from the deepest backwards; those left over at the shallow end are not used. Raises
    ValueError.
    """
    return paired(method, student.maps, teacher.maps, "feature maps")


def preactivations(method: Method, student: Outputs, teacher: Outputs) -> list[tuple[Tensor, Tensor]]:
    """As :func:`maps`, before the ReLU that ends a stage."""
    return paired(method, student.preactivations, teacher.preactivations, "preactivations")


def paired(
    method: Method, ours: Sequence[Tensor], theirs: Sequence[Tensor], what: str
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of stages from the deepest backwards, shallow ones first. Raises ValueError if there are none."""
    stages = min(len(ours), len(theirs))
    if not stages:
        raise ValueError(f"method {method.name} needs the {what} of both networks")
    pairs = zip(ours[-stages:], theirs[-stages:], strict=True)
    return [(in_full_precision(s), in_full_precision(t.detach())) for s, t in pairs]


def at_one_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Maps ``[N, C, H, W]``, the larger average-pooled to the smaller height and width."""
    height, width = (min(student.shape[i], teacher.shape[i]) for i in (2, 3))
    ours, theirs = (
        x if x.shape[2:] == (height, width) else adaptive_avg_pool2d(x, (height, width))
        for x in (student, teacher)
    )
    return ours, theirs
