"""What a study costs: one grid of runs by distillab and by torchdistill, side by side on this machine.

    python benchmarks/study_cost.py --data FOLDER_OR_FILE [--label fine_label] [--quick] [--out table.csv]

The grid is {ce, kd, dist, at, rkd} x 3 seeds for two pairs of networks, from given teachers. Both sides get
the same images, views, networks, teacher weights, losses, optimiser, learning rates, batches, number of
steps, looks at val and test images, and each runs in processes of its own:

- distillab, ``auto``: ``distillab run STUDY.yaml``, the recipe's arithmetic left to it;
- distillab, ``fp32``: the same with ``precision: fp32``, channels last, not compiled;
- torchdistill 1.1.5 in fp32 (torchdistill_side.py says how), as its examples run it: one process with its
  default threads, images loaded in it or by two workers, whichever was faster in a short pilot on the same
  pair. The pilot also says how fast a process a CPU with one thread each would be, which whoever runs a grid
  by hand could arrange.

Printed for each: wall seconds; processor seconds of all processes; peak memory, sampled five times a second,
what processes share counted once; images sent through the teacher; mean accuracy of each method; and where
distillab's seconds went (step_breakdown.py). The last
line is ``ratio_auto=X ratio_fp32=Y``: torchdistill's wall seconds over distillab's, all pairs together.
Compilers and trials find empty caches. Teachers are trained beforehand, by distillab, and not counted; with
``--keep DIR`` they and the studies are kept, and the next call finds the teachers there.

It needs, besides distillab with its extra ``dev``: ``pip install psutil`` and ``pip install --no-deps
torchdistill==1.1.5`` (of what that asks for, torch, torchvision, numpy, pyyaml and scipy are there already;
cython is not used by what runs here). ``--data`` is a Parquet file, or folder of them, as the Hugging Face
Hub lays them out, or a folder of images; of CIFAR-100, which the pairs are made for, the default takes 50
images a class. ``--quick`` takes 128 images and 2 epochs, to end within 8 minutes on two slow cores; the
whole grid takes hours.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from distillab.data.dataset import Dataset
from distillab.data.imageset import ImageSet
from distillab.data.ingest import load_dataset
from distillab.data.sources.parse import parse_source, source_from_argument
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.training.recipe import VAL_LOOKS
from measured_command import Cost, measure
from step_breakdown import tell

PAIRS = {"x4": ("resnet32x4", "resnet8x4"), "plain": ("resnet56", "resnet20")}
METHODS = ("ce", "kd", "dist", "at", "rkd")
RECIPE = {"batch_size": 64, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
SETTINGS: dict[str, dict[str, Any]] = {
    "auto": {},
    "fp32": {"precision": "fp32", "memory_format": "channels_last", "compile": False},
}
PILOT_STEPS = 3
SIDE = Path(__file__).with_name("torchdistill_side.py")
Record = dict[str, Any]


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
BY_HAND = Way(os.cpu_count() or 1, 1, 0)


# -- the images ----------------------------------------------------------------------------------------------


def read_data(data: str, label: str | None) -> Dataset:
    """The dataset that ``--data`` means, 32 pixels a side, in colour. Raises RequestError."""
    form = {"resolution": 32, "channels": 3}
    if label is None:
        return load_dataset(source_from_argument(data).model_copy(update=form))
    key = "train" if data.endswith(".parquet") else "path"
    return load_dataset(
        parse_source({"source": "parquet", key: data, "label": label, **form}, Path(), "--data")
    )


def write_images(dataset: Dataset, images: int, path: Path) -> None:
    """A cut of the dataset as .npz: ``images`` to train on, a tenth of it for val, at most 2,000 to test."""
    classes = len(dataset.classes)
    if not max(classes, int(RECIPE["batch_size"])) <= images <= len(dataset.train):
        raise SystemExit(f"--images must lie between {max(classes, 64)} and {len(dataset.train)}")
    sizes = {"train": images, "val": max(classes, images // 10), "test": min(2000, max(classes, images // 2))}
    sets = {"train": dataset.train, "val": dataset.val, "test": dataset.eval["test"]}
    arrays = {}
    for split, whole in sets.items():
        chosen = evenly(whole, sizes[split])
        arrays |= {f"x_{split}": whole.pixels(chosen), f"y_{split}": whole.labels[chosen]}
    np.savez(path, **arrays)


def evenly(images: ImageSet, size: int) -> npt.NDArray[np.int64]:
    """Positions of ``size`` images, of every class as many as of any other, or one more."""
    shuffled = np.random.default_rng(0).permutation(len(images))
    labels = images.labels[shuffled]
    rank = np.empty(len(images), dtype=np.int64)
    for label in range(len(images.classes)):
        mine = labels == label
        rank[mine] = np.arange(mine.sum())
    return np.sort(shuffled[np.argsort(rank, kind="stable")[:size]])


def moments(path: Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation a channel of the training images, on the [0, 1] scale."""
    with np.load(path) as arrays:
        pixels = arrays["x_train"] / 255.0
    return pixels.mean((0, 2, 3)).tolist(), pixels.std((0, 2, 3)).tolist()


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
    return folder, measure([command], study.with_suffix(".log"))


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
            recipe={**RECIPE, "epochs": epochs, "precision": "fp32"},
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
    cost = measure(commands, folder / f"{name}.log", way.threads)
    return [run for out in outs for run in json.loads(out.read_text())["runs"]], cost


def fastest_way(job: Record, name: str, folder: Path) -> Way:
    """The way of the examples that gets through the most steps of kd a second."""
    speeds = {}
    for number, way in enumerate((*WAYS, BY_HAND)):
        pilot = job | {"arms": [("kd", 0)] * way.processes, "epochs": PILOT_STEPS, "most_steps": PILOT_STEPS}
        runs, _ = torchdistill(pilot, way, f"{name}-pilot{number}", folder)
        speeds[way] = len(runs) * (PILOT_STEPS - 1) / max(run["seconds"] for run in runs)
        print(f"  pilot: torchdistill, {way}: {speeds[way]:.2f} steps a second", flush=True)
    return max(WAYS, key=speeds.__getitem__)


def torchdistill_row(job: Record, name: str, folder: Path) -> Record:
    """Run the grid by torchdistill in the faster way and read what came of it."""
    way = fastest_way(job, name, folder)
    print(f"  torchdistill runs with {way}", flush=True)
    runs, cost = torchdistill(job, way, name, folder)
    return _row(cost, sum(run["teacher_images"] for run in runs), runs)


# -- both ----------------------------------------------------------------------------------------------------


def _row(cost: Cost, asked: int, runs: Sequence[Record]) -> Record:
    means = {
        f"accuracy_{method}": float(np.mean([run["accuracy"] for run in runs if run["method"] == method]))
        for method in METHODS
    }
    return {
        "wall_seconds": round(cost.wall, 1),
        "cpu_seconds": round(cost.cpu, 1),
        "peak_mib": round(cost.peak),
        "teacher_images": asked,
        **{name: round(mean, 4) for name, mean in means.items()},
    }


def compare(pair: str, images: Path, folder: Path, asked: argparse.Namespace) -> list[Record]:
    """The three measurements of a pair, one after the other."""
    teacher, student = PAIRS[pair]
    print(f"{teacher} -> {student}", flush=True)
    weights = train_teacher(teacher, images, asked.teacher_epochs, folder)
    looks = min(VAL_LOOKS, asked.epochs)
    mean, std = moments(images)
    job: Record = {
        "data": str(images),
        "teacher": teacher,
        "teacher_weights": str(weights),
        "student": student,
        "arms": [(method, seed) for method in METHODS for seed in range(asked.seeds)],
        "epochs": asked.epochs,
        **RECIPE,
        "val_epochs": sorted({math.ceil(asked.epochs * (look + 1) / looks) for look in range(looks)}),
        "mean": mean,
        "std": std,
    }
    rows = {"torchdistill": torchdistill_row(job, f"{pair}-torchdistill", folder)}
    given = {"model": teacher, "provenance": "external", "weights": str(weights)}
    recipe = {**RECIPE, "epochs": asked.epochs, "views": "crop_flip"}
    for side, settings in SETTINGS.items():
        study = write_study(
            folder / f"{pair}-{side}.yaml",
            images,
            given,
            student,
            methods=list(METHODS),
            seeds=asked.seeds,
            recipe={**recipe, **settings},
        )
        rows[f"distillab {side}"] = distillab_row(study, asked.workers)
    return [{"pair": f"{teacher} -> {student}", "side": side, **row} for side, row in rows.items()]


def print_table(rows: Sequence[Record]) -> None:
    """The rows under their columns."""
    columns = list(rows[0])
    lines = [columns, *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, ``--quick`` filled in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="Parquet (a file or a folder, Hugging Face layout) or an image folder")
    parser.add_argument("--label", help="label column of the Parquet files, such as fine_label")
    parser.add_argument("--images", type=int, help="training images (5000; quick: 128)")
    parser.add_argument("--epochs", type=int, help="of every student (10; quick: 2)")
    parser.add_argument("--teacher-epochs", type=int, help="of the teachers, not counted (5; quick: 1)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--workers", type=int, help="of distillab run (its default)")
    parser.add_argument("--quick", action="store_true", help="the same grid on few images, in minutes")
    parser.add_argument("--keep", type=Path, help="folder for teachers, studies and logs (a temporary one)")
    parser.add_argument("--out", type=Path, help="write the table there as CSV")
    asked = parser.parse_args(arguments)
    for name, whole, quick in (("images", 5000, 128), ("epochs", 10, 2), ("teacher_epochs", 5, 1)):
        if getattr(asked, name) is None:
            setattr(asked, name, quick if asked.quick else whole)
    return asked


def run(asked: argparse.Namespace, folder: Path) -> None:
    """Make the cut, compare every pair, print the table and the ratios."""
    folder.mkdir(parents=True, exist_ok=True)
    images = folder.resolve() / "images.npz"
    write_images(read_data(asked.data, asked.label), asked.images, images)
    steps = asked.epochs * (asked.images // int(RECIPE["batch_size"]))
    print(
        f"{len(METHODS)} methods x {asked.seeds} seeds, {asked.images} images, {steps} steps a run",
        flush=True,
    )
    rows = [row for pair in asked.pairs for row in compare(pair, images, folder.resolve(), asked)]
    print_table(rows)
    if asked.out:
        with asked.out.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    sides = ("torchdistill", "distillab auto", "distillab fp32")
    theirs, auto, fp32 = (sum(row["wall_seconds"] for row in rows if row["side"] == side) for side in sides)
    print(f"ratio_auto={theirs / auto:.2f} ratio_fp32={theirs / fp32:.2f}")


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
