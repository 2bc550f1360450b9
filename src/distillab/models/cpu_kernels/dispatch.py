"""Whether normalization, addition and ReLU are computed by the fused operation or by torch's modules."""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm_relu(
    norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None = None, relu: nn.ReLU | None = None
) -> Tensor:
    """Return ``relu(norm(x) + plus)``.

    In training mode ``norm`` updates its running statistics as it would alone. Hooks of ``norm``, and of
    ``relu`` if the network has a module for it, are called as usual.

    Args:
        norm: The batch normalization.
        x: float ``[N, C, H, W]``.
        plus: What is added before the ReLU, of the same shape; None for nothing.
        relu: The network's module for the ReLU, if it has one.

    Example:
        >>> norm = nn.BatchNorm2d(2).eval()
        >>> norm_relu(norm, torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)).flatten().tolist()
        [0.0, 0.9999949932098389]
    """
    if _can_fuse(norm, x, plus, relu):
        from distillab.models.cpu_kernels.fused import fused_norm_relu  # here, since numba is slow to import

        return fused_norm_relu(norm, x, plus)
    y: Tensor = norm(x)
    if plus is not None:
        y = y + plus
    return relu(y) if relu else F.relu(y, inplace=True)


@cache
def has_numba() -> bool:
    """Return True if numba, the extra ``cpu``, is installed; without it torch's modules are used."""
    return importlib.util.find_spec("numba") is not None


def _can_fuse(norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None, relu: nn.ReLU | None) -> bool:
    """Whether the kernels support the call, and nothing reads the values between the operations."""
    return (
        type(x) is Tensor
        and not _is_transformed()
        and torch.get_num_threads() == 1  # torch shares its own operations among threads
        and _is_supported(x)
        and has_numba()
        and (plus is None or (_is_supported(plus) and plus.shape == x.shape))
        and _is_standard(norm)
        and _has_supported_gradient(norm, x, plus)
        and not _has_hooks(norm)
        and not (relu and _has_hooks(relu))
    )


def _is_transformed() -> bool:
    """Whether a compiler or torch.func reads the call; they see nothing but torch's operations."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state()
        or torch._C._are_functorch_transforms_active()
    )


def _is_supported(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.bfloat16
        and x.ndim == 4
        and x.numel() > x.shape[1]  # torch has an error message for a batch of one value
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _is_standard(norm: nn.BatchNorm2d) -> bool:
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


def _has_supported_gradient(norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None) -> bool:
    """The kernels have gradients for the mean and variance of a batch alone."""
    inputs = (x, norm.weight, norm.bias, *(() if plus is None else (plus,)))
    return norm.training or not (torch.is_grad_enabled() and any(each.requires_grad for each in inputs))


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
