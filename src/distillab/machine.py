"""What of this machine is ours to use. In a container that is less than there is."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
# What a container may hold and what it holds, in bytes: in version 2 of cgroups, and in version 1.
_MEMORY = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def usable_cores() -> int:
    """Processors that this process may use: fewer than there are if it is pinned to some, or has a quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read("cpu.max").partition(" ")
    return max(1, min(cores, math.ceil(int(quota) / int(period)))) if quota.isdigit() else cores


def free_memory() -> int:
    """Bytes of memory that new processes can have, by the machine and by the container's limit."""
    free = psutil.virtual_memory().available
    for limit, held in _MEMORY:
        most, now = _read(limit), _read(held)
        if most.isdigit() and now.isdigit():
            free = min(free, int(most) - int(now))
    return max(0, int(free))


def _read(name: str) -> str:
    """A file that tells about the container; empty where there is none."""
    file = CGROUP / name
    return file.read_text().strip() if file.is_file() else ""
