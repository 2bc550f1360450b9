"""What students keep of their teachers' accuracy, and how much faster and smaller they are.

    python benchmarks/student_speed.py --study DIR [--seconds 20]
        [--write docs/results/systems/chinese-text-speed.csv]

DIR is a finished study of classification, whose networks are loaded from its store; teachers may be several
(``factor.teacher_capacity``), other conditions may not. For each teacher, student and method it prints, as
means over seeds with 95 % intervals (t, over seeds):

- retention: accuracy of the student on test / accuracy of the teacher of its seed;
- speed-up: time of the teacher / time of the student, one example at a time on one thread, medians of passes
  that run in turn, from stored items to logits. Students of one architecture are timed once per seed, by
  the network of one of them, since their weights do not change the time. Time is that of the processor,
  which other programs on the machine change little;
- compression: parameters of the teacher / parameters of the student. Of an ensemble chosen on val, the
  networks with a weight count, as they alone are computed.

It takes about ``--seconds`` per seed and teacher.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student_t
from torch import Tensor, nn

from distillab.deploy.environment import environment_facts
from distillab.deploy.latency import time_in_turn
from distillab.evidence.pairs import Row
from distillab.evidence.schema import read_rows
from distillab.evidence.tuning import headline_rows
from distillab.modalities import normalization_of
from distillab.models import Ensemble, OrbitMean, count_parameters
from distillab.study.folder import StudyFolder
from distillab.training.stages.outputs import open_network

MEASURES = ("retention", "speed_up", "compression")
COLUMNS = (
    *("teacher", "student", "method", "n_seeds", "accuracy", "teacher_accuracy"),
    *(f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high")),
    *("params", "teacher_params", "ms", "teacher_ms"),
)
_EXAMPLES = 64  # that are read in turn
TEACHERS = "factor.teacher_capacity"
TEACHER = ""  # the key of the teacher among architectures
_CPU = torch.device("cpu")


def measured(folder: StudyFolder, seconds: float) -> list[Row]:
    """Return one row per teacher, student and method of a finished study.

    Args:
        folder: The study.
        seconds: Time of all counted passes per seed and teacher, about.
    """
    rows = [row for row in headline_rows(read_rows(folder.results_file)) if row["status"] == "done"]
    others = {
        tuple(
            row[key] for key in row if key == "provenance" or (key.startswith("factor.") and key != TEACHERS)
        )
        for row in rows
    }
    if len(others) > 1:
        raise SystemExit("a study of one condition is measured, with one teacher or several; this has more")
    rows = [row | {"teacher": row.get(TEACHERS) or row["teacher"]} for row in rows]
    places = sorted({(row["seed"], row["teacher"]) for row in rows})
    each = [row for seed, teacher in places for row in _of_seed(folder, rows, seed, teacher, seconds)]
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in each:
        groups.setdefault((row["teacher"], row["student"], row["method"]), []).append(row)
    return [_summary(mine) for mine in groups.values()]


def _of_seed(
    folder: StudyFolder, rows: Sequence[Row], seed: int, teacher: str, seconds: float
) -> Iterator[Row]:
    """Yield the rows of a seed and teacher with retention, speed-up and compression."""
    mine = [row for row in rows if (row["seed"], row["teacher"]) == (seed, teacher)]
    [teacher_run] = {row["teacher_run"] for row in mine if row["teacher_run"]}
    architecture = {row["student"]: _architecture(folder, row["run_id"]) for row in mine}
    runs = {architecture[row["student"]]: ("student", row["run_id"]) for row in reversed(mine)}
    test = folder.dataset.eval["test"]
    networks = {
        key: open_network(folder.store.folder(kind, run), test, _CPU)
        for key, (kind, run) in {**runs, TEACHER: ("teacher", teacher_run)}.items()
    }
    times = _milliseconds(networks, _inputs(folder), seconds)
    params = {key: _parameters(network) for key, network in networks.items()}
    [teacher_accuracy] = {row["teacher_accuracy"] for row in mine if row["teacher_run"]}
    for row in mine:
        student = architecture[row["student"]]
        yield {
            **{key: row[key] for key in ("teacher", "student", "method", "accuracy")},
            "teacher_accuracy": teacher_accuracy,
            "retention": row["accuracy"] / teacher_accuracy,
            "speed_up": times[TEACHER] / times[student],
            "compression": params[TEACHER] / params[student],
            "params": params[student],
            "teacher_params": params[TEACHER],
            "ms": times[student],
            "teacher_ms": times[TEACHER],
        }


def _architecture(folder: StudyFolder, run: str) -> str:
    """Return what decides the time of a student: its network by name, and what is done to its inputs."""
    record = folder.store.run_record("student", run)
    return f"{record.model} {record.inputs} {record.interpolation}"


def _inputs(folder: StudyFolder) -> list[Tensor]:
    test, normalize = folder.dataset.eval["test"], normalization_of(folder.dataset)
    rows = np.linspace(0, len(test) - 1, min(_EXAMPLES, len(test))).astype(np.int64)
    return [normalize(torch.from_numpy(test.items(rows[[place]]))) for place in range(len(rows))]


def _milliseconds(
    networks: dict[str, nn.Module], inputs: Sequence[Tensor], seconds: float
) -> dict[str, float]:
    """Return the median time of each network for one example, on one thread.

    The clock counts this process alone: by the wall clock, other programs of a busy machine interrupt long
    passes more often than short ones, and networks look more different than they are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        passes = {name: _pass_of(network, inputs) for name, network in networks.items()}
        found = time_in_turn(passes, 1, seconds=seconds, clock=time.process_time)
    finally:
        torch.set_num_threads(before)
    return {name: each.p50 for name, each in found.items()}


def _pass_of(network: nn.Module, inputs: Sequence[Tensor]) -> Callable[[], object]:
    """Return a function that reads one example after the other."""
    turn = itertools.cycle(inputs)

    def run() -> object:
        with torch.inference_mode():
            return network(next(turn))

    return run


def _parameters(network: nn.Module) -> int:
    """Return the number of parameters; of an ensemble, those of the networks that have a weight."""
    if isinstance(network, OrbitMean):
        return _parameters(network.network)
    if not isinstance(network, Ensemble):
        return count_parameters(network)
    used = [
        member for member, weight in zip(network.members, network.weights.tolist(), strict=True) if weight > 0
    ]
    return sum(map(count_parameters, used))


def _summary(rows: Sequence[Row]) -> Row:
    """Return the means over seeds of one student and method, with intervals."""
    found: Row = {key: rows[0][key] for key in ("teacher", "student", "method")}
    found["n_seeds"] = len(rows)
    for key in ("accuracy", "teacher_accuracy", "params", "teacher_params", "ms", "teacher_ms"):
        found[key] = float(np.mean([row[key] for row in rows]))
    for key in MEASURES:
        found[key], found[f"{key}_low"], found[f"{key}_high"] = mean_over_seeds([row[key] for row in rows])
    return found


def mean_over_seeds(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Return the mean and its 95 % interval (t); no interval for one seed.

    Example:
        >>> [round(each, 2) for each in mean_over_seeds([1.0, 2.0, 3.0])]
        [2.0, -0.48, 4.48]
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = student_t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def line_of(row: Row) -> str:
    """Return a row as it is printed."""

    def shown(key: str, scale: float = 1.0, unit: str = "") -> str:
        low, high = row[f"{key}_low"], row[f"{key}_high"]
        interval = "" if low is None else f" ({scale * low:.1f} to {scale * high:.1f})"
        return f"{scale * row[key]:.1f}{unit}{interval}"

    return (
        f"{row['student']}, {row['method']} from {row['teacher']}: "
        f"retention {shown('retention', 100, ' %')}, "
        f"speed-up {shown('speed_up', 1, 'x')}, compression {shown('compression', 1, 'x')}; "
        f"{row['ms']:.2f} ms and {row['params']:,.0f} parameters, teacher {row['teacher_ms']:.2f} ms and "
        f"{row['teacher_params']:,.0f} ({row['n_seeds']} seeds)"
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
    for row in rows:
        print(line_of(row))
    if options.write:
        with options.write.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
