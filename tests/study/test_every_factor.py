"""A study of every factor is planned, run, measured and reported."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from distillab.api import conclude
from distillab.data.examples import Examples
from distillab.evidence.schema import read_rows
from distillab.factors import factors
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from support.datasets import examples_of
from support.studies import CPU, run_here, spec

# One example of each kind of each factor: the strongest level.
KINDS = {
    f"{name}-{number}": (name, example)
    for name in factors
    for number, example in enumerate(
        {
            str(sorted((key, str(value)) for key, value in each.items() if key != "level")): each
            for each in factors[name].examples
        }.values()
    )
}

# What must leave images out before a factor can add them.
RGB = InputSpec.square(3, 32)
BEFORE: dict[str, dict[str, Any]] = {"unlabelled": {"classes": [3], "size": [20]}}
# Training that is long enough for the level of a factor of networks.
LONGER: dict[str, dict[str, Any]] = {
    "label_budget": {"recipe": {"steps": 24, "batch_size": 16}},
    "teacher_age": {"teacher": {"recipe": {"steps": 10}}},
}


def write_parquet(path: Path, images: Examples, split: str) -> None:
    def png(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
        return buffer.getvalue()

    assert images.groups is not None
    columns = {
        "image": [png(each) for each in images.images],
        "label": [images.classes[label] for label in images.labels],
        "group": [images.group_names[group] for group in images.groups],
        "coarse": [images.parents[label] for label in images.labels],
    }
    pq.write_table(pa.table(columns), path / f"{split}.parquet")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Write two datasets of the same classes, with groups and coarser classes."""
    made = {}
    for number, (name, side) in enumerate({"main": 32, "other": 32}.items()):
        folder = tmp_path_factory.mktemp(name)
        for split, each in {"train": 44, "val": 4, "test": 8}.items():
            images = examples_of([each] * 4, shuffle=10 * number + each, first_id=0)
            write_parquet(folder, images, split)
        made[name] = {
            "source": "parquet",
            **{split: str(folder / f"{split}.parquet") for split in ("train", "val", "test")},
            "image": "image",
            "label": "label",
            "group": "group",
            "coarse": "coarse",
            "resolution": side,
            "name": name,
        }
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_study_of_every_factor_runs_to_its_report(
    kind: str, sources: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    name, example = KINDS[kind]
    if factors[name].model_fields.get("scores") and example.get("scores"):
        pytest.fail(f"{kind}: an example must not need a file")
    if name == "resolution":
        example = example | {"level": max(example["level"], 8)}  # no network takes less
    given = {key: value for key, value in example.items() if key != "level"}
    students: list[Any] = ["resnet8"]
    if name == "initialisation":
        torch.save(build_model("resnet8", classes=9, inputs=RGB).state_dict(), tmp_path / "w.pth")
        students = [{"model": "resnet8", "weights": str(tmp_path / "w.pth")}]
    study = spec(
        data=sources["main"] | {"classes": [f"class {c}" for c in range(4)]},
        others={"other": sources["other"]},
        factors={**BEFORE.get(name, {}), name: {**given, "levels": [example["level"]]}},
        students=students,
        seeds=1,
        **{
            "recipe": {"steps": 2},
            **LONGER.get(name, {}),
            "teacher": {"model": "resnet8", "provenance": "same", **LONGER.get(name, {}).get("teacher", {})},
        },
    )
    folder = StudyFolder.begin(tmp_path / "study", study, CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}, [row["status"] for row in rows]
    assert {row[f"factor.{name}"] for row in rows} == {example["level"]}
    conclude(folder)
    again = read_rows(folder.results_file)
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in rows]
    with folder.ledger() as ledger:
        [condition] = ledger.conditions()
    assert all(check.passed for check in condition.checks)
    assert name in (folder.path / "report.html").read_text()
