"""What a network costs: its parameters, and its multiplications for one image."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from distillab.models.trial import blank, evaluating


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, trained or frozen, shared ones once; buffers are not counted."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one evaluation-mode forward pass of one image of ``shape`` (C, H, W).

    Convolutions, matrix products and attention are counted, half of what torch's flop counter reports;
    additions, normalisation and activation functions are not.
    """
    # Fused attention kernels are opaque to the counter and would count as nothing.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # With gradients, because the counter hooks the tensors that modules are given, parameters included.
        with (
            evaluating(model),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            model(blank(model, shape))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops()) // 2
