"""Losses on logits that methods are made of.

All of them compute in float32 at least, whatever they are given, return one number per example, and send no
gradient into the teacher. They are made of log-softmax and log-sum-exp, so they stay finite where
probabilities underflow.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from distillab.methods.batch import Batch
from distillab.tasks.losses import bernoulli_kl, cross_entropy, in_full_precision, kl_divergence
from distillab.tasks.mixed_labels import mean_over_labelled

__all__ = [
    "bernoulli_kl",
    "by_labels",
    "cross_entropy",
    "decoupled_kl",
    "in_full_precision",
    "kl_divergence",
    "label_loss",
    "other_logits",
    "soft_cross_entropy",
]


def label_loss(logits: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of each example with its label: logits ``[N, C]`` -> ``[N]``.

    Where two examples were mixed, share CE(y) + (1 - share) CE(y') (Zhang et al., mixup, ICLR 2018). Its mean
    is that over the labelled examples. :meth:`distillab.methods.Method.label_loss` is the loss of any task.
    """
    return by_labels(batch, lambda labels: cross_entropy(logits, labels, smoothing))


def by_labels(batch: Batch, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a loss ``[N]`` on labels, whose mean over the batch is that over the labelled examples.

    Args:
        batch: Holds the labels.
        loss: Returns ``[N]`` for labels int64 ``[N]``, and 0 where a label is missing (-1).
    """
    return mean_over_labelled(loss, batch.labels, batch.mixed)


def soft_cross_entropy(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return -sum_c p_t[c] log p_s[c] with p = softmax(z / T): logits ``[N, C]`` both -> ``[N]``."""
    student = F.log_softmax(in_full_precision(student_logits) / temperature, dim=1)
    teacher = F.softmax(in_full_precision(teacher_logits.detach()) / temperature, dim=1)
    return -(teacher * student).sum(dim=1)


def other_logits(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits of all classes but the label: ``[N, C]``, int64 ``[N]`` -> ``[N, C - 1]``."""
    return logits.gather(1, _other_classes(labels, logits.shape[1]))


def decoupled_kl(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the two parts of KL(p_t || p_s), each ``[N]``.

    The first compares (p_y, 1 - p_y), the second the softmax over the classes other than the label y. With
    p_t the teacher's, KL = first + (1 - p_t[y]) second (Zhao et al., CVPR 2022, equation 5).

    Args:
        student_logits: float ``[N, C]`` with C >= 2.
        teacher_logits: float ``[N, C]``; gets no gradient.
        labels: int64 ``[N]`` in ``[0, C)``.
        temperature: What logits are divided by.
    """
    others = _other_classes(labels, student_logits.shape[1])
    student = in_full_precision(student_logits) / temperature
    teacher = in_full_precision(teacher_logits.detach()) / temperature
    binary_student, binary_teacher = (_target_or_not(z, labels, others) for z in (student, teacher))
    target = (binary_teacher.exp() * (binary_teacher - binary_student)).sum(dim=1)
    return target, kl_divergence(student.gather(1, others), teacher.gather(1, others))


def _other_classes(labels: Tensor, classes: int) -> Tensor:
    """The classes that are not an example's label, in order: int64 ``[N]`` -> int64 ``[N, classes - 1]``."""
    below = torch.arange(classes - 1, device=labels.device)
    return below + (below >= labels[:, None]).long()


def _target_or_not(z: Tensor, labels: Tensor, others: Tensor) -> Tensor:
    """(log p_y, log(1 - p_y)), ``[N, 2]``, by log-sum-exp: 1 - p_y itself would round to 0."""
    target = z.gather(1, labels[:, None])
    rest = z.gather(1, others).logsumexp(dim=1, keepdim=True)
    return torch.cat((target, rest), dim=1) - z.logsumexp(dim=1, keepdim=True)
