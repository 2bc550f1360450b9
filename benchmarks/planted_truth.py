"""Do studies find planted effects, and none where there are none? Small studies on generated images.

    python benchmarks/planted_truth.py [--out DIR] [--workers N] [NAME ...]

The content of every image of ``shapes`` is known, so the sign of an effect can be known before anything is
trained. ``STUDIES`` are small studies, and ``EFFECTS`` lists what must be found in them, one line per effect.
Gains are judged by the verdict in the study's table of effects, differences between levels by the same rules
from its table of results, pair by pair: a sign is found if the whole interval lies beyond the margin on one
side. Where nothing was planted, no sign may be found. Exits with 1 if an effect is missed or found where
there is none. Takes about a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from distillab.api import Study
from distillab.evidence.gains import paired_gain
from distillab.evidence.verdicts import judge

MARGIN = 0.005  # of accuracy: half a point, the default of a study
SIGNS = {"helps": 1, "harms": -1, "equivalent": 0, "undecided": 0}
Rows = list[dict[str, Any]]

IMAGES: dict[str, Any] = {
    "source": "shapes",
    "resolution": 16,
    "channels": 1,
    "images": 100,
    "test_images": 100,
    "values": {"shape": 8, "texture": ["solid"], "background": ["plain"], "ground": ["dark"]},
    "nuisances": {"rotation": 10, "tilt": 0.1, "scale": [0.8, 0.9], "noise": 0.05},
}
BUSY = {**IMAGES, "values": {"shape": 8, "texture": ["solid"]}}  # with any background
BOTH = {**IMAGES, "values": {"shape": 8, "texture": ["solid"], "background": ["plain"]}}
LIGHT = {**IMAGES, "values": {**IMAGES["values"], "ground": ["light"]}, "seed": 1}
COMMON: dict[str, Any] = {
    "data": IMAGES,
    "teacher": {"model": "resnet14", "provenance": "full", "recipe": {"full": {"steps": 500}}},
    "students": "resnet8",
    "methods": ["ce", "kd"],
    "seeds": 6,
    "recipe": {
        "steps": 100,
        "batch_size": 32,
        "lr": 0.05,
        "warmup": 0.1,
        "precision": "fp32",
        "memory_format": "channels_last",
        "compile": False,
        "views": "none",
    },
}

# The keys of each study that differ from the common ones.
STUDIES: dict[str, dict[str, Any]] = {
    "size": {"factors": {"size": [5, 80]}, "seeds": 10},
    "imbalance": {"methods": ["ce"], "factors": {"imbalance": [1, 40]}},
    "label_noise": {"factors": {"label_noise": [0.0, 0.6]}},
    "wrong teacher": {
        "factors": {"label_noise": {"levels": [0.0, 0.9], "kind": "pair", "roles": ["teacher"]}}
    },
    "noisy val": {
        "methods": ["ce"],
        "factors": {"label_noise": {"levels": [0.0, 0.6], "roles": ["val"]}},
    },
    "no cue": {"data": BUSY, "methods": ["ce"], "factors": {"size": [80]}},
    "cue": {
        "data": {**BUSY, "cues": {"background": 1.0, "ground": 1.0}},
        "methods": ["ce"],
        "factors": {"size": [80]},
    },
    "no teaching": {
        "methods": ["ce", {"random_teacher": {"ce_weight": 1.0, "kd_weight": 0.0}}],
        "factors": {"size": [20]},
    },
    "seeds": {"methods": ["ce"], "seeds": 12, "factors": {"size": [5, 20]}},
    "classes": {
        "methods": ["ce"],
        "factors": {"classes": {"levels": [3, 8], "hold": "total", "total": 240}},
    },
    "granularity": {
        "data": {**BUSY, "values": {"shape": 4, "texture": ["solid"]}, "coarse": "family"},
        "methods": ["ce"],
        "factors": {"size": [20], "granularity": ["coarse", "fine"]},
    },
    "similarity": {
        "methods": ["ce"],
        "factors": {"similarity": {"levels": [0.0, 1.0], "classes": 4, "images_per_class": 5}},
        "seeds": 10,
    },
    "resolution": {
        "methods": ["ce"],
        "factors": {"size": [40], "resolution": {"levels": [4, 12], "hold": "compute"}},
    },
    "spurious": {
        "methods": ["ce"],
        "factors": {"size": [10], "spurious": {"levels": [0.125, 0.95], "cue": "frame"}},
    },
    "groups": {
        "data": {**BOTH, "group": "ground"},
        "methods": ["ce"],
        "factors": {"groups": {"levels": [0.0, 0.5], "group": "light", "images_per_class": 30}},
    },
    "shift": {
        "others": {"light": LIGHT},
        "methods": ["ce"],
        "factors": {"size": [40], "shift": {"levels": [0.0, 1.0], "to": "light"}},
    },
    "unlabelled": {"factors": {"size": [5], "unlabelled": ["held_out", "none"]}},
    "redundancy": {
        "methods": ["ce"],
        "factors": {"size": [80], "redundancy": {"levels": [0.0, 0.95]}},
    },
    "leakage": {
        "data": BUSY,
        "methods": ["ce"],
        "factors": {"size": [50], "redundancy": {"levels": [0.0, 0.9], "kind": "leakage"}},
    },
    "selection": {
        "methods": ["ce"],
        "factors": {
            "label_noise": [0.3],
            "selection": {"levels": ["easiest", "hardest"], "budget": 20},
        },
    },
}


@dataclass(frozen=True)
class Found:
    """The size of an effect, its interval, and the verdict of the study."""

    size: float
    low: float
    high: float
    verdict: str


Tables = dict[str, tuple[Rows, Rows]]  # results and effects, by study
Question = Callable[[Tables, str], Found]


@dataclass(frozen=True)
class Effect:
    """An effect that must be found in a study, and the reason."""

    study: str
    title: str
    question: Question
    sign: int
    why: str


def _levels(rows: Rows) -> list[tuple[Any, ...]]:
    """Return the conditions of a study, from the first level to the last."""
    names = sorted(name for name in rows[0] if name.startswith("factor."))
    return sorted({tuple(row[name] for name in names) for row in rows})


def _accuracies(rows: Rows, method: str, level: int, column: str = "accuracy") -> list[float]:
    """Return the accuracies of a method at a level, in the order of seeds."""
    names = sorted(name for name in rows[0] if name.startswith("factor."))
    wanted = _levels(rows)[level]
    here = [r for r in rows if r["method"] == method and tuple(r[n] for n in names) == wanted]
    return [row[column] for row in sorted(here, key=lambda row: row["seed"])]


def _compared(after: Iterable[float], before: Iterable[float]) -> Found:
    gain = paired_gain(list(after), list(before))
    return Found(gain.gain, gain.ci_low, gain.ci_high, judge(gain, MARGIN, higher_is_better=True))


def level(column: str = "accuracy", method: str = "ce") -> Question:
    """Compare accuracy at the last level with that at the first; named levels are in alphabetical order."""

    def answer(tables: Tables, study: str) -> Found:
        rows, _ = tables[study]
        return _compared(_accuracies(rows, method, -1, column), _accuracies(rows, method, 0, column))

    return answer


def gain(at: int, method: str = "kd") -> Question:
    """Read the gain of a method over ``ce`` at a level from the study's table."""

    def answer(tables: Tables, study: str) -> Found:
        _, rows = tables[study]
        wanted = _levels(rows)[at]
        names = sorted(name for name in rows[0] if name.startswith("factor."))
        (row,) = (
            r
            for r in rows
            if r["metric"] == "accuracy"
            and r["baseline"] == "ce"
            and r["method"].startswith(method)
            and tuple(r[name] for name in names) == wanted
        )
        return Found(row["gain"], row["ci_low"], row["ci_high"], row["verdict"])

    return answer


def change(method: str = "kd") -> Question:
    """Compare the gain of a method at the last level with that at the first."""

    def answer(tables: Tables, study: str) -> Found:
        rows, _ = tables[study]
        first, last = (
            [a - b for a, b in zip(_accuracies(rows, method, at), _accuracies(rows, "ce", at), strict=True)]
            for at in (0, -1)
        )
        return _compared(last, first)

    return answer


def against(other: str, method: str = "ce") -> Question:
    """Compare accuracy at the last level with that of another study at its last level."""

    def answer(tables: Tables, study: str) -> Found:
        here, there = (_accuracies(tables[name][0], method, -1) for name in (study, other))
        return _compared(here, there)

    return answer


def halves(at: int) -> Question:
    """Compare accuracy of the first half of the seeds with that of the second: an A/A test."""

    def answer(tables: Tables, study: str) -> Found:
        found = _accuracies(tables[study][0], "ce", at)
        return _compared(found[: len(found) // 2], found[len(found) // 2 :])

    return answer


EFFECTS = (
    Effect("size", "accuracy of ce", level(), +1, "more images of the same kind"),
    Effect("size", "gain of kd at 5 images", gain(0), +1, "the teacher had 90 per class"),
    Effect("size", "change of this gain", change(), -1, "with 80, the student has nearly as many"),
    Effect("imbalance", "accuracy of ce", level(), -1, "the rare classes have two images"),
    # The gain of kd under imbalance is not known beforehand: the teacher knows little about the rare classes.
    Effect("label_noise", "accuracy of ce", level(), -1, "six labels of ten are wrong"),
    Effect("label_noise", "gain of kd at 0.6", gain(-1), +1, "the teacher was trained on the right ones"),
    Effect("label_noise", "change of this gain", change(), +1, "with right labels it helps less"),
    Effect("wrong teacher", "accuracy of ce", level(), 0, "it has no teacher"),
    Effect(
        "wrong teacher",
        "gain of kd at 0.9",
        gain(-1),
        -1,
        "nine of ten teacher labels are those of the next class",
    ),
    Effect("wrong teacher", "change of this gain", change(), -1, "at 0 the teacher was right"),
    Effect("noisy val", "accuracy of ce", level(), 0, "the last epoch does not use val"),
    Effect(
        "cue",
        "accuracy of ce, less no cue",
        against("no cue"),
        -1,
        "in train, the background predicts the class",
    ),
    Effect("no teaching", "gain of weight 0", gain(0, "random_teacher"), 0, "the loss is that of ce"),
    Effect("classes", "accuracy of ce", level(), -1, "with more classes, chance is lower"),
    # The effect of coarser labels is not known beforehand; that of other names for the same classes is.
    Effect("granularity", "accuracy of ce, fine", level(), 0, "no family has two of these shapes"),
    Effect("similarity", "accuracy of ce", level(), -1, "they look more alike"),
    Effect("resolution", "accuracy of ce", level(), +1, "with 4 pixels per side, no shape is visible"),
    Effect(
        "spurious", "aligned accuracy of ce", level("accuracy.aligned"), +1, "the frame predicts the class"
    ),
    Effect(
        "spurious",
        "conflicting accuracy",
        level("accuracy.conflicting"),
        -1,
        "the frame predicts a wrong class",
    ),
    Effect(
        "groups", "accuracy on light ground", level("accuracy.light"), +1, "at 0 there were none in train"
    ),
    Effect("shift", "accuracy on the others", level("accuracy.shifted"), +1, "it was trained on such images"),
    Effect("shift", "accuracy of ce", level(), -1, "and not on dark ones"),
    Effect("unlabelled", "gain of kd with them", gain(0), +1, "the teacher predicts their classes"),
    Effect("redundancy", "accuracy of ce", level(), -1, "four different images per class remain"),
    Effect("leakage", "accuracy where it leaks", level("accuracy.exposed"), +1, "these images are in train"),
    Effect("selection", "accuracy of ce, hardest", level(), -1, "the hardest are those with wrong labels"),
    Effect("seeds", "ce at 5, seeds 1-6 and 7-12", halves(0), 0, "an A/A test"),
    Effect("seeds", "ce at 20, seeds 1-6 and 7-12", halves(1), 0, "an A/A test"),
)


def run(name: str, out: Path, workers: int | None) -> tuple[Rows, Rows]:
    """Run or resume a study in ``out``; return its results and effects."""
    study = Study(study=name.replace(" ", "-"), **(COMMON | STUDIES[name]))
    finished = study.run(out / name.replace(" ", "-"), workers=workers)
    if finished.outcome.failed:
        raise SystemExit(f"{finished.outcome.failed} runs of {name!r} failed: see {finished.report}")
    files = (finished.folder.results_file, finished.folder.effects_file)
    results, effects = (pq.read_table(file).to_pylist() for file in files)
    return [row for row in results if row["accuracy"] is not None], effects


def main() -> None:
    """Read the command line, run the studies and print the effects."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"studies to run, by default all: {', '.join(STUDIES)}")
    parser.add_argument("--out", type=Path, help="where the studies are kept (default: a temporary folder)")
    parser.add_argument("--workers", type=int, help="default: one per core")
    options = parser.parse_args()
    if unknown := set(options.names) - set(STUDIES):
        parser.error(f"there is no study {', '.join(sorted(unknown))}")
    names = options.names or list(STUDIES)
    if "cue" in names:
        names = list(dict.fromkeys([*names, "no cue"]))
    effects = [effect for effect in EFFECTS if effect.study in names]
    missed = 0
    with tempfile.TemporaryDirectory() as scratch:
        tables = {name: run(name, options.out or Path(scratch), options.workers) for name in names}
    print(f"{'study':<15}{'effect':<34}{'planted':>8}{'points':>9}{'95 % interval':>19}  verdict")
    for effect in effects:
        found = effect.question(tables, effect.study)
        right = SIGNS[found.verdict] == effect.sign
        missed += not right
        interval = f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
        planted = f"{effect.study:<15}{effect.title:<34}{'0+-'[effect.sign]:>8}"
        print(
            f"{planted}{100 * found.size:>+9.1f}{interval:>19}  {found.verdict}{'' if right else '  MISSED'}"
        )
    print(f"\n{len(effects) - missed} of {len(effects)} as planted")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
