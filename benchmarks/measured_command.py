"""Run commands and measure them, with all the processes that they start."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class Cost:
    """Cost of commands that run together.

    Attributes:
        wall: Wall seconds.
        cpu: Processor seconds.
        peak: MiB at the peak.
    """

    wall: float
    cpu: float
    peak: float


def measure(
    commands: Sequence[Sequence[str]],
    log: Path,
    threads: int | None = None,
    every: float = SAMPLE_SECONDS,
    memory_every: float = SAMPLE_SECONDS,
) -> Cost:
    """Run commands together and measure them with their descendants. Exit if one fails.

    The processes are sampled every ``every`` seconds, which costs some milliseconds, and their memory every
    ``memory_every`` seconds, for which the kernel walks all their pages: some 40 ms of a processor for 2 GiB.
    Both are included in the measurement.
    """
    with tempfile.TemporaryDirectory() as compiled, log.open("w") as output:
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        }
        for cache in ("TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR", "DISTILLAB_CACHE"):
            environment[cache] = compiled
        if threads:
            environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(threads)
        started = time.perf_counter()
        running = [
            subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
            for command in commands
        ]
        peak, cpu, sampled = 0.0, dict[int, float](), started - memory_every
        try:
            while any(process.poll() is None for process in running):
                due = time.perf_counter() - sampled >= memory_every
                sampled = time.perf_counter() if due else sampled
                memory, used = _sample([process.pid for process in running], due)
                peak, cpu = max(peak, memory), cpu | used
                _wait_for_an_end(running, every)
        finally:
            for process in running:
                process.terminate()
                process.wait()
        wall = time.perf_counter() - started
    if any(process.returncode for process in running):
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise SystemExit(f"{' '.join(commands[0])} failed; see {log}:\n{tail}")
    return Cost(wall, sum(cpu.values()), peak)


def _wait_for_an_end(running: Sequence[subprocess.Popen[bytes]], most: float) -> None:
    """Wait until the first process that still runs ends, at most so many seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired, StopIteration):
        next(process for process in running if process.poll() is None).wait(most)


def _sample(roots: Sequence[int], with_memory: bool) -> tuple[float, dict[int, float]]:
    """Return MiB, and processor seconds by process, of running processes and their descendants."""
    import psutil

    memory, cpu = 0.0, {}
    for root in roots:
        try:
            family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for process in family:
            try:
                used = process.cpu_times()
                memory += _held(process.pid, process.memory_info().rss) if with_memory else 0.0
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
            cpu[process.pid] = used.user + used.system
    return memory / 2**20, cpu


def _held(pid: int, resident: int) -> int:
    """Return the bytes of a process, shared pages divided among sharers; ``resident`` if unknown."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, PermissionError):
        return resident
    [parts] = [line for line in rollup.splitlines() if line.startswith("Pss:")]
    return 1024 * int(parts.split()[1])
