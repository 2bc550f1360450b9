"""Where the arithmetic happens, and in what precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits

from distillab.errors import RequestError
from distillab.training.arithmetic import Precision


def pick_device(wanted: str = "auto") -> torch.device:
    """The device to use: CUDA, else Apple's MPS, else the CPU. Raises RequestError for one not present."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if available[name]))
    kind = wanted.split(":")[0]
    if not available.get(kind, False):
        present = ", ".join(["auto", *(name for name, here in available.items() if here)])
        raise RequestError(f"device {wanted!r} is not present", where="--device", allowed=present)
    return torch.device(wanted)


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is native on the device; many CPUs emulate it at a tenth of the speed of fp32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def forward_batch(device: torch.device) -> int:
    """Images that go through a network together where nothing is learned: on a CPU a batch that stays in its
    caches is the fastest."""
    return 64 if device.type == "cpu" else 256


@contextlib.contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """Autocast for the forward pass in ``precision``."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and for NumPy's linear algebra: sums that threads share differ in the last bits,
    and image sets that hang on them must be the same in every process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def deterministic(device: torch.device, seed: int) -> Iterator[None]:
    """The same seed gives the same numbers: a private global random state, and deterministic CUDA kernels.

    Used for building networks (initial weights) and for training (dropout). CPU kernels are deterministic
    for a given number of threads, so there the result is the same to the bit.
    """
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.manual_seed(seed)
        with _deterministic_cuda() if on_cuda else contextlib.nullcontext():
            yield


@contextlib.contextmanager
def _deterministic_cuda() -> Iterator[None]:
    # Set before the first cuBLAS call of the process; warn_only keeps operations that have no such kernel.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
