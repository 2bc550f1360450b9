"""How good each network of an ensemble of teachers is, alone and together.

    python benchmarks/teacher_scores.py --study DIR
        [--write docs/results/systems/chinese-text-teacher-scores.csv]

DIR is a finished study whose teacher is an ensemble with weights chosen on val (``combine: greedy``). For
every network and seed, and for the ensemble, it prints the primary metric on val and on test, and the weight
in the ensemble. Weights are chosen on the same val, so that the ensemble's score there is optimistic; on test
nothing is chosen.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from distillab.artefacts import LOGITS, load_logits
from distillab.evidence.pairs import Row
from distillab.evidence.schema import read_rows
from distillab.modalities import normalization_of
from distillab.models import Ensemble, count_parameters
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.job_parts import EnsembleOrigin
from distillab.training.evaluation import predict
from distillab.training.stages.outputs import open_network

COLUMNS = ("seed", "network", "in_ensemble", "weight", "metric", "val_score", "score", "params")
_CPU = torch.device("cpu")


def scores(folder: StudyFolder) -> Iterator[Row]:
    """Yield one row per seed and network of the ensemble, and one for the ensemble, whose weight is 1.

    Args:
        folder: The study.
    """
    rows = [row for row in read_rows(folder.results_file) if row["status"] == "done" and row["teacher_run"]]
    for seed, run in sorted({(row["seed"], row["teacher_run"]) for row in rows}):
        job = folder.job(run)
        if not isinstance(job, TeacherJob) or not isinstance(job.origin, EnsembleOrigin):
            raise SystemExit(f"the teacher of seed {seed} is no ensemble of networks that are trained here")
        ensemble = open_network(folder.store.folder("teacher", run), folder.dataset.eval["test"], _CPU)
        assert isinstance(ensemble, Ensemble)
        yield _row(folder, seed, run, ensemble) | {"in_ensemble": False, "weight": 1.0}
        members = zip(job.origin.members, ensemble.members, ensemble.weights.tolist(), strict=True)
        for member, network, weight in members:
            yield _row(folder, seed, member, network) | {"in_ensemble": True, "weight": weight}


def _row(folder: StudyFolder, seed: int, run: str, network: nn.Module) -> Row:
    """Return what a network scores on the val set of a seed and on the test set."""
    task, val = folder.spec.task_config(), folder.conditions.read(seed).val
    place = folder.store.folder("teacher", run)
    on_val = predict(network, val, normalization_of(folder.dataset), _CPU, "fp32", task)
    on_test = load_logits(place / LOGITS)["test.last"]
    return {
        "seed": seed,
        "network": folder.store.run_record("teacher", run).model,
        "metric": task.primary,
        "val_score": task.score(on_val, val.targets),
        "score": task.score(on_test, folder.dataset.eval["test"].targets),
        "params": count_parameters(network),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", type=Path, required=True, help="the folder of a finished study")
    parser.add_argument("--write", type=Path, help="a CSV file")
    options = parser.parse_args()
    rows = list(scores(StudyFolder.open(options.study)))
    for row in rows:
        print(
            f"seed {row['seed']}, {row['network']}: {100 * row['val_score']:.1f} % on val, "
            f"{100 * row['score']:.1f} % on test, weight {row['weight']:.2f}"
        )
    if options.write:
        with options.write.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
