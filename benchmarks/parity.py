"""Do numerics change the conclusions of a study? One study, run with several, compared with its seed noise.

    python benchmarks/parity.py STUDY.yaml --out DIR [--under "fp32" --under "bf16" --under "fp32 reseeded"]

such as parity_cifar100.yaml beside this file. Numerics are given as options: fp32 or bf16, channels_last or
contiguous, compiled or eager; the defaults are fp32, channels_last, eager. The first are the reference.
``reseeded`` is the study with other seeds, teacher included, which shows how much differs where numerics do
not. Prints for each the difference of accuracy per run, beside its standard deviation between seeds with the
first, and the verdicts that differ. Without a study: a small one on 8x8 digits, in some minutes where bf16 is
emulated.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from distillab.api import Study
from distillab.study.spec.study import StudySpec, parse_study, read_study

DIGITS: dict[str, Any] = {
    "study": "parity",
    "data": {"source": "digits"},
    "teacher": {"model": "resnet14", "provenance": "same"},
    "students": ["resnet8"],
    "methods": ["ce", "kd"],
    "factors": {"size": [10, 40]},
    "seeds": 4,
    "recipe": {"steps": 120, "batch_size": 32},
}
OPTIONS = {
    "fp32": ("precision", "fp32"),
    "bf16": ("precision", "bf16"),
    "channels_last": ("memory_format", "channels_last"),
    "contiguous": ("memory_format", "contiguous"),
    "compiled": ("compile", True),
    "eager": ("compile", False),
}
RESEEDED = "reseeded"
DEFAULTS = {"precision": "fp32", "memory_format": "channels_last", "compile": False}

Cell = tuple[Any, ...]


def keys_of(row: Mapping[str, Any], *names: str) -> Cell:
    """Return what identifies a row: its factors and the named columns."""
    factors = tuple(value for name, value in sorted(row.items()) if name.startswith("factor."))
    return (*factors, *(row[name] for name in ("provenance", "student", "method", *names)))


def run(study: StudySpec, out: Path, numerics: str) -> tuple[dict[Cell, Any], ...]:
    """Return accuracies by run, and verdicts by contrast, of the study with some numerics."""
    chosen = DEFAULTS | dict(OPTIONS[name] for name in numerics.split() if name != RESEEDED)
    changed = Study.__new__(Study)
    changed.spec = study.model_copy(update={"recipe": study.recipe.model_copy(update=chosen)})
    if RESEEDED in numerics.split():
        others = tuple(seed + 1 + max(study.seed_list) for seed in study.seed_list)
        changed.spec = changed.spec.model_copy(update={"seed": study.seed + 1, "seeds": others})
    finished = changed.run(out / numerics.replace(" ", "-"))
    if finished.outcome.failed:
        raise SystemExit(f"{finished.outcome.failed} runs failed with {numerics}: see {finished.report}")
    rows = pq.read_table(finished.folder.results_file).to_pylist()
    effects = pq.read_table(finished.folder.effects_file).to_pylist()
    place = changed.spec.seed_list.index
    return (
        {(*keys_of(row), place(row["seed"])): row["accuracy"] for row in rows if row["accuracy"] is not None},
        {keys_of(row, "baseline", "metric"): row["verdict"] for row in effects},
    )


def seed_noise(accuracies: Mapping[Cell, float]) -> float:
    """Return the standard deviation of accuracy between the seeds of a cell, pooled over cells."""
    cells: dict[Cell, list[float]] = {}
    for key, accuracy in accuracies.items():
        cells.setdefault(key[:-1], []).append(accuracy)
    return math.sqrt(statistics.fmean(statistics.variance(each) for each in cells.values()))


def main() -> None:
    """Read the command line, run the studies and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--under", action="append")
    options = parser.parse_args()
    if options.out is None:
        print("nothing to compare: give --out, the folder where the studies are run")
        return
    under = options.under or ["fp32", "bf16", "compiled"]
    study = read_study(options.study) if options.study else parse_study(DIGITS, Path.cwd(), "study")
    results = {numerics: run(study, options.out, numerics) for numerics in under}
    accuracies, verdicts = results[under[0]]
    noise = seed_noise(accuracies)
    print(f"{under[0]}: {len(accuracies)} runs, {len(verdicts)} verdicts")
    print(f"  accuracy differs by {100 * noise:.2f} points (sd) between seeds")
    for numerics in under[1:]:
        others, other_verdicts = results[numerics]
        gaps = [others[key] - accuracies[key] for key in accuracies]
        print(
            f"{numerics}: accuracy differs by {100 * statistics.fmean(gaps):+.2f} points on average, by "
            f"{100 * statistics.stdev(gaps):.2f} (sd) and at most {100 * max(map(abs, gaps)):.2f} per run"
        )
        changed = {key: verdict for key, verdict in other_verdicts.items() if verdict != verdicts[key]}
        print(f"  {len(verdicts) - len(changed)} of {len(verdicts)} verdicts are equal")
        for key, verdict in changed.items():
            print(f"  {' '.join(map(str, key))}: {verdicts[key]} became {verdict}")


if __name__ == "__main__":
    main()
