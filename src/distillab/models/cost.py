"""What a network costs: its parameters, and its multiplications for one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from distillab.models.dry_run import blank, evaluating


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
        # With gradients: without, some operations would come in one piece that has no formula.
        with evaluating(model), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), _Operations() as counter:
            model(blank(model, shape))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.flops) // 2


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up floating-point operations by torch's own formulas.

    torch's ``FlopCounterMode`` does as much, but imports the compiler, which takes a processor a second.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, torch would import it

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=out))
        return out
