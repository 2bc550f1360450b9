"""The device on which networks compute, and how its numbers are made reproducible."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import torch
from threadpoolctl import threadpool_limits

from distillab.errors import RequestError
from distillab.machine import usable_cores
from distillab.training.numerics.config import Precision


def default_workers(device: torch.device) -> int:
    """Return how many workers a study starts on this machine: one per usable CPU core, or 1 on a GPU.

    Example:
        >>> default_workers(torch.device("cuda"))
        1
    """
    return usable_cores() if device.type == "cpu" else 1


def pick_device(wanted: str = "auto") -> torch.device:
    """Return the device to use.

    Args:
        wanted: A torch device, or ``auto`` for CUDA, else Apple's MPS, else the CPU.

    Raises:
        RequestError: The device is not present.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
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


def has_native_bf16(device: torch.device) -> bool:
    """Return True for GPUs that compute in bfloat16.

    Many CPUs emulate it at a tenth of the speed of fp32, and so do NVIDIA's GPUs from before Ampere.

    Example:
        >>> has_native_bf16(torch.device("cpu"))
        False
    """
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)


def compute_clock(device: torch.device) -> Callable[[], float]:
    """Return the clock by which work is timed, in seconds.

    On one CPU thread it is that thread's processor time, so that other work on the machine, and waiting for
    the disk or a compiler, is not counted. Otherwise it is wall time.

    Example:
        >>> clock = compute_clock(torch.device("cpu"))
        >>> clock() <= clock()
        True
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time.perf_counter


def empty_device_cache(device: torch.device) -> None:
    """Return unused memory to the GPU, for other processes and for larger pieces.

    Example:
        >>> empty_device_cache(torch.device("cpu"))
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_gpu_lost(error: Exception) -> bool:
    """Return True if this process cannot use its GPU any more: after a failed assertion, all calls fail.

    Example:
        >>> is_gpu_lost(RuntimeError("CUDA error: device-side assert triggered"))
        True
    """
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def is_out_of_memory(error: Exception) -> bool:
    """Return True if memory did not suffice, of this machine or of a GPU.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("no such class"))
        (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in ("can't allocate memory", "not enough memory", "bad_alloc")
    )


def inference_batch_size(device: torch.device) -> int:
    """Return how many images a network takes at once outside of training.

    On a CPU, a batch that fits its caches is the fastest.

    Example:
        >>> inference_batch_size(torch.device("cpu"))
        64
    """
    return 64 if device.type == "cpu" else 256


@contextlib.contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Run the forward pass in the block in ``precision``.

    Example:
        >>> with autocast(torch.device("cpu"), "bf16"):
        ...     print((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        torch.bfloat16
    """
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Use one thread for torch and for NumPy's linear algebra in the block.

    Sums that threads share differ in the last bits, and what depends on them (which examples a factor keeps)
    must be the same in every process.

    Example:
        >>> with single_threaded():
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def deterministic(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's global generators in the block and use deterministic kernels; restore them afterwards.

    Example:
        >>> with deterministic(torch.device("cpu"), seed=0):
        ...     first = torch.rand(1)
        >>> with deterministic(torch.device("cpu"), seed=0):
        ...     torch.equal(first, torch.rand(1))
        True
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        with deterministic_kernels(device):
            yield


@contextlib.contextmanager
def deterministic_kernels(device: torch.device) -> Iterator[None]:
    """Use deterministic kernels in the block.

    CPU kernels are deterministic, to the bit for a given number of threads. On CUDA, operations that have no
    such kernel warn.
    """
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
