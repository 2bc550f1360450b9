"""Precision, memory format, compilation and device, and how the fastest numerics are chosen."""

from distillab.training.numerics.benchmark import Workload
from distillab.training.numerics.cache import BenchmarkCache
from distillab.training.numerics.config import (
    MemoryFormat,
    NumericsConfig,
    NumericsRequest,
    Precision,
    compile_call,
    place_model,
    to_memory_format,
)
from distillab.training.numerics.device import (
    autocast,
    compute_clock,
    deterministic,
    empty_device_cache,
    has_native_bf16,
    inference_batch_size,
    is_gpu_lost,
    pick_device,
    single_threaded,
)
from distillab.training.numerics.selection import NumericsChoice, default_numerics, select_numerics

__all__ = [
    "BenchmarkCache",
    "MemoryFormat",
    "NumericsChoice",
    "NumericsConfig",
    "NumericsRequest",
    "Precision",
    "Workload",
    "autocast",
    "compile_call",
    "compute_clock",
    "default_numerics",
    "deterministic",
    "empty_device_cache",
    "has_native_bf16",
    "inference_batch_size",
    "is_gpu_lost",
    "pick_device",
    "place_model",
    "select_numerics",
    "single_threaded",
    "to_memory_format",
]
