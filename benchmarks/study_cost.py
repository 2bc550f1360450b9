"""What a study costs: one grid of runs by distillab and by torchdistill, side by side on this machine.

    python benchmarks/study_cost.py --data FOLDER_OR_FILE [--label fine_label] [--quick] [--out table.csv]

The grid is {ce, kd, dist, at, rkd} x 3 seeds for two pairs of networks, from given teachers. Both sides get
the same images, views, networks, teacher weights, losses, optimiser, learning rates, batches, number of
steps, looks at val and test images, and each runs in processes of its own:

- distillab, ``auto``: ``distillab run STUDY.yaml``, the recipe's arithmetic left to it;
- distillab, ``fp32``: the same with ``precision: fp32``, channels last, not compiled;
- torchdistill 1.1.5 in fp32 (torchdistill_side.py says how), as its examples run it: one process with its
  default threads, images loaded in it or, if that was a tenth faster in a short pilot on the same pair, by
  two workers. The pilot also says how fast a process a CPU with one thread each would be, which whoever runs
  a grid by hand could arrange.

Printed for each: wall seconds; processor seconds of all processes; peak memory, sampled every ten seconds,
what processes share counted once; images sent through the teacher; mean and standard deviation over seeds of
each method's accuracy; and where distillab's seconds went (step_breakdown.py). The last line is
``ratio_auto=X ratio_fp32=Y``: torchdistill's wall seconds over distillab's, all pairs together.
Compilers and trials find empty caches. Teachers are trained beforehand, by distillab, and not counted; with
``--keep DIR`` they and the studies are kept, and the next call finds the teachers there.

It needs, besides distillab with its extra ``dev``: ``pip install psutil`` and ``pip install --no-deps
torchdistill==1.1.5`` (of what that asks for, torch, torchvision, numpy, pyyaml and scipy are there already;
cython is not used by what runs here). ``--data`` is a Parquet file, or folder of them, as the Hugging Face
Hub lays them out, or a folder of images; of CIFAR-100, which the pairs are made for, the default takes 50
images a class. The whole grid takes hours. ``--quick`` takes 256 images, and as many epochs as the pilot says
can be done on both sides in 8 minutes, 4 at most; ``--middle`` takes 1,000 images and what fits 20 minutes.
``--classes 10`` keeps the first ten classes, of which something can be learned in the time.
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
from pathlib import Path
from typing import Any

import yaml

from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.training.recipe import VALIDATIONS
from measured_command import Cost, measure
from step_breakdown import tell
from study_cost_images import BATCH, moments, read_data, write_images
from study_cost_tables import METHODS, Record, print_all, write_csv

PAIRS = {"x4": ("resnet32x4", "resnet8x4"), "plain": ("resnet56", "resnet20")}
RECIPE = {"batch_size": BATCH, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
SETTINGS: dict[str, dict[str, Any]] = {
    "auto": {},
    "fp32": {"precision": "fp32", "memory_format": "channels_last", "compile": False},
}
PILOT_STEPS = 9  # of three, two are timed, which a busy moment decides
# How often what runs is looked at: rarely, since the look is paid for by what it measures.
LOOK = {"every": 1.0, "memory_every": 10.0}
# Numbers of images, most epochs, epochs of the teachers, minutes to end within (None: as long as it takes).
SIZES: dict[str, tuple[int, int, int, float | None]] = {
    "whole": (5000, 10, 5, None),
    "middle": (1000, 10, 3, 20.0),
    "quick": (256, 4, 1, 8.0),
}
# Both distillab sides together take at most this share of torchdistill's time; starting, and what the table
# needs, so many seconds.
OUR_SHARE, BESIDES = 0.7, 45.0
SIDE = Path(__file__).with_name("torchdistill_side.py")


@dataclass(frozen=True)
class Way:
    """A way to run torchdistill: how many processes share the runs, their threads, their loaders' workers."""

    processes: int
    threads: int | None
    loader_workers: int

    def __str__(self) -> str:
        threads = "default threads" if self.threads is None else f"threads {self.threads}"
        return f"processes {self.processes}, {threads}, loader workers {self.loader_workers}"


WAYS = (Way(1, None, 0), Way(1, None, 2))
# Loading in the process itself is left only for a gain of more than a tenth: a pilot does not see that
# workers are started anew in every epoch, with which whole runs were 11 % slower.
LEAST_GAIN = 1.10
BY_HAND = Way(os.cpu_count() or 1, 1, 0)


# -- distillab -----------------------------------------------------------------------------------------------


def write_study(path: Path, images: Path, teacher: Record, student: str, **changes: Any) -> Path:
    """A study file over the cut."""
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
    """Run a study from nothing; its folder and what it took."""
    folder = study.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "distillab.cli", "run", str(study), "--out", str(folder)]
    command += ["--workers", str(workers)] if workers else []
    return folder, measure([command], study.with_suffix(".log"), **LOOK)


def train_teacher(name: str, images: Path, epochs: int, folder: Path) -> Path:
    """Weights of a network that distillab trained plainly on the cut, made if they are not there."""
    digest = hashlib.sha256(images.read_bytes()).hexdigest()[:8]
    kept = folder / f"{name}-{epochs}-epochs-{digest}.safetensors"
    if not kept.exists():
        study = write_study(
            folder / f"teacher-{name}.yaml",
            images,
            {"model": name, "provenance": "full"},  # never trained: the plain student asks no teacher
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
    """Run the grid by distillab and read what came of it."""
    folder, cost = distillab(study, workers)
    tell(folder, cost.wall, workers or os.cpu_count() or 1)
    rows = read_rows(folder / "results.parquet")
    records = [json.loads(file.read_text()) for file in (folder / "store").glob("*/*/record.json")]
    asked = ("forwards", "eval_forwards", "teacher_forwards")
    runs = [{"method": row["method"], "accuracy": row["accuracy"]} for row in rows]
    return _row(cost, sum(record.get(key, 0) for record in records for key in asked), runs)


# -- torchdistill --------------------------------------------------------------------------------------------


def torchdistill(job: Record, way: Way, name: str, folder: Path) -> tuple[list[Record], Cost]:
    """Run the job's arms by torchdistill, dealt out to processes; the runs and what they took."""
    commands, outs = [], []
    for place in range(way.processes):
        out, file = folder / f"{name}-{place}.out.json", folder / f"{name}-{place}.json"
        arms = job["arms"][place :: way.processes]
        file.write_text(
            json.dumps(job | {"arms": arms, "loader_workers": way.loader_workers, "out": str(out)})
        )
        commands.append([sys.executable, str(SIDE), str(file)])
        outs.append(out)
    cost = measure(commands, folder / f"{name}.log", way.threads, **LOOK)
    return [run for out in outs for run in json.loads(out.read_text())["runs"]], cost


def fastest_way(job: Record, name: str, folder: Path) -> tuple[Way, float]:
    """The way of the examples that gets through more steps of kd a second, and how many these are."""
    speeds = {}
    for number, way in enumerate((*WAYS, BY_HAND)):
        pilot = job | {"arms": [("kd", 0)] * way.processes, "epochs": PILOT_STEPS, "most_steps": PILOT_STEPS}
        runs, _ = torchdistill(pilot, way, f"{name}-pilot{number}", folder)
        speeds[way] = len(runs) * (PILOT_STEPS - 1) / max(run["seconds"] for run in runs)
        print(f"  pilot: torchdistill, {way}: {speeds[way]:.2f} steps a second", flush=True)
    usual, other = WAYS
    best = other if speeds[other] > LEAST_GAIN * speeds[usual] else usual
    return best, speeds[best]


def torchdistill_row(job: Record, way: Way, name: str, folder: Path) -> Record:
    """Run the grid by torchdistill and read what came of it."""
    print(f"  torchdistill runs with {way}", flush=True)
    runs, cost = torchdistill(job, way, name, folder)
    return _row(cost, sum(run["teacher_images"] for run in runs), runs)


# -- both ----------------------------------------------------------------------------------------------------


def _row(cost: Cost, asked: int, runs: Sequence[Record]) -> Record:
    found = {
        method: [run["accuracy"] for run in runs if run["method"] == method and run["accuracy"] is not None]
        for method in METHODS
    }
    return {
        "wall_seconds": round(cost.wall, 1),
        "cpu_seconds": round(cost.cpu, 1),
        "peak_mib": round(cost.peak),
        "teacher_images": asked,
        **{f"accuracy_{method}": round(statistics.fmean(each), 4) for method, each in found.items()},
        **{f"sd_{method}": round(_sd(each), 4) for method, each in found.items()},
    }


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Comparison:
    """A pair of networks, what both sides are given, and the way that torchdistill runs, with its steps of kd
    a second."""

    pair: str
    job: Record
    way: Way
    speed: float

    @classmethod
    def prepare(cls, pair: str, images: Path, folder: Path, asked: argparse.Namespace) -> Comparison:
        """Train the teacher if need be, and find out how torchdistill is the fastest."""
        teacher, student = PAIRS[pair]
        print(f"{teacher} -> {student}", flush=True)
        mean, std = moments(images)
        job: Record = {
            "data": str(images),
            "teacher": teacher,
            "teacher_weights": str(train_teacher(teacher, images, asked.teacher_epochs, folder)),
            "student": student,
            "arms": [(method, seed) for method in METHODS for seed in range(asked.seeds)],
            **RECIPE,
            "val_epochs": [],
            "mean": mean,
            "std": std,
        }
        return cls(pair, job, *fastest_way(job, f"{pair}-torchdistill", folder))

    def seconds(self, steps: int) -> float:
        """Estimate of what all measurements of the pair take at so many steps a run."""
        theirs = len(self.job["arms"]) * steps / self.speed
        return (1 + OUR_SHARE) * theirs + BESIDES

    def measure(self, epochs: int, folder: Path, asked: argparse.Namespace) -> list[Record]:
        """The three measurements, one after the other."""
        teacher, student = PAIRS[self.pair]
        print(f"{teacher} -> {student}, {epochs} epochs", flush=True)
        looks = min(VALIDATIONS, epochs)
        val_epochs = sorted({math.ceil(epochs * (look + 1) / looks) for look in range(looks)})
        job = self.job | {"epochs": epochs, "val_epochs": val_epochs}
        rows = {"torchdistill": torchdistill_row(job, self.way, f"{self.pair}-torchdistill", folder)}
        given = {"model": teacher, "provenance": "external", "weights": job["teacher_weights"]}
        recipe = {**RECIPE, "epochs": epochs, "views": "crop_flip"}
        for side, settings in SETTINGS.items():
            study = write_study(
                folder / f"{self.pair}-{side}.yaml",
                Path(job["data"]),
                given,
                student,
                methods=list(METHODS),
                seeds=asked.seeds,
                recipe={**recipe, **settings},
            )
            rows[f"distillab {side}"] = distillab_row(study, asked.workers)
        return [{"pair": f"{teacher} -> {student}", "side": side, **row} for side, row in rows.items()]


def epochs_that_fit(prepared: Sequence[Comparison], asked: argparse.Namespace, since: float) -> int:
    """The epochs that were asked for, or as many as end ``asked.minutes`` after ``since``; at least one."""
    if asked.minutes is None:
        return int(asked.epochs)
    left = 60 * asked.minutes - (time.perf_counter() - since)
    steps = asked.images // BATCH
    fitting = range(1, asked.epochs + 1)
    return max((n for n in fitting if sum(each.seconds(n * steps) for each in prepared) <= left), default=1)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, ``--quick`` filled in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="Parquet (a file or a folder, Hugging Face layout) or an image folder")
    parser.add_argument("--label", help="label column of the Parquet files, such as fine_label")
    parser.add_argument("--classes", type=int, help="only the first so many classes")
    parser.add_argument("--images", type=int, help="training images")
    parser.add_argument("--epochs", type=int, help="of every student; with --minutes, the most")
    parser.add_argument("--teacher-epochs", type=int, help="of the teachers, which are not counted")
    parser.add_argument("--minutes", type=float, help="take only the epochs that can be done in this time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--workers", type=int, help="of distillab run (its default)")
    size = parser.add_mutually_exclusive_group()
    for name in ("quick", "middle"):
        images, epochs, _, minutes = SIZES[name]
        told = f"the same on {images} images for {epochs} epochs or what fits {minutes:.0f} minutes"
        size.add_argument(f"--{name}", dest="size", action="store_const", const=name, help=told)
    parser.add_argument("--keep", type=Path, help="folder for teachers, studies and logs (a temporary one)")
    parser.add_argument("--out", type=Path, help="write the table there as CSV")
    asked = parser.parse_args(arguments)
    names = ("images", "epochs", "teacher_epochs", "minutes")
    for name, value in zip(names, SIZES[asked.size or "whole"], strict=True):
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    return asked


def run(asked: argparse.Namespace, folder: Path) -> None:
    """Make the cut, compare every pair, print the tables and the ratios."""
    since = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    images = folder / "images.npz"
    write_images(read_data(asked.data, asked.label, asked.classes), asked.images, images)
    prepared = [Comparison.prepare(pair, images, folder, asked) for pair in asked.pairs]
    epochs = epochs_that_fit(prepared, asked, since)
    steps = epochs * (asked.images // BATCH)
    print(
        f"{len(METHODS)} methods x {asked.seeds} seeds, {asked.images} images, {steps} steps a run",
        flush=True,
    )
    rows = [row for each in prepared for row in each.measure(epochs, folder, asked)]
    for row in rows:
        row |= {"images": asked.images, "steps": steps, "seeds": asked.seeds}
    if asked.out:
        write_csv(rows, asked.out)
    print_all(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or say what is missing."""
    asked = parse_arguments(arguments)
    if asked.data is None:
        print("nothing to measure on: give --data, such as a folder with CIFAR-100's Parquet files")
        return
    missing = [name for name in ("psutil", "torchdistill") if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)} (the first lines of this file say how)")
    try:
        if asked.keep:
            run(asked, asked.keep)
        else:
            with tempfile.TemporaryDirectory() as folder:
                run(asked, Path(folder))
    except RequestError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
