"""Batch normalisation and the ReLU behind it as one operation, which waits half as long for memory.

On one thread of a CPU whose convolutions in bfloat16 are fast, normalising, adding and rectifying take more
than a quarter of a small network's training step. There, and where nothing listens in between,
:func:`norm_relu` does them together (``fused.py``); anywhere else it calls torch's own modules. Both compute
the same up to rounding. In float32 it was no faster than torch once all processors were busy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm_relu(
    norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None = None, relu: nn.ReLU | None = None
) -> Tensor:
    """``relu(norm(x) + plus)`` for ``x`` and ``plus`` of ``[N, C, H, W]``, float; in training mode ``norm``
    also learns its running statistics, as it would alone.

    Hooks of ``norm``, and of ``relu`` if the network has a module for it, hear what they always hear.
    """
    if _can_fuse(norm, x, plus, relu):
        from distillab.models.cpu_kernels.fused import fused_norm_relu  # here, since numba is slow to import

        return fused_norm_relu(norm, x, plus)
    y: Tensor = norm(x)
    if plus is not None:
        y = y + plus
    return relu(y) if relu else F.relu(y, inplace=True)


def _can_fuse(norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None, relu: nn.ReLU | None) -> bool:
    """Whether it is the case that the kernels are made for, and nobody would miss what is in between."""
    return (
        type(x) is Tensor
        and not _is_transformed()
        and torch.get_num_threads() == 1  # torch shares its own operations among threads
        and _fits(x)
        and (plus is None or (_fits(plus) and plus.shape == x.shape))
        and _is_usual(norm)
        and _needs_no_other_gradient(norm, x, plus)
        and not _is_heard(norm)
        and not (relu and _is_heard(relu))
    )


def _is_transformed() -> bool:
    """Whether the call is read by a compiler or by torch.func, which see nothing but torch's operations."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state()
        or torch._C._are_functorch_transforms_active()
    )


def _fits(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.bfloat16
        and x.ndim == 4
        and x.numel() > x.shape[1]  # torch has words for a batch of one value
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _is_usual(norm: nn.BatchNorm2d) -> bool:
    return (
        type(norm) is nn.BatchNorm2d
        and "forward" not in vars(norm)
        and norm.affine
        and norm.weight.dtype == torch.float32
        and norm.track_running_stats
        and norm.running_mean is not None
        and norm.running_mean.dtype == torch.float32
        and norm.momentum is not None
    )


def _needs_no_other_gradient(norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None) -> bool:
    """The kernels know gradients through a batch's own mean and variance alone."""
    asked = x.requires_grad or norm.weight.requires_grad or norm.bias.requires_grad
    asked = asked or (plus is not None and plus.requires_grad)
    return norm.training or not (asked and torch.is_grad_enabled())


def _is_heard(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
