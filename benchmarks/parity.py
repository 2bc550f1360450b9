"""Does the arithmetic change what a study finds? One study, run under several, side by side with its noise.

    python benchmarks/parity.py STUDY.yaml --out DIR [--under "fp32" --under "bf16" --under "fp32 reseeded"]

such as parity_cifar100.yaml beside this file. An arithmetic is written as words: fp32 or bf16, channels_last
or contiguous, compiled or eager; what is left out is fp32, channels_last, eager. The first is what the others
are compared with. ``reseeded`` is the study with other seeds, teacher included, which says how much differs
where the arithmetic does not. Printed for each: how accuracy differs, run by run, beside its standard
deviation between seeds under the first, and the verdicts that differ. Without a study: a small one on 8x8
digits, in some minutes where bf16 is emulated.
"""

from __future__ import annotations

import argparse
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
WORDS = {
    "fp32": ("precision", "fp32"),
    "bf16": ("precision", "bf16"),
    "channels_last": ("memory_format", "channels_last"),
    "contiguous": ("memory_format", "contiguous"),
    "compiled": ("compile", True),
    "eager": ("compile", False),
}
RESEEDED = "reseeded"
USUAL = {"precision": "fp32", "memory_format": "channels_last", "compile": False}

Cell = tuple[Any, ...]


def keys_of(row: Mapping[str, Any], *names: str) -> Cell:
    """What a row is about: its factors and the named columns."""
    factors = tuple(value for name, value in sorted(row.items()) if name.startswith("factor."))
    return (*factors, *(row[name] for name in ("provenance", "student", "method", *names)))


def run(study: StudySpec, out: Path, words: str) -> tuple[dict[Cell, Any], ...]:
    """Accuracies by run and verdicts by contrast of the study under an arithmetic."""
    asked_for = USUAL | dict(WORDS[word] for word in words.split() if word != RESEEDED)
    asked = Study.__new__(Study)
    asked.spec = study.model_copy(update={"recipe": study.recipe.model_copy(update=asked_for)})
    if RESEEDED in words.split():
        others = tuple(seed + 1 + max(study.seed_list) for seed in study.seed_list)
        asked.spec = asked.spec.model_copy(update={"seed": study.seed + 1, "seeds": others})
    finished = asked.run(out / words.replace(" ", "-"))
    if finished.outcome.failed:
        raise SystemExit(f"{finished.outcome.failed} runs failed under {words}: see {finished.report}")
    rows = pq.read_table(finished.folder.results_file).to_pylist()
    effects = pq.read_table(finished.folder.effects_file).to_pylist()
    place = asked.spec.seed_list.index
    return (
        {(*keys_of(row), place(row["seed"])): row["accuracy"] for row in rows if row["accuracy"] is not None},
        {keys_of(row, "baseline", "metric"): row["verdict"] for row in effects},
    )


def seed_noise(accuracies: Mapping[Cell, float]) -> float:
    """Standard deviation of accuracy between the seeds of a cell, pooled over cells."""
    cells: dict[Cell, list[float]] = {}
    for key, accuracy in accuracies.items():
        cells.setdefault(key[:-1], []).append(accuracy)
    return statistics.fmean(statistics.variance(each) for each in cells.values()) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--under", action="append")
    asked = parser.parse_args()
    if asked.out is None:
        print("nothing to compare: give --out, the folder where the studies are run")
        return
    under = asked.under or ["fp32", "bf16", "compiled"]
    study = read_study(asked.study) if asked.study else parse_study(DIGITS, Path.cwd(), "study")
    results = {words: run(study, asked.out, words) for words in under}
    accuracies, verdicts = results[under[0]]
    noise = seed_noise(accuracies)
    print(f"{under[0]}: {len(accuracies)} runs, {len(verdicts)} verdicts")
    print(f"  accuracy differs by {100 * noise:.2f} points (sd) between seeds")
    for words in under[1:]:
        theirs, their_verdicts = results[words]
        gaps = [theirs[key] - accuracies[key] for key in accuracies]
        print(
            f"{words}: accuracy differs by {100 * statistics.fmean(gaps):+.2f} points on average, by "
            f"{100 * statistics.stdev(gaps):.2f} (sd) and at most {100 * max(map(abs, gaps)):.2f} run by run"
        )
        changed = {key: verdict for key, verdict in their_verdicts.items() if verdict != verdicts[key]}
        print(f"  {len(verdicts) - len(changed)} of {len(verdicts)} verdicts are the same")
        for key, verdict in changed.items():
            print(f"  {' '.join(map(str, key))}: {verdicts[key]} became {verdict}")


if __name__ == "__main__":
    main()
