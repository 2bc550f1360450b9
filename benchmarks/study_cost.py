"""The cost of a study: one grid of runs by distillab and by torchdistill on this machine.

    python benchmarks/study_cost.py --data FOLDER_OR_FILE [--label fine_label] [--quick] [--out table.csv]

The grid is {ce, kd, dist, at, rkd} x 3 seeds for two pairs of networks, with external teachers. Both sides
get the same images, views, networks, teacher weights, losses, optimizer, learning rates, batches, number of
steps, evaluations on val and test images, and each runs in processes of its own:

- distillab, ``auto``: ``distillab run STUDY.yaml`` with numerics of its choice;
- distillab, ``fp32``: the same with ``precision: fp32``, channels last, not compiled;
- torchdistill 1.1.5 in fp32 (torchdistill_side.py says how), as its examples run it: one process with its
  default threads, images loaded in it or, if that was a tenth faster in a short pilot on the same pair, by
  two workers. The pilot also measures one process per CPU with one thread each, which a user who runs a grid
  by hand could arrange.

Prints for each: wall seconds; processor seconds of all processes; peak memory, sampled every ten seconds,
shared pages counted once; images that went through the teacher; mean and standard deviation over seeds of
each method's accuracy; and where distillab's seconds went (step_breakdown.py). The last line is
``ratio_auto=X ratio_fp32=Y``: torchdistill's wall seconds over distillab's, all pairs together.
Caches of compilers and benchmarks are empty. Teachers are trained beforehand, by distillab, and not counted;
with ``--keep DIR`` they and the studies are kept, and the next call finds the teachers there.

It needs, besides distillab with its extra ``dev``: ``pip install --no-deps torchdistill==1.1.5`` (of its
requirements, torch, torchvision, numpy, pyyaml and scipy are installed already; cython is not used by what
runs here). ``--data`` is a Parquet file, or a folder of them in the layout of the Hugging Face Hub, or a
folder of images; of CIFAR-100, which the pairs are made for, the default takes 50 images per class. The whole
grid takes hours. ``--quick`` takes 256 images, and as many epochs, at most 4, as the pilot predicts to fit
into 8 minutes on both sides; ``--middle`` takes 1,000 images and 20 minutes. ``--classes 10`` keeps the first
ten classes, which can be learned in that time.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.training.recipe import VALIDATIONS
from measured_command import Cost, measure
from step_breakdown import print_breakdown
from study_cost_images import BATCH, moments, read_data, write_images
from study_cost_tables import METHODS, Record, print_all, write_csv

PAIRS = {"x4": ("resnet32x4", "resnet8x4"), "plain": ("resnet56", "resnet20")}
RECIPE = {"batch_size": BATCH, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
SETTINGS: dict[str, dict[str, Any]] = {
    "auto": {},
    "fp32": {"precision": "fp32", "memory_format": "channels_last", "compile": False},
}
PILOT_STEPS = 9  # with fewer, a short disturbance decides
# Seconds between samples: many, since sampling is included in the measurement.
sampled_measure = partial(measure, every=1.0, memory_every=10.0)
# Number of images, largest number of epochs, epochs of the teachers, minutes (None: no limit).
SIZES: dict[str, tuple[int, int, int, float | None]] = {
    "whole": (5000, 10, 5, None),
    "middle": (1000, 10, 3, 20.0),
    "quick": (256, 4, 1, 8.0),
}
# Both distillab sides together take at most this share of torchdistill's time; starting and the tables take
# so many seconds.
DISTILLAB_SHARE, OVERHEAD_SECONDS = 0.7, 45.0
SIDE = Path(__file__).with_name("torchdistill_side.py")


@dataclass(frozen=True)
class Setup:
    """How torchdistill is run: number of processes, threads of each, and workers of their data loaders."""

    processes: int
    threads: int | None
    loader_workers: int

    def __str__(self) -> str:
        threads = "default threads" if self.threads is None else f"threads {self.threads}"
        return f"processes {self.processes}, {threads}, loader workers {self.loader_workers}"


SETUPS = (Setup(1, None, 0), Setup(1, None, 2))
# Workers are used only for a gain of more than a tenth: a pilot does not include that they are started anew
# in every epoch, which made whole runs 11 % slower.
LEAST_GAIN = 1.10
BY_HAND = Setup(os.cpu_count() or 1, 1, 0)


# -- distillab -----------------------------------------------------------------------------------------------


def write_study(path: Path, images: Path, teacher: Record, student: str, **changes: Any) -> Path:
    """Write a study file for the subset."""
    study = {
        "study": path.stem,
        "data": {"source": "npz", "path": str(images), "duplicates": "keep"},
        "teacher": teacher,
        "students": [student],
        **changes,
    }
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def distillab(study: Path, workers: int | None) -> tuple[Path, Cost]:
    """Run a study from scratch; return its folder and its cost."""
    folder = study.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "distillab.cli", "run", str(study), "--out", str(folder)]
    command += ["--workers", str(workers)] if workers else []
    return folder, sampled_measure([command], study.with_suffix(".log"))


def train_teacher(name: str, images: Path, epochs: int, folder: Path) -> Path:
    """Return the weights of a network trained plainly on the subset; train it if they do not exist."""
    digest = hashlib.sha256(images.read_bytes()).hexdigest()[:8]
    kept = folder / f"{name}-{epochs}-epochs-{digest}.safetensors"
    if not kept.exists():
        study = write_study(
            folder / f"teacher-{name}.yaml",
            images,
            {"model": name, "provenance": "full"},  # never trained: the plain student needs no teacher
            name,
            methods=["ce"],
            seeds=1,
            recipe={**RECIPE, "epochs": epochs},
        )
        made, _ = distillab(study, 1)
        [weights] = made.glob("store/student/*/weights.safetensors")
        shutil.copy(weights, kept)
    return kept


def distillab_row(study: Path, workers: int | None) -> Record:
    """Run the grid by distillab and return its row."""
    folder, cost = distillab(study, workers)
    print_breakdown(folder, cost.wall, workers or os.cpu_count() or 1)
    rows = read_rows(folder / "results.parquet")
    records = [json.loads(file.read_text()) for file in (folder / "store").glob("*/*/record.json")]
    counters = ("forwards", "eval_forwards", "teacher_forwards")
    runs = [{"method": row["method"], "accuracy": row["accuracy"]} for row in rows]
    return _row(cost, sum(record.get(key, 0) for record in records for key in counters), runs)


# -- torchdistill --------------------------------------------------------------------------------------------


def torchdistill(job: Record, setup: Setup, name: str, folder: Path) -> tuple[list[Record], Cost]:
    """Run the job by torchdistill, divided among processes; return the runs and their cost."""
    commands, outs = [], []
    for place in range(setup.processes):
        out, file = folder / f"{name}-{place}.out.json", folder / f"{name}-{place}.json"
        part = job["runs"][place :: setup.processes]
        file.write_text(
            json.dumps(job | {"runs": part, "loader_workers": setup.loader_workers, "out": str(out)})
        )
        commands.append([sys.executable, str(SIDE), str(file)])
        outs.append(out)
    cost = sampled_measure(commands, folder / f"{name}.log", setup.threads)
    return [run for out in outs for run in json.loads(out.read_text())["runs"]], cost


def fastest_setup(job: Record, name: str, folder: Path) -> tuple[Setup, float]:
    """Return the faster setup of the examples, and its steps of kd per second."""
    speeds = {}
    for number, setup in enumerate((*SETUPS, BY_HAND)):
        pilot = job | {
            "runs": [("kd", 0)] * setup.processes,
            "epochs": PILOT_STEPS,
            "most_steps": PILOT_STEPS,
        }
        runs, _ = torchdistill(pilot, setup, f"{name}-pilot{number}", folder)
        speeds[setup] = len(runs) * (PILOT_STEPS - 1) / max(run["seconds"] for run in runs)
        print(f"  pilot: torchdistill, {setup}: {speeds[setup]:.2f} steps per second", flush=True)
    usual, other = SETUPS
    best = other if speeds[other] > LEAST_GAIN * speeds[usual] else usual
    return best, speeds[best]


def torchdistill_row(job: Record, setup: Setup, name: str, folder: Path) -> Record:
    """Run the grid by torchdistill and return its row."""
    print(f"  torchdistill runs with {setup}", flush=True)
    runs, cost = torchdistill(job, setup, name, folder)
    return _row(cost, sum(run["teacher_images"] for run in runs), runs)


# -- both ----------------------------------------------------------------------------------------------------


def _row(cost: Cost, teacher_images: int, runs: Sequence[Record]) -> Record:
    found = {
        method: [run["accuracy"] for run in runs if run["method"] == method and run["accuracy"] is not None]
        for method in METHODS
    }
    return {
        "wall_seconds": round(cost.wall, 1),
        "cpu_seconds": round(cost.cpu, 1),
        "peak_mib": round(cost.peak),
        "teacher_images": teacher_images,
        **{f"accuracy_{method}": round(statistics.fmean(each), 4) for method, each in found.items()},
        **{f"sd_{method}": round(_sd(each), 4) for method, each in found.items()},
    }


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Comparison:
    """A pair of networks with the inputs of both sides.

    Attributes:
        pair: Key of :data:`PAIRS`.
        job: Inputs of torchdistill_side.py.
        setup: How torchdistill is run.
        speed: Steps of kd per second of torchdistill.
    """

    pair: str
    job: Record
    setup: Setup
    speed: float

    @classmethod
    def prepare(cls, pair: str, images: Path, folder: Path, options: argparse.Namespace) -> Comparison:
        """Train the teacher if needed, and choose the setup of torchdistill."""
        teacher, student = PAIRS[pair]
        print(f"{teacher} -> {student}", flush=True)
        mean, std = moments(images)
        job: Record = {
            "data": str(images),
            "teacher": teacher,
            "teacher_weights": str(train_teacher(teacher, images, options.teacher_epochs, folder)),
            "student": student,
            "runs": [(method, seed) for method in METHODS for seed in range(options.seeds)],
            **RECIPE,
            "val_epochs": [],
            "mean": mean,
            "std": std,
        }
        return cls(pair, job, *fastest_setup(job, f"{pair}-torchdistill", folder))

    def seconds(self, steps: int) -> float:
        """Estimate the seconds of all measurements of the pair at so many steps per run."""
        torchdistill_seconds = len(self.job["runs"]) * steps / self.speed
        return (1 + DISTILLAB_SHARE) * torchdistill_seconds + OVERHEAD_SECONDS

    def measure(self, epochs: int, folder: Path, options: argparse.Namespace) -> list[Record]:
        """Make the three measurements, one after the other."""
        teacher, student = PAIRS[self.pair]
        print(f"{teacher} -> {student}, {epochs} epochs", flush=True)
        evaluations = min(VALIDATIONS, epochs)
        val_epochs = sorted({math.ceil(epochs * (n + 1) / evaluations) for n in range(evaluations)})
        job = self.job | {"epochs": epochs, "val_epochs": val_epochs}
        rows = {"torchdistill": torchdistill_row(job, self.setup, f"{self.pair}-torchdistill", folder)}
        given = {"model": teacher, "provenance": "external", "weights": job["teacher_weights"]}
        recipe = {**RECIPE, "epochs": epochs, "views": "crop_flip"}
        for side, settings in SETTINGS.items():
            study = write_study(
                folder / f"{self.pair}-{side}.yaml",
                Path(job["data"]),
                given,
                student,
                methods=list(METHODS),
                seeds=options.seeds,
                recipe={**recipe, **settings},
            )
            rows[f"distillab {side}"] = distillab_row(study, options.workers)
        return [{"pair": f"{teacher} -> {student}", "side": side, **row} for side, row in rows.items()]


def epochs_that_fit(prepared: Sequence[Comparison], options: argparse.Namespace, since: float) -> int:
    """Return the requested epochs, or as many as end ``options.minutes`` after ``since``; at least one."""
    if options.minutes is None:
        return int(options.epochs)
    left = 60 * options.minutes - (time.perf_counter() - since)
    steps = options.images // BATCH
    fitting = range(1, options.epochs + 1)
    return max((n for n in fitting if sum(each.seconds(n * steps) for each in prepared) <= left), default=1)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line with the values of ``--quick`` and ``--middle`` filled in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="Parquet (a file or a folder, Hugging Face layout) or an image folder")
    parser.add_argument("--label", help="label column of the Parquet files, such as fine_label")
    parser.add_argument("--classes", type=int, help="only the first so many classes")
    parser.add_argument("--images", type=int, help="training images")
    parser.add_argument("--epochs", type=int, help="of every student; with --minutes, at most")
    parser.add_argument("--teacher-epochs", type=int, help="of the teachers, which are not counted")
    parser.add_argument("--minutes", type=float, help="as many epochs as fit into this time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--workers", type=int, help="of distillab run (its default)")
    size = parser.add_mutually_exclusive_group()
    for name in ("quick", "middle"):
        images, epochs, _, minutes = SIZES[name]
        text = f"the same on {images} images for {epochs} epochs or {minutes:.0f} minutes"
        size.add_argument(f"--{name}", dest="size", action="store_const", const=name, help=text)
    parser.add_argument("--keep", type=Path, help="folder for teachers, studies and logs (a temporary one)")
    parser.add_argument("--out", type=Path, help="write the table there as CSV")
    options = parser.parse_args(arguments)
    names = ("images", "epochs", "teacher_epochs", "minutes")
    for name, value in zip(names, SIZES[options.size or "whole"], strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def run(options: argparse.Namespace, folder: Path) -> None:
    """Write the subset, compare every pair, and print the tables and ratios."""
    since = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    images = folder / "images.npz"
    write_images(read_data(options.data, options.label, options.classes), options.images, images)
    prepared = [Comparison.prepare(pair, images, folder, options) for pair in options.pairs]
    epochs = epochs_that_fit(prepared, options, since)
    steps = epochs * (options.images // BATCH)
    print(
        f"{len(METHODS)} methods x {options.seeds} seeds, {options.images} images, {steps} steps per run",
        flush=True,
    )
    rows = [row for each in prepared for row in each.measure(epochs, folder, options)]
    for row in rows:
        row |= {"images": options.images, "steps": steps, "seeds": options.seeds}
    if options.out:
        write_csv(rows, options.out)
    print_all(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or print what is missing."""
    options = parse_arguments(arguments)
    if options.data is None:
        print("nothing to measure on: give --data, such as a folder with CIFAR-100's Parquet files")
        return
    missing = [name for name in ("torchdistill",) if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)} (see the first lines of this file)")
    try:
        if options.keep:
            run(options, options.keep)
        else:
            with tempfile.TemporaryDirectory() as folder:
                run(options, Path(folder))
    except RequestError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
