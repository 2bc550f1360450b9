"""Memory of a study by number of workers and of runs: it should grow with the first only.

    python benchmarks/worker_memory.py [--runs 30 150] [--workers 1 2]

For every number of runs and workers, ``distillab run`` of a small study on 8x8 digits, in processes of its
own. Prints the peak memory of all its processes, sampled five times per second, shared pages counted once.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from measured_command import measure

METHODS = ["ce", "kd", "at"]
STUDY: dict[str, Any] = {
    "study": "memory",
    "data": {"source": "digits", "classes": 4},
    "teacher": {"model": "resnet8", "provenance": "full"},
    "students": ["resnet8"],
    "methods": METHODS,
    "factors": {"size": [20]},
    "recipe": {"steps": 40, "batch_size": 16},
}


def peak(runs: int, workers: int, folder: Path) -> float:
    """Return the MiB at the peak of a study of so many runs."""
    file = folder / f"{runs}-{workers}.yaml"
    file.write_text(yaml.safe_dump(STUDY | {"seeds": runs // len(METHODS)}))
    command = [sys.executable, "-m", "distillab.cli", "run", str(file), "--out", str(file.with_suffix(""))]
    return measure([[*command, "--workers", str(workers)]], file.with_suffix(".log"), threads=1).peak


def main() -> None:
    """Read the command line and print a row for each study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[30, 150])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print("| workers | runs | peak, MiB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for workers, runs in itertools.product(options.workers, options.runs):
            print(f"| {workers} | {runs} | {peak(runs, workers, Path(folder)):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
