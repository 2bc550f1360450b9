"""How much of a study of small runs is training, and how soon the training starts.

    python benchmarks/small_runs.py [--pixels 16 32] [--seeds 2] [--seconds 10] [--workers 2] [--test-curves]

For each image size it writes a study of {ce, label_smoothing, kd, dkd} on procedural shapes with a resnet8,
of as many steps as fill about ``--seconds`` (``--steps`` fixes them), runs it by ``distillab run``, and
prints

- the seconds from the command to the first job that a worker claims, and to the first training step;
- the parts of a run, in processor seconds per student: steps, points of the validation curve, building,
  testing, the curve on test (with ``--test-curves``), writing; and the share that is not steps;
- the teacher outputs, and what is outside of jobs (starting, waiting, tables, report), per student;
- student runs per hour of wall time.

Compare versions on a quiet machine: what is outside of jobs, and the start, are wall time.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

METHODS = ["ce", "label_smoothing", "kd", "dkd"]
STEPS_PER_SECOND = {16: 55, 32: 20}  # of a resnet8 with batches of 64, one thread of an AMD EPYC (AVX2)
POLL_SECONDS = 0.02
RUNNING = "SELECT COUNT(*) FROM jobs WHERE state <> 'queued'"
Record = dict[str, Any]


def write_study(path: Path, pixels: int, options: argparse.Namespace) -> None:
    """Write a study of small runs."""
    steps = options.steps or int(options.seconds * STEPS_PER_SECOND[pixels])
    study: Record = {
        "study": f"small-{pixels}",
        "data": {"source": "shapes", "resolution": pixels, "images": 100, "test_images": 60},
        "teacher": {"model": "resnet8", "provenance": "full"},
        "students": ["resnet8"],
        "methods": METHODS,
        "factors": {"size": [50]},
        "seeds": options.seeds,
        "recipe": {"steps": steps, "batch_size": 64, "precision": "fp32"},
    }
    if options.test_curves:
        study["curves"] = {"test": True, "logits": "50 MB"}
    path.write_text(yaml.safe_dump(study, sort_keys=False))


def run(study: Path, folder: Path, workers: int) -> tuple[float, float]:
    """Run a study; return the seconds until the first job was claimed, and those until the end."""
    command = [sys.executable, "-m", "distillab.cli", "run", str(study), "--out", str(folder)]
    started, claimed = time.monotonic(), float("nan")
    with subprocess.Popen([*command, "--workers", str(workers)], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if claimed != claimed and _is_claimed(folder / "ledger.sqlite"):
                claimed = time.monotonic() - started
            time.sleep(POLL_SECONDS if claimed != claimed else 0.1)
        if process.returncode:
            raise SystemExit(f"the study ended with exit code {process.returncode}")
    return claimed, time.monotonic() - started


def _is_claimed(ledger: Path) -> bool:
    if not ledger.exists():
        return False
    try:
        with sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True) as db:
            return bool(db.execute(RUNNING).fetchone()[0])
    except sqlite3.OperationalError:  # the plan is being written
        return False


def jobs_of(folder: Path) -> list[tuple[str, str, float]]:
    """Return kind, id and seconds of every job, in the order in which they ended."""
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        return db.execute("SELECT kind, id, seconds FROM jobs ORDER BY heartbeat").fetchall()


def print_parts(folder: Path, claimed: float, wall: float, workers: int) -> None:
    """Print where the time of a finished study went."""
    jobs = jobs_of(folder)
    records = {
        name: json.loads((folder / "store" / kind / name / "record.json").read_text())
        for kind, name, _ in jobs
    }
    students = [(records[name], seconds) for kind, name, seconds in jobs if kind == "student"]
    count, whole = len(students), sum(seconds for _, seconds in students)
    parts: dict[str, float] = {}
    for record, _ in students:
        curve = record["phases"]["evaluation"]
        for name, seconds in {
            "steps": record["seconds"] - curve,
            "validation curve": curve,
            **record.get("overhead", {}),
        }.items():
            parts[name] = parts.get(name, 0.0) + seconds
    parts["rest of the job"] = whole - sum(parts.values())
    outputs = sum(seconds for kind, _, seconds in jobs if kind == "outputs")
    outside = wall * workers - sum(seconds for *_, seconds in jobs)
    building = next((r["overhead"]["building"] for r in records.values() if "overhead" in r), float("nan"))
    print(f"  first job claimed after {claimed:.1f} s, first training step after {claimed + building:.1f} s")
    print(f"  {count} students of {whole / count:.2f} s, of which")
    for name, seconds in parts.items():
        print(f"    {name:<18}{seconds / count:8.3f} s {100 * seconds / whole:5.1f} %")
    print(f"  not steps: {100 * (1 - parts['steps'] / whole):.1f} % of a run; with teacher outputs", end=" ")
    print(f"{100 * (1 - parts['steps'] / (whole + outputs)):.1f} %")
    print(f"  teacher outputs {outputs / count:.3f} s, outside of jobs {outside / count:.2f} s per student")
    print(f"  {wall:.1f} s in all, {3600 * count / wall:.0f} student runs per hour")


def main() -> None:
    """Run the studies and print their parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pixels", type=int, nargs="+", default=[16, 32], choices=STEPS_PER_SECOND)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a training, about")
    parser.add_argument("--steps", type=int, help="of a training, in place of --seconds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--test-curves", action="store_true", help="keep curves on the test set")
    options = parser.parse_args()
    for pixels in options.pixels:
        with tempfile.TemporaryDirectory() as scratch:
            study, folder = Path(scratch) / "study.yaml", Path(scratch) / "dir"
            write_study(study, pixels, options)
            claimed, wall = run(study, folder, options.workers)
            print(f"{pixels} px, {options.workers} workers:", flush=True)
            print_parts(folder, claimed, wall, options.workers)


if __name__ == "__main__":
    main()
