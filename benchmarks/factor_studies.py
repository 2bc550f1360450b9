"""A small study of every factor on real images: its effect on the images and on the gain.

    python benchmarks/factor_studies.py --out DIR [--only NAME ...] [--workers 1]
                                        [--table FILE.csv] [--pictures FOLDER]

Runs or resumes studies/factors/*.yaml, each in DIR/NAME. The studies read real images from the folder that
the environment variable DISTILLAB_DATA names. Prints one line per contrast of accuracy and, where a factor
adds test sets, of the accuracy on them; ``--table`` writes the same as CSV. ``--pictures`` writes NAME.png
for each study: the same images as read and at every level. ``docs/factors_table.py`` writes both into the
pages of the factors.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from distillab.api import Finished, Study
from distillab.report.collect.gallery import galleries
from distillab.report.contents.pictures import Pictures, Strip, Tile

STUDIES = Path(__file__).parents[1] / "studies" / "factors"
TILE, GAP, MARGIN, TITLE, SHOWN = 56, 4, 12, 15, 14  # pixels of a picture; pictures in a strip
PAPER, INK, CHANGED = (252, 252, 250), (40, 40, 45), (214, 116, 24)
COLUMNS = (
    *("study", "dataset", "level", "provenance", "student", "method", "metric", "n_pairs"),
    *("plain", "distilled", "gain", "ci_low", "ci_high", "p_value", "verdict"),
    *("p_verdict", "n_tests", "verdict_family", "n_teachers"),
    *("steps", "batch_size", "teacher_steps", "converged"),
)
Row = dict[str, Any]


def rows_of(name: str, finished: Finished) -> Iterator[Row]:
    """Yield the contrasts of accuracies with plain training, in points."""
    for effect in finished.tables.effects:
        measure = effect["metric"].partition(".")[0]
        elsewhere = "." in effect["metric"] or measure in ("worst_group_accuracy", "tail_accuracy")
        if effect["baseline"] != "ce" or not (effect["metric"] == "accuracy" or elsewhere):
            continue
        levels = [
            f"{key.removeprefix('factor.')} {effect[key]}" for key in effect if key.startswith("factor.")
        ]
        points = {
            short: None if effect[long] is None else round(100 * effect[long], 2)
            for short, long in {
                "plain": "plain_mean",
                "distilled": "distilled_mean",
                "gain": "gain",
                "ci_low": "ci_low",
                "ci_high": "ci_high",
            }.items()
        }
        row = {"study": name, "level": "; ".join(levels), **points, **_training(finished, effect)}
        yield {column: row.get(column, effect.get(column)) for column in COLUMNS}


def _training(finished: Finished, effect: Row) -> Row:
    """Return how long the networks of a contrast were trained."""
    study = finished.folder.spec
    teacher = study.teacher_recipe(effect["provenance"])
    return {
        "steps": study.recipe.steps,
        "batch_size": study.recipe.batch_size,
        "teacher_steps": teacher.steps,
        "converged": "",
    }


def picture(pictures: Pictures) -> Image.Image:
    """Draw strips one below the other: the images as read, then at each level."""
    strips = [strip for strip in (pictures.before, *pictures.after) if strip.tiles]
    width = 2 * MARGIN + SHOWN * (TILE + GAP)
    height = 2 * MARGIN + len(strips) * (TILE + GAP + TITLE + 6)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, strip in enumerate(strips):
        top = MARGIN + number * (TILE + GAP + TITLE + 6)
        draw.text((MARGIN, top), strip.title, fill=INK)
        for place, tile in enumerate(_some(strip)):
            _draw(sheet, draw, tile, MARGIN + place * (TILE + GAP), top + TITLE)
    return sheet


def _some(strip: Strip) -> list[Tile]:
    """Choose pictures: evenly from all classes, then added ones."""
    added = [tile for tile in strip.tiles if tile.added][: SHOWN // 2]
    others = [tile for tile in strip.tiles if not tile.added]
    places = np.linspace(0, len(others) - 1, min(len(others), SHOWN - len(added))).round().astype(int)
    return [others[place] for place in places] + added


def _draw(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    assert isinstance(tile.picture, np.ndarray)
    pixels = tile.picture[0] if len(tile.picture) == 1 else tile.picture.transpose(1, 2, 0)
    shown = Image.fromarray(pixels).convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST)
    if tile.dropped:
        shown = Image.blend(shown, Image.new("RGB", shown.size, PAPER), 0.82)
    sheet.paste(shown, (left, top))
    if not tile.dropped and tile.changed:
        draw.rectangle((left - 1, top - 1, left + TILE, top + TILE), outline=CHANGED, width=2)


def write_pictures(finished: Finished, folder: Path, name: str) -> None:
    """Write the picture of the factor that a study is about, the last one in its file, if it changes
    examples."""
    with finished.folder.ledger() as ledger:
        conditions = ledger.conditions()
    folder.mkdir(parents=True, exist_ok=True)
    about = finished.folder.spec.factor_levels()[-1][0].name
    for pictures in galleries(finished.folder, conditions):
        if pictures.factor == about:
            picture(pictures).save(folder / f"{name}.png", optimize=True)


def format_row(row: Row) -> str:
    """Format a row for the terminal."""
    gain = "no pair" if row["gain"] is None else f"{row['gain']:+6.1f} [{row['ci_low']}, {row['ci_high']}]"
    where = f"{row['study']}: {row['level']}, {row['provenance']}, {row['student']}, {row['method']}"
    return f"{where}, {row['metric']}: {row['plain']} -> {row['distilled']}, {gain} {row['verdict']}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the studies, or print what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args(arguments)
    if options.out is None or "DISTILLAB_DATA" not in os.environ:
        print("nothing to run: give --out, and the folder of the datasets in DISTILLAB_DATA")
        return
    rows: list[Row] = []
    for path in sorted(STUDIES.glob("*.yaml")):
        if options.only and path.stem not in options.only:
            continue
        finished = Study.read(path).run(options.out / path.stem, workers=options.workers)
        for failure in finished.outcome.failures:
            print(f"{path.stem} failed: {failure}", flush=True)
        mine = list(rows_of(path.stem, finished))
        print(*map(format_row, mine), sep="\n", flush=True)
        rows += mine
        if options.pictures:
            write_pictures(finished, options.pictures, path.stem)
    if options.table:
        with options.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
