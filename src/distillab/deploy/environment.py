"""The machine and the versions that something was measured with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from distillab.canonical import JsonObject
from distillab.machine import usable_cores

_PACKAGES = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "onnxscript", "numpy", "pillow")
_SPECIAL_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def environment_facts(threads: int | None = None) -> JsonObject:
    """Return the CPU, the number of compute threads and the versions of packages.

    Args:
        threads: Compute threads, if they are not torch's.

    Example:
        >>> sorted(environment_facts())[:3]
        ['cores', 'cpu', 'cpu_features']
    """
    return {
        "cpu": cpu_name(),
        "cpu_features": list(cpu_features()),
        "cores": usable_cores(),
        "threads": torch.get_num_threads() if threads is None else threads,
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def cpu_name() -> str:
    """Return the name of the CPU, or its architecture if the system does not state one.

    Example:
        >>> len(cpu_name()) > 0
        True
    """
    for line in _cpuinfo():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def cpu_features() -> tuple[str, ...]:
    """Return which instructions that matter for int8 the CPU has, as far as the system states it.

    Example:
        >>> isinstance(cpu_features(), tuple)
        True
    """
    flags: set[str] = set()
    for line in _cpuinfo():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            flags |= set(value.split())
            break
    return tuple(name for name in _SPECIAL_INSTRUCTIONS if name in flags)


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # other systems than Linux
        return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
