"""The processors and the memory of this machine that this process may use: containers limit both."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
# Files with the memory limit and the used memory of a container, in bytes: cgroups version 2, and version 1.
MEMORY_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
# Parameter numbers of glibc's malloc.h, and values in bytes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEEP_BELOW = 32 * 2**20
_KEEP_ALWAYS = 2**31 - 1
_GROW_BY = 256 * 2**20


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Return the number of processors that this process may use, by its CPU affinity and its quota.

    Example:
        >>> usable_cores() >= 1
        True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    return max(1, min(cores, math.ceil(int(quota) / int(period)))) if quota.isdigit() else cores


def free_memory(cgroup: Path = CGROUP) -> int:
    """Return the bytes of memory that new processes can have, by the machine and the container's limit.

    Example:
        >>> free_memory() >= 0
        True
    """
    free = psutil.virtual_memory().available
    for limit_file, usage_file in MEMORY_FILES:
        limit, usage = _read(cgroup / limit_file), _read(cgroup / usage_file)
        if limit.isdigit() and usage.isdigit():
            free = min(free, int(limit) - int(usage))
    return max(0, int(free))


def has_bf16_instructions(cpuinfo: Path = CPUINFO) -> bool:
    """Return True if the processor has instructions for bfloat16, as far as Linux reports them.

    Example:
        >>> has_bf16_instructions(Path("no such file"))
        False
    """
    lines = _read(cpuinfo).splitlines()
    return any("bf16" in line for line in lines if line.lower().startswith(("flags", "features")))


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Pause Python's collector of cycles in the block, and exempt what the block made from it.

    For imports: the objects that they make stay until the process ends, and the collector would go through
    all of them again and again.

    Example:
        >>> with garbage_collection_paused():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def tune_allocator() -> bool:
    """Let glibc keep freed memory for the next training step instead of returning it to the system.

    No number changes.

    Returns:
        True if it took effect, which needs Linux with glibc.

    Example:
        >>> tune_allocator() in (True, False)
        True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _KEEP_BELOW), (_M_TRIM_THRESHOLD, _KEEP_ALWAYS), (_M_TOP_PAD, _GROW_BY))
    return [mallopt(parameter, value) for parameter, value in settings] == [1] * len(settings)


def _read(file: Path) -> str:
    """Return the text of a file, empty if there is none."""
    return file.read_text().strip() if file.is_file() else ""


def cache_folder() -> Path:
    """Return the folder for things that can be computed again: ``$DISTILLAB_CACHE``, or the user's cache."""
    if own := os.environ.get("DISTILLAB_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "distillab"
