"""Where the arithmetic happens, and in what precision."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import torch
from threadpoolctl import threadpool_limits

from distillab.errors import RequestError
from distillab.training.numerics.config import Precision


def pick_device(wanted: str = "auto") -> torch.device:
    """The device to use: CUDA, else Apple's MPS, else the CPU. Raises RequestError for one not present."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    present = ["cpu", *(["cuda", *gpus] if gpus else []), *["mps"] * torch.backends.mps.is_available()]
    if wanted != "auto" and wanted not in present:
        allowed = ", ".join(["auto", *present])
        raise RequestError(f"device {wanted!r} is not present", where="--device", allowed=allowed)
    chosen = next(name for name in ("cuda", "mps", "cpu") if name in present) if wanted == "auto" else wanted
    if chosen.startswith("cuda"):
        # cuBLAS reads it at its first call in a process, which may come before any training does.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device(chosen)


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is native on the device; many CPUs emulate it at a tenth of the speed of fp32, and
    NVIDIA's GPUs from before Ampere do as well."""
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)


def clock(device: torch.device) -> Callable[[], float]:
    """What work is timed by, in seconds: this thread's processor time where one thread computes, so that what
    else the machine does, and waiting for the disk or a compiler, is not counted; wall time elsewhere."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time.perf_counter


def empty_device_cache(device: torch.device) -> None:
    """Give the memory that nothing uses any more back to the GPU, for other processes and larger pieces."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_lost(error: Exception) -> bool:
    """Whether an error has cost this process its GPU: after a failed assertion on one, all calls fail."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def forward_batch(device: torch.device) -> int:
    """Images that go through a network together where nothing is learned: on a CPU a batch that stays in its
    caches is the fastest."""
    return 64 if device.type == "cpu" else 256


@contextlib.contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
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
    """The same seed gives the same numbers: a private global random state, and deterministic kernels.

    Used for building networks (initial weights) and for training (dropout).
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        with deterministic_kernels(device):
            yield


@contextlib.contextmanager
def deterministic_kernels(device: torch.device) -> Iterator[None]:
    """The same computation gives the same numbers. CPU kernels do so by themselves, to the bit for a given
    number of threads; on CUDA, operations that have no such kernel warn."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        torch.backends.cudnn.benchmark = before[1]
