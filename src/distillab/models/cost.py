"""The cost of a network: its parameters, and its multiply-accumulates for one input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from distillab.models.dry_run import blank_input, evaluating
from distillab.models.input_spec import InputSpec


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, trained or frozen, shared ones once; buffers are not counted.

    Example:
        >>> from torch import nn
        >>> count_parameters(nn.Linear(64, 10))
        650
    """
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, inputs: InputSpec) -> int:
    """Return the multiply-accumulates of one forward pass of one input, in evaluation mode.

    Convolutions, matrix products and attention are counted, half of what torch's flop counter reports, and
    the matrix products of recurrent layers, which it does not see; additions, normalization and activation
    functions are not.

    Example:
        >>> from torch import nn
        >>> count_macs(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), InputSpec(1, 8, 8))
        640
    """
    # Fused attention kernels are opaque to the counter and would not be counted.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # With gradients: without, some operations would come in one piece that has no formula.
        with (
            evaluating(model),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),
            _Operations() as counter,
            _counting_recurrent(model, counter),
        ):
            model(blank_input(model, inputs))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.flops) // 2


@contextmanager
def _counting_recurrent(model: nn.Module, counter: _Operations) -> Iterator[None]:
    """Add the operations of recurrent layers, which may run as one kernel that has no formula."""
    before: list[int] = []

    def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
        before.append(counter.flops)

    def leave(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        counter.flops = before.pop() + 2 * _recurrent_macs(module, args[0])

    handles = [
        handle
        for module in model.modules()
        if isinstance(module, nn.RNNBase)
        for handle in (module.register_forward_pre_hook(enter), module.register_forward_hook(leave))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _recurrent_macs(module: nn.Module, x: Tensor) -> int:
    """Return the multiply-accumulates of a recurrent layer for inputs of shape ``[..., features]``."""
    weights = sum(weight.numel() for name, weight in module.named_parameters() if name.startswith("weight"))
    return weights * (x.numel() // x.shape[-1])


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up floating-point operations by torch's own formulas.

    torch's ``FlopCounterMode`` does the same, but imports the compiler, which takes a second.
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
        kwargs: Mapping[str, object] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=out))
        return out
