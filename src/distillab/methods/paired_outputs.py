"""Outputs of student and teacher side by side, in full precision."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from distillab.methods.method import Batch, Method
from distillab.models.outputs import Outputs
from distillab.tasks.losses import in_full_precision

TensorPair = tuple[Tensor, Tensor]


def paired_embeddings(method: Method, student: Outputs, teacher: Outputs) -> TensorPair:
    """Return the embeddings ``[N, D_s]`` and ``[N, D_t]``, the teacher's without gradient.

    Raises:
        ValueError: A network gives no embedding.
    """
    if student.embedding is None or teacher.embedding is None:
        raise ValueError(f"method {method.name} needs the embeddings of both networks")
    return in_full_precision(student.embedding), in_full_precision(teacher.embedding.detach())


def paired_maps(method: Method, student: Outputs, teacher: Outputs) -> list[TensorPair]:
    """Return the feature maps of paired stages, from shallow to deep, the teacher's without gradient.

    Stages are paired from the deepest backwards; those left over at the shallow end are not used.

    Raises:
        ValueError: A network gives no feature maps.
    """
    return _paired(method, student.maps, teacher.maps, "feature maps")


def paired_backbones(method: Method, student: Outputs, teacher: Outputs) -> list[TensorPair]:
    """Return what :func:`paired_maps` does, of the backbones of detectors."""
    return _paired(method, student.backbone, teacher.backbone, "backbones")


def paired_preactivations(method: Method, student: Outputs, teacher: Outputs) -> list[TensorPair]:
    """Return what :func:`paired_maps` does, before the ReLU that ends a stage."""
    return _paired(method, student.preactivations, teacher.preactivations, "preactivations")


def at_one_size(student: Tensor, teacher: Tensor) -> TensorPair:
    """Return maps ``[N, C, H, W]``, the larger average-pooled to the smaller height and width."""
    height, width = (min(student.shape[i], teacher.shape[i]) for i in (2, 3))
    f_s, f_t = (
        x if x.shape[2:] == (height, width) else adaptive_avg_pool2d(x, (height, width))
        for x in (student, teacher)
    )
    return f_s, f_t


def image_size(method: Method, batch: Batch) -> tuple[int, int]:
    """Return the height and width of the images of a batch.

    Raises:
        ValueError: The batch has no inputs.
    """
    if batch.inputs is None:
        raise ValueError(f"method {method.name} needs the inputs of the batch")
    return batch.inputs.shape[2], batch.inputs.shape[3]


def _paired(
    method: Method, student: Sequence[Tensor], teacher: Sequence[Tensor], what: str
) -> list[TensorPair]:
    stages = min(len(student), len(teacher))
    if not stages:
        raise ValueError(f"method {method.name} needs the {what} of both networks")
    pairs = zip(student[-stages:], teacher[-stages:], strict=True)
    return [(in_full_precision(f_s), in_full_precision(f_t.detach())) for f_s, f_t in pairs]
