"""Batch normalization, addition and ReLU as one differentiable operation, by the kernels of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from distillab.models.cpu_kernels import kernels

LONG_ROW = 256  # elements of a row, up to which pixels are put side by side

ChannelVector = NDArray[np.float32]  # one number per channel


def fused_norm_relu(norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None) -> Tensor:
    """Return ``relu(norm(x) + plus)``. In evaluation mode there are no gradients.

    Args:
        norm: The batch normalization.
        x: bfloat16 ``[N, C, H, W]``, channels last, on the CPU.
        plus: The same, or None.
    """
    running = _numbers(norm.running_mean), _numbers(norm.running_var)
    if norm.training:
        mean, deviation = np.empty((2, x.shape[1]), np.float32)
        kernels.batch_statistics(_rows(x), mean, deviation, *running, norm.momentum, norm.eps)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
    else:
        mean, deviation = running[0], 1 / np.sqrt(running[1] + np.float32(norm.eps))
    out: Tensor = _NormRelu.apply(x, norm.weight, norm.bias, plus, mean, deviation, norm.eps)
    return out


class _NormRelu(torch.autograd.Function):
    """Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithm 1 and the gradients of section 3."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        plus: Tensor | None,
        mean: ChannelVector,
        deviation: ChannelVector,
        eps: float,
    ) -> Tensor:
        # mean, and one over the standard deviation, of each channel: float32 [C]
        out = torch.empty_like(x)
        added = None if plus is None else _rows(plus)
        kernels.forward(_rows(x), added, _numbers(weight), _numbers(bias), mean, deviation, _rows(out))
        ctx.save_for_backward(x, weight, bias, None if plus is None else out)
        ctx.moments, ctx.eps = (mean, deviation), eps
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _differentiable(ctx, gradient)
        x, weight, bias, out = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_vectors, of_x = torch.empty(2, x.shape[1]), torch.empty_like(x)
        given = _rows(gradient), _rows(x), _numbers(weight), _numbers(bias), *ctx.moments
        if out is None:
            of_plus = None
            kernels.backward(*given, of_vectors.numpy(), _rows(of_x))
        else:
            of_plus = torch.empty_like(x)
            kernels.backward_with_plus(*given, of_vectors.numpy(), _rows(of_x), _rows(out), _rows(of_plus))
        return of_x, of_vectors[0], of_vectors[1], of_plus, None, None, None


def _differentiable(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The same gradients by torch's operations, for gradients of gradients (``create_graph=True``)."""
    x, weight, bias, out = ctx.saved_tensors
    normal = F.batch_norm(x, None, None, weight, bias, training=True, eps=ctx.eps)
    passed = gradient * ((normal if out is None else out) > 0)
    wanted = [vector for vector, needs in zip((x, weight, bias), ctx.needs_input_grad, strict=False) if needs]
    found = iter(torch.autograd.grad(normal, wanted, passed, create_graph=True) if wanted else ())
    of_normal = [next(found) if needs else None for needs in ctx.needs_input_grad[:3]]
    return (*of_normal, None if out is None else passed, None, None, None)


def _rows(x: Tensor) -> NDArray[Any]:
    """The memory of ``[N, C, H, W]`` as ``[rows, columns]``, with pixels side by side up to ``LONG_ROW``."""
    columns, elements = x.shape[1], x.numel()
    while columns < LONG_ROW and elements % (2 * columns) == 0:
        columns *= 2
    flat = x.detach().as_strided((elements // columns, columns), (columns, 1))
    return flat.view(torch.int16).numpy().view(np.uint16)


def _numbers(vector: Tensor | None) -> ChannelVector:
    assert vector is not None
    return vector.detach().numpy()
