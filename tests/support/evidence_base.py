"""A small synthetic evidence base: planted gains that depend on size and teacher, with failures and gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from distillab.base.evidence_base import CONTEXTS, RUNS, EvidenceBase, read
from distillab.base.schema import RUN_PHASES, contexts_schema, runs_schema, table_of, write_part
from distillab.evidence.pairs import Row

BASE_SETS = ("digits", "mnist5k", "usps", "eurosat", "corn_leaf", "lung", "cifar100", "fashion")
METHODS = ("ce", "label_smoothing", "kd", "dkd", "attention", "random_teacher")
PROFILE = ("images", "classes", "imbalance_ratio", "separability")
LOOKS = (0.25, 0.5, 0.75, 1.0)
SHARE_OF_KD = {
    "ce": 0.0,
    "label_smoothing": 0.2,
    "kd": 1.0,
    "dkd": 0.9,
    "attention": 0.6,
    "random_teacher": -0.1,
}
FAILING, DIVERGING, STARVED = 3, 5, (7, 23)  # contexts with a failed run, a diverged one, and starved ones


def planted_gain(size: int, teacher_lead: float, of_base_set: float) -> float:
    """Return the true gain of kd: larger for few examples and teachers far ahead, plus that of the set."""
    return 0.03 * (np.log2(160 / size) / 4) + 0.1 * (teacher_lead - 0.1) + of_base_set


def write_evidence_base(
    folder: Path, *, contexts: int = 40, seeds: int = 5, random_seed: int = 0, between_sets: float = 0.01
) -> EvidenceBase:
    """Write a base of contexts of eight base sets into a folder, and return it.

    Context k is of base set k mod 8. The gain of ``kd`` is :func:`planted_gain` plus noise between contexts
    (sd 0.004) and pairs (sd 0.01); those of the other methods are shares of it. Contexts ``STARVED`` are
    excluded, one run of ``FAILING`` failed and one of ``DIVERGING`` diverged.

    Args:
        folder: Is made if it does not exist.
        contexts: Number of contexts.
        seeds: Pairs per context.
        random_seed: Seed of all draws.
        between_sets: Standard deviation of the gain between base sets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(random_seed)
    of_sets = rng.normal(0, between_sets, len(BASE_SETS))
    rows, runs = [], []
    for index in range(contexts):
        size = int(rng.choice([10, 20, 40, 80, 160]))
        lead = float(rng.uniform(0.0, 0.25))
        gain = planted_gain(size, lead, of_sets[index % len(BASE_SETS)]) + rng.normal(0, 0.004)
        plain = float(rng.uniform(0.45, 0.7))
        rows.append(_context(index, size, plain + lead, plain, rng))
        runs += _runs(index, plain, plain + lead, gain, seeds, rng)
    write_part(table_of(rows, contexts_schema(PROFILE)), folder / CONTEXTS)
    write_part(table_of(runs, runs_schema()), folder / RUNS)
    return read(folder)


def _context(index: int, size: int, teacher: float, plain: float, rng: np.random.Generator) -> Row:
    base_set = BASE_SETS[index % len(BASE_SETS)]
    classes = int(rng.integers(3, 11))
    steps = int(rng.choice([200, 400, 800]))
    starved = index in STARVED
    study = {"study": f"r-{index:04d}", "data": {"source": "digits"}, "methods": list(METHODS), "seeds": 5}
    return {
        "context": f"r-{index:04d}",
        "tier": "T" if index % 10 == 9 else "R",
        "base_set": base_set,
        "dataset": base_set,
        "design_index": index,
        "n_classes": classes,
        "classes": [f"class {place}" for place in range(classes)],
        "size": None if index % 11 == 10 else size,
        "n_train": classes * size,
        "n_test": 500,
        "resolution": 16,
        "channels": 1 if base_set in ("digits", "mnist5k", "usps", "fashion") else 3,
        "imbalance": 10.0 if index % 6 == 0 else None,
        "label_noise": 0.2 if index % 5 == 0 else None,
        "provenance": "full" if index % 2 else "same",
        "teacher": "resnet20" if index % 3 else "resnet14",
        "teacher_steps": 2 * steps,
        "teacher_params": 270_000,
        "student": "convnet3",
        "student_params": 24_000,
        "initialisation": "scratch",
        "steps": steps,
        "batch_size": 64,
        "epochs": max(1, steps * 64 // (classes * size)),
        "converged": not starved,
        "doubling_plain": 0.04 if starved else 0.002,
        "doubling_distilled": 0.02 if starved else 0.001,
        "excluded_because": "the plain student gains 4.0 points from twice the steps" if starved else None,
        "profile.images": float(classes * size),
        "profile.classes": float(classes),
        "profile.imbalance_ratio": 10.0 if index % 6 == 0 else 1.0,
        "profile.separability": plain + float(rng.normal(0, 0.05)),
        "predictor.teacher_accuracy": teacher,
        "predictor.teacher_minus_probe": teacher - plain + float(rng.normal(0, 0.01)),
        "predictor.top_ratio": float(rng.uniform(2, 9)),
        "predictor.view_spread": float(rng.uniform(0.02, 0.1)),
        "predictor.ece": float(rng.uniform(0.01, 0.1)),
        "predictor.entropy": float(rng.uniform(0.2, 1.2)),
        "study_yaml": yaml.safe_dump(study, sort_keys=False),
        "seconds": 300.0,
    }


def _runs(
    index: int, plain: float, teacher: float, gain: float, seeds: int, rng: np.random.Generator
) -> list[Row]:
    rows = []
    for seed in range(seeds):
        of_seed = plain + rng.normal(0, 0.015)
        for method in METHODS:
            accuracy = of_seed + SHARE_OF_KD[method] * gain + (rng.normal(0, 0.01) if method != "ce" else 0.0)
            status = "done"
            if (index, seed, method) == (FAILING, 0, "dkd"):
                status = "failed"
            if (index, seed, method) == (DIVERGING, 1, "kd"):
                status = "diverged"
            rows.append(_run(index, seed, method, status, float(np.clip(accuracy, 0.01, 0.99)), teacher, rng))
    for method in ("ce", "kd"):
        rows.append(_run(index, 0, method, "done", plain + 0.002, teacher, rng) | {"kind": "probe"})
    return rows


def _run(
    index: int,
    seed: int,
    method: str,
    status: str,
    accuracy: float,
    teacher: float,
    rng: np.random.Generator,
) -> Row:
    needs_teacher = method not in ("ce", "label_smoothing")
    row: Row = {
        "context": f"r-{index:04d}",
        "run_id": f"{index:04x}{seed:02x}{METHODS.index(method):02x}",
        "kind": "run",
        "method": method,
        "setting": "default",
        "seed": seed,
        "teacher_run": f"teacher-{index}-{seed % 2}" if needs_teacher else None,
        "status": status,
        "error": None if status == "done" else "the loss is not finite",
        "steps": 400,
        "lr": 0.05,
    }
    if status != "done":
        return row
    val = accuracy + float(rng.normal(0, 0.01))
    return row | {
        "accuracy": accuracy,
        "accuracy_selected": accuracy + float(rng.normal(0, 0.003)),
        "balanced_accuracy": accuracy,
        "macro_f1": accuracy - 0.01,
        "worst_class_accuracy": max(0.0, accuracy - 0.2 + float(rng.normal(0, 0.04))),
        "worst_group_accuracy": None,
        "tail_accuracy": accuracy - 0.1 if index % 6 == 0 else None,
        "nll": 2.0 - 1.5 * accuracy,
        "brier": 1.0 - accuracy,
        "ece": float(rng.uniform(0.02, 0.15)),
        "agreement": min(0.99, accuracy + 0.05),
        "teacher_kl": 0.4,
        "teacher_accuracy": teacher,
        "val_score": val,
        "train_seconds": 8.0,
        **{f"seconds.{phase}": 0.7 for phase in RUN_PHASES},
        "look_steps": [int(400 * share) for share in LOOKS],
        "look_seconds": [8.0 * share for share in LOOKS],
        "val_curve": [val * (0.6 + 0.4 * share) for share in LOOKS],
        "test_curve": [accuracy * (0.6 + 0.4 * share) for share in LOOKS],
    }


def without_columns(table: pa.Table, *names: str) -> pa.Table:
    """Return a table without some columns, with its metadata."""
    return table.drop_columns(list(names))
