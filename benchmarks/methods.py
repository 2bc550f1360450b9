"""Every method in one cell on real images: its gain over the plain student, and the cost of a step.

    python benchmarks/methods.py --data cifar100 --out DIR [--pairs cnn vit] [--methods kd dkd ...]
                                 [--seeds 5] [--workers 1] [--table FOLDER]

Twenty classes of CIFAR-100 at 32 pixels (``--data`` is the folder with its train.parquet and test.parquet),
100 images per class for the student, all of them for the teacher, a resnet20. It teaches a resnet8 (``cnn``,
150 steps of 64 images) and a small vision transformer (``vit``, 60 steps of 32 images). The trainings are
short: the table shows the early effect of methods with default settings, not what they reach in the end.
Each pair is one study of all registered methods: plain and distilled students share initial weights, images,
order, views and number of steps, so a gain is the mean of paired differences on the 2000 test images, with
the interval and the verdict of the study. Studies are resumed in DIR.

The cost of a step is measured separately, in one process per method: the student's part of a training step
with this method and with ce alternately, given teacher outputs (the ratio of medians), and by how much the
method raises the peak of memory. Prints one table per pair; ``--table`` writes it as methods-PAIR.csv, with
the date and the machine in methods-PAIR.json, which ``make tables`` puts into docs/methods.md.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillab.api import Study
from distillab.data.examples import Examples
from distillab.evidence.schema import read_rows
from distillab.methods import methods, parse_method
from distillab.modalities.image import PixelNormalization
from distillab.models import InputSpec, TappedModel, build_model, inspect_network
from distillab.models.outputs import Outputs
from distillab.training.batches import TrainingBatch, training_batches
from distillab.training.loop.member import CohortMember, Seeds
from distillab.training.loop.member_training import MemberTraining
from distillab.training.recipe import Recipe

CLASSES, IMAGES, ROUNDS = 20, 100, 7
TEACHER = "resnet20"
SGD = {"batch_size": 64, "lr": 0.05, "views": "crop_flip", "precision": "fp32"}
ADAM = {"batch_size": 32, "lr": 0.001, "warmup": 0.05, "optimizer": "adamw"}
PAIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("resnet8", SGD | {"steps": 150}),
    "vit": ("timm:test_vit", SGD | ADAM | {"steps": 60}),
}
TEACHER_RECIPE = SGD | {"optimizer": "sgd", "steps": 1000}
Row = dict[str, Any]


# -- gains ---------------------------------------------------------------------------------------------------


# All but the control of students that start from stages, and what stands blocks of one network in the other.
OF_ANY_PAIR = [
    name
    for name in methods
    if not methods[name].throughout and "teacher_network" not in (methods[name].teacher_needs or ())
]


def study(pair: str, options: argparse.Namespace) -> Study:
    """Return the study of a pair: all methods, one dataset."""
    student, recipe = PAIRS[pair]
    data = options.data.resolve()
    return Study(
        study=f"methods-{pair}",
        data={
            "source": "parquet",
            "train": str(data / "train.parquet"),
            "test": str(data / "test.parquet"),
            "label": "fine_label",
            "classes": CLASSES,
            "val": 0.02,
        },
        teacher={
            "model": TEACHER,
            "provenance": "full",
            "recipe": {"full": TEACHER_RECIPE},
        },
        students=[student],
        methods=["ce", *(name for name in options.methods if name != "ce")],
        factors={"size": [IMAGES]},
        seeds=options.seeds,
        recipe=recipe,
    )


def gains(pair: str, options: argparse.Namespace) -> dict[str, Row]:
    """Return mean accuracy, gain over ce with its interval, and the verdict, by method."""
    finished = study(pair, options).run(options.out / pair, workers=options.workers)
    for failure in finished.outcome.failures:
        print(f"failed: {failure}", flush=True)
    effects = read_rows(finished.folder.path / "effects.parquet")
    rows = [row for row in effects if row["metric"] == "accuracy" and row["baseline"] == "ce"]
    found = {row["method"]: _gain(row) for row in rows}
    return {"ce": {"accuracy": round(rows[0]["plain_mean"], 4)}, **found}


def _gain(row: Row) -> Row:
    points = {name: round(100 * row[name], 2) for name in ("gain", "ci_low", "ci_high")}
    return {
        "accuracy": round(row["distilled_mean"], 4),
        **points,
        **{name: row[name] for name in ("verdict", "p_verdict", "n_tests", "verdict_family", "n_teachers")},
        "seeds": row["n_pairs"],
    }


# -- the cost of a step --------------------------------------------------------------------------------------


def step_cost(pair: str, name: str) -> Row:
    """Return the seconds of a student's step over those of ce, and by how many MiB it raises the peak."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["distillab.api", "distillab.training.loop.member_training"])
    with context.Pool(1) as pool:
        return pool.apply(_step_cost, (pair, name))


def _step_cost(pair: str, name: str) -> Row:
    torch.set_num_threads(1)
    images, steps, outputs, shapes = _inputs(pair)
    members = {each: _member(pair, each, images, shapes) for each in ("ce", name)}
    normalize = _normalization()
    learning, peaks = {}, {}
    for each, member in members.items():
        learning[each] = MemberTraining(member, normalize, torch.device("cpu"))
        given = _given(member, outputs)
        for step in steps[:2]:
            learning[each].step(step, given)
        gc.collect()
        peaks[each] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds: dict[str, list[float]] = {each: [] for each in members}
    for step in steps[2:]:
        for each, member in members.items():
            started = time.process_time()
            learning[each].step(step, _given(member, outputs))
            seconds[each].append(time.process_time() - started)
    medians = {each: statistics.median(values) for each, values in seconds.items()}
    return {
        "step_time": round(medians[name] / medians["ce"], 2),
        "step_mib": round(peaks[name] - peaks["ce"]),
    }


def _given(member: CohortMember, outputs: Outputs) -> list[Outputs]:
    """Return a teacher's outputs for both views, none for a method without a teacher."""
    return [] if member.method.teacher == "none" else [outputs, outputs]


def _inputs(pair: str) -> tuple[Examples, list[TrainingBatch], Outputs, Any]:
    """Return images, batches, and all teacher outputs that methods can need, for one of them."""
    rng = np.random.default_rng(0)
    n = PAIRS[pair][1]["batch_size"] * (ROUNDS + 2)
    pixels = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    names = tuple(map(str, range(CLASSES)))
    images = Examples.of(pixels, np.arange(n) % CLASSES, names)
    images = replace(images, groups=images.labels % 2, group_names=("even", "odd"))
    recipe = _recipe(pair, images)
    steps = list(
        training_batches(
            images,
            recipe,
            _normalization(),
            order_seed=0,
            view_seed=0,
            device=torch.device("cpu"),
            strong=True,
        )
    )
    teacher = build_model(TEACHER, classes=CLASSES, inputs=InputSpec.square(3, 32)).eval()
    info = inspect_network(teacher, InputSpec.square(3, 32), classes=CLASSES)
    needs = frozenset[str]().union(*(methods[name].needs for name in methods))
    with torch.no_grad(), TappedModel(teacher, needs, info.taps) as tapped:
        outputs = tapped(steps[0].inputs)
    return images, steps, outputs, info.shapes


def _recipe(pair: str, images: Examples) -> Any:
    # The cost of a step does not depend on the learning rate, and random images teach nothing.
    return Recipe(**(PAIRS[pair][1] | {"steps": ROUNDS + 2, "lr": 1e-9})).resolve(images)


def _normalization() -> PixelNormalization:
    return PixelNormalization(np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32))


def _member(pair: str, name: str, images: Examples, shapes: Any) -> CohortMember:
    # Evaluation on val is not part of a step: one image keeps it short.
    val = Examples.of(images.pool.items[:1], images.labels[:1], images.classes, first_id=10**6)
    return CohortMember(
        PAIRS[pair][0],
        parse_method(name, "--methods"),
        images,
        val,
        _recipe(pair, images),
        Seeds(init=0, order=0, views=0),
        shapes,
    )


# -- the table -----------------------------------------------------------------------------------------------


def table(pair: str, options: argparse.Namespace) -> list[Row]:
    """Return the rows of a pair, largest gain first."""
    found = gains(pair, options)
    rows = []
    for method, gained in found.items():
        cost = {} if method == "ce" else step_cost(pair, method)
        revision = parse_method(method, "methods").revision
        rows.append({"method": method, **gained, **cost, "revision": revision})
    return sorted(rows, key=lambda row: -row.get("gain", 0.0))


def print_rows(pair: str, rows: Sequence[Row]) -> None:
    """Print the rows in columns."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    print(f"{TEACHER} -> {PAIRS[pair][0]}")
    for line in lines:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def machine() -> dict[str, str]:
    """Return the date and the machine."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "date": date.today().isoformat(),
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "torch": torch.__version__,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or print what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with CIFAR-100's train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, help="folder of the studies")
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument(
        "--methods", nargs="+", default=OF_ANY_PAIR, help="registered names (all that serve any pair)"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--table", type=Path, help="folder for methods-PAIR.csv")
    options = parser.parse_args(arguments)
    if options.data is None or options.out is None:
        print("nothing to measure on: give --data, a folder with CIFAR-100's Parquet files, and --out")
        return
    for pair in options.pairs:
        rows = table(pair, options)
        print_rows(pair, rows)
        if options.table:
            options.table.mkdir(parents=True, exist_ok=True)
            write_csv(options.table / f"methods-{pair}.csv", rows)
            (options.table / f"methods-{pair}.json").write_text(json.dumps(machine(), indent=1) + "\n")


if __name__ == "__main__":
    main()
