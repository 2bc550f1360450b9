"""How a network computes: precision, memory format, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from distillab.models.taps import TappedModel

Precision = Literal["fp32", "bf16"]
MemoryFormat = Literal["channels_last", "contiguous"]

T = TypeVar("T")

_LAYOUTS: dict[MemoryFormat, torch.memory_format] = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}

# One entry an architecture, batch shape and set of taps: a worker of the largest study has dozens.
MOST_COMPILED = 1024
# Settings of torch._dynamo, by their names now and before torch 2.6. Beyond a limit eager code would silently
# take over, which gives other numbers: that must be an error.
_LIMITS: dict[tuple[str, str], int | bool] = {
    ("recompile_limit", "cache_size_limit"): MOST_COMPILED,
    ("accumulated_recompile_limit", "accumulated_cache_size_limit"): MOST_COMPILED,
    ("fail_on_recompile_limit_hit", "fail_on_cache_limit_hit"): True,
}


@dataclass(frozen=True)
class NumericsConfig:
    """How a network computes. The defaults are what every machine can do without being asked twice."""

    precision: Precision = "fp32"
    memory_format: MemoryFormat = "channels_last"
    compile: bool = False

    def __str__(self) -> str:
        return f"{self.precision} {self.memory_format} {'compiled' if self.compile else 'eager'}"


def placed(
    model: nn.Module, device: torch.device, memory_format: MemoryFormat = "channels_last"
) -> nn.Module:
    """The model on a device, its convolutions' weights in a memory format; images must lie in the same."""
    return model.to(device).to(memory_format=_LAYOUTS[memory_format])


def laid_out(images: Tensor, memory_format: MemoryFormat = "channels_last") -> Tensor:
    """Images ``[N, C, H, W]`` in a memory format; not copied if they lie so. One channel lies in both."""
    return images.contiguous(memory_format=_LAYOUTS[memory_format])


def compiled(call: Callable[[Tensor], T], enabled: bool = True) -> Callable[[Tensor], T]:
    """``call`` (a network, or a tapped one) through ``torch.compile``, or as it is if not ``enabled``.

    For training steps: every shape of a batch, and every mode of the network, costs a compilation of its own,
    so what comes now and then (evaluation) is better sent through the network itself. A second network of
    the same architecture, taps and batch uses the code of the first.

    Raises:
        Exception: from the call, whatever the compiler says if it fails: eager code in its place would give
            other numbers without a word.
    """
    return _Compiled(call) if enabled else call


class _Compiled(Generic[T]):
    def __init__(self, call: Callable[[Tensor], T]) -> None:
        self.call = call

    def __call__(self, inputs: Tensor) -> T:
        if isinstance(self.call, TappedModel):
            self.call.forget()  # outside of what is compiled
        return _compiler()(self.call, inputs)  # type: ignore[no-any-return]


@cache
def _compiler() -> Callable[..., Any]:
    import torch._dynamo as dynamo
    import torch._inductor.config as inductor

    for names, value in _LIMITS.items():
        setattr(dynamo.config, next(name for name in names if hasattr(dynamo.config, name)), value)
    inductor.compile_threads = 1  # the other cores have workers of their own
    return torch.compile(_call, dynamic=False)


def _call(call: Callable[[Tensor], Any], inputs: Tensor) -> Any:
    # One function for all networks: code is kept by function, and guarded by what the network is made of,
    # not by which network it is.
    return call(inputs)
