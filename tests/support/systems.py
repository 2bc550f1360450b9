"""Small forms of the studies in studies/systems: the same files on drawn data in the same layout."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from distillab.cli import execute
from distillab.study.folder import StudyFolder
from distillab.study.spec.study_yaml import read_study_yaml
from support.source_files import png
from support.source_tree import ROOT

# Chosen by hand, so that nothing is timed.
NUMERICS = {"precision": "fp32", "memory_format": "contiguous", "compile": False}


def small_form(name: str, *, seeds: int = 1, steps: int = 3, **changes: Any) -> dict[str, Any]:
    """Return a study of ``studies/systems`` with few short runs; ``changes`` replace whole keys.

    Args:
        name: The name of the file.
        seeds: Seeds.
        steps: Steps of teachers and students.
        changes: Other values, by key.
    """
    values: dict[str, Any] = read_study_yaml(ROOT / "studies" / "systems" / f"{name}.yaml")
    short = {"steps": steps, "batch_size": 8, **NUMERICS}
    values["teacher"] = {**values["teacher"], "recipe": short, "replicates": 1}
    values["recipe"] = {**values["recipe"], **short}
    values["seeds"] = seeds
    return {**values, **changes}


def run_by_command(base: Path, values: dict[str, Any]) -> StudyFolder:
    """Run a study by the command line, with ``base`` as DISTILLAB_DATA, and return its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLAB_DATA", str(base))
        (base / "study.yaml").write_text(yaml.safe_dump(values))
        command = ["run", str(base / "study.yaml"), "--out", str(base / "out")]
        assert execute([*command, "--executor", "inline", "--device", "cpu"]) == 0
    return StudyFolder.open(base / "out")


def refusal_of_plan(
    folder: Path, values: dict[str, Any], capsys: pytest.CaptureFixture[str], *options: str
) -> str:
    """Return the one line by which the plan of a study is refused."""
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    assert execute(["plan", str(folder / "study.yaml"), *options]) == 2
    [line] = [each for each in capsys.readouterr().err.splitlines() if each.strip()]
    return line


def write_cifar100(folder: Path, *, classes: int = 4, train: int = 12, test: int = 6) -> Path:
    """Write drawn images as ``cifar100/{train,test}.parquet`` have them, and return the folder.

    Args:
        folder: What DISTILLAB_DATA names.
        classes: Number of classes; each has a brightness of its own.
        train: Training images per class.
        test: Test images per class.
    """
    (folder / "cifar100").mkdir(parents=True)
    for split, count, seed in (("train", train, 0), ("test", test, 1)):
        rng, labels = np.random.default_rng(seed), np.repeat(np.arange(classes), count)
        pixels = rng.integers(0, 40, (len(labels), 32, 32, 3)) + 40 * labels[:, None, None, None]
        images = [{"bytes": png(each), "path": f"{n}.png"} for n, each in enumerate(pixels.astype(np.uint8))]
        columns = {"img": images, "fine_label": labels, "coarse_label": labels // 2}
        pq.write_table(pa.table(columns), folder / "cifar100" / f"{split}.parquet")
    return folder


def write_titles(base: Path, classes: Sequence[str]) -> None:
    """Write titles as ``zh_text/thucnews_titles`` has them; each class has characters of its own.

    Args:
        base: What DISTILLAB_DATA names.
        classes: The names of the classes.
    """
    folder = base / "zh_text" / "thucnews_titles"
    folder.mkdir(parents=True)
    (folder / "class.txt").write_text("\n".join(classes) + "\n")
    rng = np.random.default_rng(0)
    for name, count in (("dev", 90), ("test", 30)):
        lines = []
        for number in range(count):
            label = number % len(classes)
            characters = rng.integers(0x4E00 + 40 * label, 0x4E00 + 40 * label + 40, 12)
            lines.append("".join(map(chr, characters)) + f"\t{label}")
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_lung(folder: Path, *, tiles: int = 20, copies: int = 3) -> Path:
    """Write drawn images as ``lung/tiles.csv`` names them, copies of tiles, and return the folder.

    Args:
        folder: What DISTILLAB_DATA names.
        tiles: Tiles per class; each class has a brightness of its own.
        copies: Images per tile.
    """
    rng = np.random.default_rng(0)
    rows = [["image", "label", "tile"]]
    for label, name in enumerate(("lung_aca", "lung_n", "lung_scc")):
        (folder / "lung" / name).mkdir(parents=True)
        for number in range(tiles * copies):
            path = f"{name}/{number}.png"
            pixels = rng.integers(0, 40, (32, 32, 3)) + 60 * label
            (folder / "lung" / path).write_bytes(png(pixels.astype(np.uint8)))
            rows.append([path, name, f"{name}-{number // copies}"])
    with (folder / "lung" / "tiles.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder
