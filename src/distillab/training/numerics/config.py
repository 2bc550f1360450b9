"""How a network computes: its precision, its memory format, and whether it is compiled."""

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
Auto = Literal["auto"]

_T = TypeVar("_T")

_TORCH_FORMATS: dict[MemoryFormat, torch.memory_format] = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}

# One entry per architecture, batch shape and set of taps: a worker of the largest study has dozens.
MOST_COMPILED = 1024
# Settings of torch._dynamo, by their names now and before torch 2.6. Beyond a limit eager code would silently
# take over, which gives other numbers: that must be an error.
_COMPILER_LIMITS: dict[tuple[str, str], int | bool] = {
    ("recompile_limit", "cache_size_limit"): MOST_COMPILED,
    ("accumulated_recompile_limit", "accumulated_cache_size_limit"): MOST_COMPILED,
    ("fail_on_recompile_limit_hit", "fail_on_cache_limit_hit"): True,
}


@dataclass(frozen=True)
class NumericsConfig:
    """How a network computes. The defaults run on every machine.

    Attributes:
        precision: Precision of the forward pass.
        memory_format: Memory format of images and of the weights of convolutions.
        compile: Whether the forward pass of training is compiled.

    Example:
        >>> print(NumericsConfig(precision="bf16"))
        bf16 channels_last eager
    """

    precision: Precision = "fp32"
    memory_format: MemoryFormat = "channels_last"
    compile: bool = False

    def __str__(self) -> str:
        return f"{self.precision} {self.memory_format} {'compiled' if self.compile else 'eager'}"


@dataclass(frozen=True)
class NumericsRequest:
    """What a recipe fixes of how a network computes; ``auto`` leaves it open.

    Attributes:
        precision: Precision of the forward pass.
        memory_format: Memory format of images and of the weights of convolutions.
        compile: Whether the forward pass of training is compiled.

    Example:
        >>> NumericsRequest(precision="bf16").resolve(NumericsConfig()).precision
        'bf16'
    """

    precision: Precision | Auto = "auto"
    memory_format: MemoryFormat | Auto = "auto"
    compile: bool | Auto = "auto"

    @property
    def is_fixed(self) -> bool:
        """Whether nothing is left open."""
        return "auto" not in (self.precision, self.memory_format, self.compile)

    def resolve(self, chosen: NumericsConfig) -> NumericsConfig:
        """Return ``chosen``, except for what is fixed."""
        return NumericsConfig(
            chosen.precision if self.precision == "auto" else self.precision,
            chosen.memory_format if self.memory_format == "auto" else self.memory_format,
            chosen.compile if self.compile == "auto" else self.compile,
        )


def place_model(
    model: nn.Module, device: torch.device, memory_format: MemoryFormat = "channels_last"
) -> nn.Module:
    """Move a network to a device and its convolutions' weights to a memory format, and return it.

    Example:
        >>> conv = place_model(nn.Conv2d(3, 8, 3), torch.device("cpu"))
        >>> conv.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    return model.to(device).to(memory_format=_TORCH_FORMATS[memory_format])


def to_memory_format(images: Tensor, memory_format: MemoryFormat = "channels_last") -> Tensor:
    """Return images ``[N, C, H, W]`` in a memory format, copied only if they are in another one.

    Example:
        >>> to_memory_format(torch.zeros(2, 3, 8, 8)).is_contiguous(memory_format=torch.channels_last)
        True
    """
    return images.contiguous(memory_format=_TORCH_FORMATS[memory_format])


def compile_call(call: Callable[[Tensor], _T], enabled: bool = True) -> Callable[[Tensor], _T]:
    """Return ``call`` as compiled by ``torch.compile``.

    This is for training steps. Each shape of a batch, and each mode of the network, is compiled once, so
    occasional calls (evaluation) should use the network itself. A second network of the same architecture,
    taps and batch shape uses the code of the first.

    Args:
        call: A network, or a :class:`~distillab.models.TappedModel`.
        enabled: If False, ``call`` is returned as it is.

    Raises:
        Exception: By the returned function, if the compiler fails: eager code in its place would silently
            give other numbers.

    Example:
        >>> network = nn.Linear(2, 1)
        >>> compile_call(network, enabled=False) is network
        True
    """
    return _CompiledCall(call) if enabled else call


class _CompiledCall(Generic[_T]):
    def __init__(self, call: Callable[[Tensor], _T]) -> None:
        self.call = call

    def __call__(self, inputs: Tensor) -> _T:
        if isinstance(self.call, TappedModel):
            self.call.forget()  # here, outside of what is compiled
        return _compiler()(self.call, inputs)  # type: ignore[no-any-return]


@cache
def _compiler() -> Callable[..., Any]:
    import torch._dynamo as dynamo
    import torch._inductor.config as inductor

    for names, value in _COMPILER_LIMITS.items():
        setattr(dynamo.config, next(name for name in names if hasattr(dynamo.config, name)), value)
    inductor.compile_threads = 1  # the other cores have workers of their own
    return torch.compile(_call, dynamic=False)


def _call(call: Callable[[Tensor], Any], inputs: Tensor) -> Any:
    # One function for all networks: code is cached per function, and guarded by what the network is made of,
    # not by which network it is.
    return call(inputs)
