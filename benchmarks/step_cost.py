"""Processor seconds of a training step, method by method, by torchdistill and by distillab, with one thread.

    python benchmarks/step_cost.py --data FOLDER_OR_FILE [--label fine_label] [--steps 4]

study_cost.py measures wall time, start and end included; this program measures processor time of steps alone,
which depends little on other work on the machine: torchdistill in fp32 as its examples do it, with a forward
pass of the teacher in every step; distillab in fp32 and bf16, channels last, with one forward pass per view.
Both use the tuned allocator. The last lines add up the grid, {ce, kd, dist, at, rkd} x 3 seeds. Networks have
their initial weights. It needs what study_cost.py needs.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from distillab.artefacts import save_state
from distillab.data.examples import Examples
from distillab.machine import tune_allocator
from distillab.methods import MethodSpec, parse_method
from distillab.modalities.image import PixelNormalization
from distillab.models import InputSpec, inspect_network
from distillab.training.checkpoints import snapshot
from distillab.training.loop.cohort import train_cohort
from distillab.training.loop.member import CohortMember, Seeds, new_model
from distillab.training.loop.results import DivergenceError
from distillab.training.numerics.config import Precision
from distillab.training.recipe import Recipe
from distillab.training.teachers.feed import LiveTeacher
from study_cost import PAIRS, RECIPE
from study_cost_images import BATCH, moments, read_data, write_images
from study_cost_tables import METHODS

CPU = torch.device("cpu")
IMAGES, SEEDS = 128, 3


def torchdistill_steps(
    pair: str, images: Path, folder: Path, train: Examples, steps: int
) -> dict[str, float]:
    """Return the seconds per step of each method."""
    import torchdistill_side as side

    teacher, student = PAIRS[pair]
    weights = folder / f"{teacher}.safetensors"
    save_state(snapshot(new_model(teacher, train, 0, CPU)), weights)
    mean, std = moments(images)
    job = side.Job(
        str(images),
        teacher,
        str(weights),
        student,
        runs=[],
        epochs=steps,
        val_epochs=[],
        mean=mean,
        std=std,
        loader_workers=0,
        out="",
        most_steps=steps + 1,
        **RECIPE,  # type: ignore[arg-type]
    )
    sets, classes, pixels = side.read_sets(job)
    runs = [side.run_once(job, method, 0, sets, classes, pixels) for method in METHODS]
    return {run["method"]: run["seconds"] / steps for run in runs}


def distillab_steps(
    pair: str, train: Examples, val: Examples, precision: Precision, steps: int
) -> tuple[dict[str, float], float]:
    """Return the seconds per step of each method, and of the teacher."""
    mean, std = train.pixels(np.arange(len(train))).mean((0, 2, 3)) / 255, np.full(3, 0.25)
    normalize = PixelNormalization(mean.astype(np.float32), std.astype(np.float32))
    methods: list[MethodSpec] = [parse_method(name, "") for name in METHODS]
    for count in (1, steps):  # the first fills caches
        recipe = Recipe(**RECIPE, steps=count, views="crop_flip", precision=precision).resolve(train)
        teacher = new_model(PAIRS[pair][0], train, 0, CPU)
        info = inspect_network(teacher, InputSpec.square(3, 32), classes=len(train.classes))
        members = [
            CohortMember(PAIRS[pair][1], each, train, val, recipe, Seeds(0, 0, 0), info.shapes)
            for each in methods
            for method in methods
        ]
        needs = frozenset[str]().union(*(method.teacher_needs for method in methods))
        feed = LiveTeacher(teacher, info.taps, needs, CPU, precision)
        ended = train_cohort(members, normalize, device=CPU, teacher=feed)
    seconds, of_teacher = {}, 0.0
    for name, trained in zip(METHODS, ended, strict=True):
        if isinstance(trained, DivergenceError):
            raise SystemExit(f"{name}: {trained}")
        parts = trained.phases
        seconds[name] = sum(parts[each] for each in ("forward", "backward", "optimiser")) / steps
        seconds[name] += len(METHODS) * parts["views"] / steps  # a student alone renders its own
        of_teacher += parts["teacher"] / steps
    return seconds, of_teacher


def main() -> None:
    """Measure, and print a table per pair and the total of the grid."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="as of study_cost.py")
    parser.add_argument("--label", help="as of study_cost.py")
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    if options.data is None or importlib.util.find_spec("torchdistill") is None:
        print("nothing to measure: give --data, and install what benchmarks/study_cost.py names")
        return
    torch.set_num_threads(1)
    tune_allocator()
    time.perf_counter = time.process_time  # the clock that both sides read
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        dataset = read_data(options.data, options.label)
        write_images(dataset, IMAGES, folder / "images.npz")
        train, val = (each.select(np.arange(IMAGES)) for each in (dataset.train, dataset.val))
        grids = dict.fromkeys(("torchdistill", "fp32", "bf16"), 0.0)
        for pair, (teacher, student) in PAIRS.items():
            print(
                f"\n{teacher} -> {student}, processor milliseconds per step of {BATCH} images, one thread\n"
            )
            columns = {
                "torchdistill": torchdistill_steps(pair, folder / "images.npz", folder, train, options.steps)
            }
            grid = {"torchdistill": SEEDS * sum(columns["torchdistill"].values())}
            teacher_times = []
            for precision in ("fp32", "bf16"):
                columns[precision], once = distillab_steps(pair, train, val, precision, options.steps)
                grid[precision] = SEEDS * sum(columns[precision].values()) + once
                teacher_times.append(f"{precision} {1000 * once:.0f}")
            print("| method | torchdistill | distillab fp32 | distillab bf16 |\n|---|---|---|---|")
            for method in METHODS:
                print(
                    f"| {method} | "
                    + " | ".join(f"{1000 * each[method]:.0f}" for each in columns.values())
                    + " |"
                )
            print(f"\nthe teacher, once per view: {', '.join(teacher_times)}")
            print_ratios(f"{teacher} -> {student}", grid)
            grids = {side: grids[side] + grid[side] for side in grids}
        print_ratios("both pairs", grids)


def print_ratios(what: str, grid: dict[str, float]) -> None:
    """Print how many times longer torchdistill takes."""
    ratios = (f"{side} {grid['torchdistill'] / grid[side]:.2f}" for side in ("fp32", "bf16"))
    print(f"{what}, the whole grid: torchdistill takes {', '.join(ratios)} times as long", flush=True)


if __name__ == "__main__":
    main()
