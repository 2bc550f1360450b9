"""Do the shortcut alarms find planted cues, and are they silent about cues that belong to the classes?

    DISTILLAB_DATA=DIR python benchmarks/shortcut_alarm.py [--out FILE] [NAME ...]

On each set the factor ``spurious`` gives 95 % of the images a cue of their class: a tint, a patch in a
corner, a background or a frame; once it gives none. One row per set, planted cue and measured cue: accuracy
of the cue, of the same features of the middle of the image, and of the whole image; whether there is an
alarm, and whether there was one before (if the cue alone was strong). The rows of ``clusters`` are the
alarm on hidden sources. Prints a summary. A script that was stopped continues; the same arguments give the
same file. About six minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from distillab.data.dataset import DataReport
from distillab.data.examples import Examples
from distillab.factors import Spurious
from distillab.factors.inputs.cues import CueKind
from distillab.profile.cues import CUES
from distillab.profile.families.hidden_sources import measure_hidden_sources
from distillab.profile.families.shortcuts import CueResult, measure_cue, whole_image
from distillab.profile.measure import measures_by_key
from distillab.profile.profiled_dataset import ProfiledDataset
from real_sets import ResultTable, Value, read_images

NAMES = ("digits", "usps", "eurosat", "corn_leaf", "lung", "cifar100-coarse")
IMAGES = 1_500
NONE = "none"
PLANTED = (NONE, *get_args(CueKind))
LEVEL = 0.95
COLUMNS = ("dataset", "images", "planted", "cue", "accuracy", "middle", "whole", "before", "alarm")
STRONG = 0.3  # Cramer's V of separate clusters from which the alarm on hidden sources was raised before


def rows_of(name: str, planted: str, images: Examples) -> list[dict[str, Value]]:
    """Plant a cue and return one row per measured cue, and one for the clusters."""
    if planted != NONE:
        spurious = Spurious.model_validate({"level": LEVEL, "cue": planted})
        images = spurious.apply(images, np.random.default_rng(0))
    images = replace(images, groups=None, group_names=())
    data = ProfiledDataset(name, images, {}, images, images, DataReport())
    everything = np.arange(len(images))
    whole = whole_image(data, everything)
    cues = [measure_cue(cue, data, everything, whole) for cue in CUES]
    place: dict[str, Value] = {"dataset": name, "images": len(images), "planted": planted}
    rows = [{**place, **_row(result)} for result in cues if result is not None]
    family = measure_hidden_sources(data)
    found = measures_by_key(() if family is None else (family,))
    if "clusters_surroundings_cramers_v" in found:
        strength = found["clusters_surroundings_cramers_v"]
        separate = found["clusters_surroundings_silhouette"].value >= 0.25
        rows.append(
            {
                **place,
                "cue": "clusters",
                "accuracy": round(strength.value, 4),
                "middle": "",
                "whole": "",
                "before": separate and strength.value >= STRONG,
                "alarm": bool(strength.alarm),
            }
        )
    return rows


def _row(result: CueResult) -> dict[str, Value]:
    return {
        "cue": result.name,
        "accuracy": round(result.alone.balanced_accuracy, 4),
        "middle": "" if result.middle is None else round(result.middle.balanced_accuracy, 4),
        "whole": round(result.whole.balanced_accuracy, 4),
        "before": result.strong,
        "alarm": result.possible_shortcut,
    }


def summarize(rows: list[dict[str, str]]) -> None:
    """Print, for each planted cue, on how many sets there is any alarm, now and before."""
    print(f"{'planted':12s}{'sets':>6}{'alarm':>7}{'before':>8}")
    for planted in PLANTED:
        mine = [row for row in rows if row["planted"] == planted]
        sets = {row["dataset"] for row in mine}
        now, before = ({row["dataset"] for row in mine if row[key] == "True"} for key in ("alarm", "before"))
        print(f"{planted:12s}{len(sets):6d}{len(now):7d}{len(before):8d}  {', '.join(sorted(now))}")


def main() -> None:
    """Measure what the file lacks, and print the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"sets, by default all: {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("docs/results/shortcut-alarm.csv"))
    chosen = parser.parse_args()
    table = ResultTable(chosen.out, COLUMNS, ("dataset", "planted"))
    for name in chosen.names or NAMES:
        missing = [planted for planted in PLANTED if not table.has(dataset=name, planted=planted)]
        if not missing:
            continue
        images = read_images(name, IMAGES)
        for planted in missing:
            table.add(rows_of(name, planted, images))
            print(f"{name}: {planted}", flush=True)
    summarize(table.rows)


if __name__ == "__main__":
    main()
