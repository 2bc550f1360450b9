"""Does the label alarm find planted noise, and is it silent without? Real datasets, noise of known share.

    DISTILLAB_DATA=DIR python benchmarks/label_alarm.py [--out FILE] [--embedding KIND] [NAME ...]

On each set, the factor ``label_noise`` changes labels: symmetric noise of 0, 2, 5, 10 and 20 %, and noise
to the next class of 10 %, each under three seeds. One row per run: what was planted, the estimate with its
interval, that of noise towards one class (``directed``), whether the probe judges, and whether there is an
alarm; and the share of labels that confident learning contradicts, on which the alarm rested before (from 3
%, if the probe was right on 60 %). Prints a summary. A script that was stopped continues; the same
arguments give the same file. About four minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from distillab.data.examples import Examples
from distillab.factors import LabelNoise
from distillab.modalities.embedding import fit_embedding
from distillab.modalities.embedding.principal import Vectors
from distillab.profile.families.label_issues import (
    alarm_text,
    directed_alarm_text,
    label_probe,
    suspicious_labels,
)
from distillab.profile.label_noise import estimate_directed_noise, estimate_label_noise
from distillab.profile.neighbors import unit_vectors
from real_sets import IMAGES, SETS, ResultTable, Value, read_images

PLANTED = (*(("symmetric", share) for share in (0.0, 0.02, 0.05, 0.1, 0.2)), ("pair", 0.1))
SEEDS = (0, 1, 2)
KEYS = ("dataset", "embedding", "images", "kind", "planted", "seed")
COLUMNS = (
    *KEYS,
    "probe_accuracy",
    "judges",
    "estimate",
    "low",
    "high",
    "covered",
    "directed",
    "directed_judges",
    "alarm",
    "contradicted",
)
SUMMARY = "{:10s}{:>9}{:>6}{:>8}{:>8}{:>9}{:>8}"
BEFORE_SHARE, BEFORE_ACCURACY = 0.03, 0.6  # of the alarm that this one replaces


def measured(images: Examples, vectors: Vectors, kind: str, planted: float, seed: int) -> dict[str, Value]:
    """Plant noise and return what is estimated."""
    noise = LabelNoise.model_validate({"level": planted, "kind": kind})
    noisy = noise.apply(images, np.random.default_rng(seed))
    probed = label_probe(vectors, noisy.labels, noisy.ids, len(images.classes))
    found, directed = estimate_label_noise(probed), estimate_directed_noise(probed)
    share = float((noisy.labels != images.labels).mean())
    return {
        "kind": kind,
        "planted": planted,
        "seed": seed,
        "probe_accuracy": round(probed.accuracy, 4),
        "judges": found.judges,
        "estimate": round(found.rate, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "covered": found.low <= share <= found.high,
        "directed": round(directed.rate, 4),
        "directed_judges": directed.judges,
        "alarm": bool(alarm_text(found) or directed_alarm_text(directed)),
        "contradicted": round(len(suspicious_labels(probed)) / len(images), 4),
    }


def summarize(rows: list[dict[str, str]]) -> None:
    """Print, for each level, how many runs are judged, how many raise an alarm, and how many did before."""
    print(SUMMARY.format("kind", "planted", "runs", "judged", "alarms", "covered", "before"))
    for kind, planted in PLANTED:
        mine = [row for row in rows if (row["kind"], float(row["planted"])) == (kind, planted)]
        judged = [row for row in mine if row["judges"] == "True"]
        alarms = sum(row["alarm"] == "True" for row in mine)
        covered = sum(row["covered"] == "True" for row in judged)
        before = sum(
            float(row["contradicted"]) >= BEFORE_SHARE and float(row["probe_accuracy"]) >= BEFORE_ACCURACY
            for row in mine
        )
        print(SUMMARY.format(kind, planted, len(mine), len(judged), alarms, covered, before))


def main() -> None:
    """Measure what the file lacks, and print the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"sets, by default all: {', '.join(SETS)}")
    parser.add_argument("--out", type=Path, default=Path("docs/results/label-alarm.csv"))
    parser.add_argument("--embedding", default="patches")
    parser.add_argument("--images", type=int, default=IMAGES)
    chosen = parser.parse_args()
    table = ResultTable(chosen.out, COLUMNS, ("dataset", "embedding", "kind", "planted", "seed"))
    for name in chosen.names or SETS:
        names = {"dataset": name, "embedding": chosen.embedding}
        missing = [
            (kind, planted, seed)
            for kind, planted in PLANTED
            for seed in SEEDS
            if not table.has(**names, kind=kind, planted=planted, seed=seed)
        ]
        if not missing:
            continue
        images = read_images(name, chosen.images)
        images = replace(images, groups=None, group_names=())
        vectors = unit_vectors(fit_embedding(images, kind=chosen.embedding).vectors(images))
        table.add({**names, "images": len(images), **measured(images, vectors, *each)} for each in missing)
        print(f"{name}: {len(images):,} images", flush=True)
    summarize(table.rows)


if __name__ == "__main__":
    main()
