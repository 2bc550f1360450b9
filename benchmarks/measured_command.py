"""Commands that are measured while they run, with all the processes that they start."""

from __future__ import annotations

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
    memory_every: float = SAMPLE_SECONDS,
) -> Cost:
    """Run commands together and measure them and all that they start. Ends the program if one fails.

    Memory is looked at every ``memory_every`` seconds. The kernel goes through all its pages for that, some
    40 ms of a processor for 2 GiB, which are taken from what is measured.
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
                time.sleep(SAMPLE_SECONDS)
        finally:
            for process in running:
                process.terminate()
                process.wait()
        wall = time.perf_counter() - started
    if any(process.returncode for process in running):
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise SystemExit(f"{' '.join(commands[0])} failed; see {log}:\n{tail}")
    return Cost(wall, sum(cpu.values()), peak)


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
