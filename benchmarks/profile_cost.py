"""Cost of `distillab profile`: seconds, processor seconds and the peak of memory.

    python benchmarks/profile_cost.py DATA [--set KEY=VALUE ...]

All arguments are passed to `distillab profile`. Prints one line:

    118.2 s, 61.0 s of processors, 2,310 MiB at the peak
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measured_command import measure

THREADS = 2  # cores of the machine of the goal: two minutes and 3 GiB for CIFAR-100


def main(arguments: list[str]) -> None:
    """Profile once and print the cost."""
    if not arguments:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "distillab.cli", "profile", *arguments]
        cost = measure([command], Path(scratch, "log"), threads=THREADS)
    print(f"{cost.wall:.1f} s, {cost.cpu:.1f} s of processors, {cost.peak:,.0f} MiB at the peak")


if __name__ == "__main__":
    main(sys.argv[1:])
