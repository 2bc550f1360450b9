"""How much faster and smaller the students of a study of tracking are than their teachers.

    python benchmarks/tracking_speed.py --study DIR [--seconds 20] [--write speed.csv]

DIR is a finished study of ``task: tracking`` with one condition, whose networks are loaded from its store.
For each student and method it prints the means over seeds, and the range of these, of

- frames per second of the student / frames per second of the teacher of its seed, of the whole: from stored
  frames to objects with identities, by network, post-processing and tracker;
- the same of the networks alone;
- parameters of the student / parameters of the teacher.

The networks of a seed run in turn through the frames of the first test sequence, one frame at a time on one
thread; the times are medians. Time is that of the processor, which other programs on the machine change
little. It takes about ``--seconds`` per seed.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distillab.data.examples import Items
from distillab.data.tracks import Tracks
from distillab.deploy.environment import environment_facts
from distillab.deploy.latency import time_in_turn
from distillab.deploy.tracking_speed import MOST_TIMED_FRAMES, following_pass
from distillab.evidence.pairs import Row
from distillab.evidence.schema import read_rows
from distillab.evidence.tuning import headline_rows
from distillab.modalities import normalization_of
from distillab.models import count_parameters
from distillab.study.folder import StudyFolder
from distillab.tasks import Tracking
from distillab.training.stages.outputs import open_network

TEACHER = "teacher"
RATIOS = ("frames_per_second_ratio", "network_ratio", "parameter_ratio")
COLUMNS = (
    *("student", "method", "teacher", "seed", *RATIOS),
    *("frames_per_second", "teacher_frames_per_second", "params", "teacher_params"),
)


def measured(folder: StudyFolder, seconds: float) -> list[Row]:
    """Return one row per student, method and seed of a finished study.

    Args:
        folder: The study.
        seconds: Time of all counted passes per seed, about.
    """
    if not isinstance(folder.spec.task_config(), Tracking):
        raise SystemExit(f"{folder.path} is a study of {folder.spec.task_config().name}, not of tracking")
    rows = [row for row in headline_rows(read_rows(folder.results_file)) if row["status"] == "done"]
    keys = [key for key in rows[0] if key in ("provenance", "teacher") or key.startswith("factor.")]
    if len({tuple(row[key] for key in keys) for row in rows}) > 1:
        raise SystemExit("a study of one condition and teacher is measured; this has more")
    seeds = sorted({row["seed"] for row in rows})
    return [
        each for seed in seeds for each in _of_seed(folder, [r for r in rows if r["seed"] == seed], seconds)
    ]


def _of_seed(folder: StudyFolder, rows: list[Row], seconds: float) -> list[Row]:
    [teacher_run] = {row["teacher_run"] for row in rows if row["teacher_run"]}
    test, cpu = folder.dataset.eval["test"], torch.device("cpu")
    places = {
        TEACHER: ("teacher", teacher_run),
        **{row["run_id"]: ("student", row["run_id"]) for row in rows},
    }
    networks = {
        name: open_network(folder.store.folder(kind, run), test, cpu) for name, (kind, run) in places.items()
    }
    whole, alone = _frames_per_second(folder, networks, seconds)
    params = {name: count_parameters(network) for name, network in networks.items()}
    return [
        {
            **{key: row[key] for key in ("student", "method", "teacher", "seed")},
            "frames_per_second_ratio": whole[row["run_id"]] / whole[TEACHER],
            "network_ratio": alone[row["run_id"]] / alone[TEACHER],
            "parameter_ratio": params[row["run_id"]] / params[TEACHER],
            "frames_per_second": whole[row["run_id"]],
            "teacher_frames_per_second": whole[TEACHER],
            "params": params[row["run_id"]],
            "teacher_params": params[TEACHER],
        }
        for row in rows
    ]


def _frames_per_second(
    folder: StudyFolder, networks: dict[str, nn.Module], seconds: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the frames per second of each network with its tracker, and alone, on one thread."""
    test, task = folder.dataset.eval["test"], folder.spec.task_config()
    assert isinstance(test.targets, Tracks) and isinstance(task, Tracking)
    frames = test.items(next(test.targets.sequences())[:MOST_TIMED_FRAMES])
    size = frames.shape[2], frames.shape[3]
    normalize = normalization_of(folder.dataset)

    def outputs_of(network: nn.Module) -> Callable[[Items], Items]:
        def outputs(items: Items) -> Items:
            with torch.inference_mode():
                return np.asarray(network(normalize(torch.from_numpy(items))).numpy())

        return outputs

    runs = {name: outputs_of(network) for name, network in networks.items()}
    whole = {f"whole {name}": following_pass(run, frames, size, task.tracker) for name, run in runs.items()}
    alone = {f"alone {name}": _turn(run, frames) for name, run in runs.items()}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = time_in_turn(whole | alone, 1, seconds=seconds, clock=time.process_time)
    finally:
        torch.set_num_threads(before)
    each = [{name: found[f"{kind} {name}"].throughput for name in runs} for kind in ("whole", "alone")]
    return each[0], each[1]


def _turn(run: Callable[[Items], Items], frames: Items) -> Callable[[], object]:
    """Return a function that runs a network on one more frame at every call."""
    places = itertools.cycle(range(len(frames)))

    def once() -> object:
        place = next(places)
        return run(frames[place : place + 1])

    return once


def line_of(rows: list[Row]) -> str:
    """Return the means of a student and method over seeds as they are printed."""

    def shown(key: str) -> str:
        values = [row[key] for row in rows]
        span = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
        return f"{np.mean(values):.2f}{span}"

    first, seeds = rows[0], len(rows)
    fps, teacher_fps = (
        np.mean([row[key] for row in rows]) for key in ("frames_per_second", "teacher_frames_per_second")
    )
    return (
        f"{first['student']}, {first['method']} from {first['teacher']}: {fps:.1f} frames per second, "
        f"teacher {teacher_fps:.1f}, ratio {shown('frames_per_second_ratio')}; networks alone "
        f"{shown('network_ratio')}; {first['params']:,} parameters, teacher {first['teacher_params']:,}, "
        f"ratio {first['parameter_ratio']:.3f} ({seeds} seed{'s' if seeds > 1 else ''})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", type=Path, required=True, help="the folder of a finished study")
    parser.add_argument("--seconds", type=float, default=20.0, help="time of all passes per seed")
    parser.add_argument("--write", type=Path, help="a CSV file")
    options = parser.parse_args()
    rows = measured(StudyFolder.open(options.study), options.seconds)
    facts = environment_facts(1)
    print(f"{facts['cpu']}, 1 of {facts['cores']} cores, torch {facts['packages']['torch']}")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["student"], row["method"]), []).append(row)
    for mine in groups.values():
        print(line_of(mine))
    if options.write:
        with options.write.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
