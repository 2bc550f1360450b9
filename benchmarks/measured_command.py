"""Commands that are measured while they run, with all the processes that they start."""

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
    """What some commands took, running together: seconds, and MiB at the peak."""

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
    """Run commands together and measure them and all that they start. Ends the program if one fails.

    The processes are looked at every ``every`` seconds, which costs some milliseconds, and their memory every
    ``memory_every``: the kernel goes through all its pages for that, some 40 ms of a processor for 2 GiB.
    Both are taken from what is measured.
    """
    with tempfile.TemporaryDirectory() as compiled, log.open("w") as said:
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
            subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
            for command in commands
        ]
        peak, cpu, looked = 0.0, dict[int, float](), started - memory_every
        try:
            while any(process.poll() is None for process in running):
                due = time.perf_counter() - looked >= memory_every
                looked = time.perf_counter() if due else looked
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
    """Wait until the first process that still runs ends, so many seconds at most."""
    with contextlib.suppress(subprocess.TimeoutExpired, StopIteration):
        next(process for process in running if process.poll() is None).wait(most)


def _sample(roots: Sequence[int], with_memory: bool) -> tuple[float, dict[int, float]]:
    """Of living processes and their descendants: MiB, and processor seconds by process."""
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
    """Bytes of a process, shared pages in parts; those that are ``resident`` where no parts are told."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, PermissionError):
        return resident
    [parts] = [line for line in rollup.splitlines() if line.startswith("Pss:")]
    return 1024 * int(parts.split()[1])
