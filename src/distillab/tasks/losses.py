"""Losses and divergences on logits, per example.

All compute in float32 at least and send no gradient into the teacher. They are made of log-softmax,
log-sigmoid and log-sum-exp, so they stay finite where probabilities underflow.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distillab.data.targets import UNLABELLED


def in_full_precision(x: Tensor) -> Tensor:
    """Return float16 and bfloat16 as float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of each example with its label: -(1 - e) log p_y - (e / C) sum_c log p_c.

    Args:
        logits: float ``[N, C]``.
        labels: int64 ``[N]``; the loss of an example without a label (-1) is 0.
        smoothing: e.

    Returns:
        float ``[N]``, in nats.

    Example:
        >>> cross_entropy(torch.zeros(2, 4), torch.tensor([1, -1]))
        tensor([1.3863, 0.0000])
    """
    return F.cross_entropy(
        in_full_precision(logits),
        labels,
        ignore_index=UNLABELLED,
        reduction="none",
        label_smoothing=smoothing,
    )


def kl_divergence(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor = 1.0
) -> Tensor:
    """Return KL(p_t || p_s) of each example, with p = softmax(z / T).

    Args:
        student_logits: float ``[N, C]``.
        teacher_logits: float ``[N, C]``; gets no gradient.
        temperature: T; a tensor may be learned.

    Returns:
        float ``[N]``, in nats.
    """
    student = F.log_softmax(in_full_precision(student_logits) / temperature, dim=1)
    teacher = F.log_softmax(in_full_precision(teacher_logits.detach()) / temperature, dim=1)
    return (teacher.exp() * (teacher - student)).sum(dim=1)


def binary_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the binary cross-entropy of each example, averaged over its known labels.

    Args:
        logits: float ``[N, K]``.
        labels: ``[N, K]``: 1, 0, or -1 where not known; the loss of an example without a known label is 0.
        smoothing: e; targets are (1 - e) y + e / 2.

    Returns:
        float ``[N]``, in nats.

    Example:
        >>> binary_cross_entropy(torch.zeros(2, 3), torch.tensor([[1, 0, -1], [-1, -1, -1]]))
        tensor([0.6931, 0.0000])
    """
    z = in_full_precision(logits)
    known = (labels != UNLABELLED).to(z)
    targets = (1 - smoothing) * labels.clamp(min=0).to(z) + smoothing / 2
    losses = F.binary_cross_entropy_with_logits(z, targets, reduction="none") * known
    return losses.sum(dim=1) / known.sum(dim=1).clamp(min=1)


def bernoulli_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """Return the divergence of present and absent of each logit, with s = sigmoid(z / T).

    s_t log(s_t / s_s) + (1 - s_t) log((1 - s_t) / (1 - s_s)).

    Args:
        student_logits: float ``[N, K]``.
        teacher_logits: float ``[N, K]``; gets no gradient.
        temperature: T; a tensor may be learned.

    Returns:
        float ``[N, K]``, in nats.

    Example:
        >>> bernoulli_kl(torch.zeros(1, 2), torch.tensor([[0.0, 20.0]]))
        tensor([[0.0000, 0.6931]])
    """
    student = in_full_precision(student_logits) / temperature
    teacher = in_full_precision(teacher_logits.detach()) / temperature
    present = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    absent = (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return present + absent
