"""The studies of few-shot grafting in a small form: drawn images in the layout of their data, few steps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from distillab.artefacts import WEIGHTS
from distillab.models import InputSpec, build_model
from distillab.models.ensemble import best_member
from distillab.study.folder import StudyFolder
from distillab.study.spec.study import read_study
from support.source_tree import ROOT
from support.studies import CPU, run_here
from support.systems import write_lung

SYSTEMS = ROOT / "studies" / "systems"
CLASSES, SIDE = 20, 32


def png(rng: np.random.Generator, label: int) -> bytes:
    """Return noise with a mean that depends on the class."""
    pixels = rng.normal(90 + 60 * np.sin([label, 2 * label, 3 * label]), 30, (SIDE, SIDE, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def draw_cifar(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, each in (("train", 12), ("test", 3)):
        labels = [label for label in range(CLASSES) for _ in range(each)]
        images = [{"bytes": png(rng, label), "path": None} for label in labels]
        table = pa.table({"img": images, "fine_label": [f"c{label:02}" for label in labels]})
        pq.write_table(table, folder / f"{name}.parquet")


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw_cifar(tmp_path / "cifar100")
    write_lung(tmp_path)
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "few-shot-grafting",
        "few-shot-grafting-three-teachers",
        "few-shot-grafting-lung",
        "few-shot-grafting-lung-three-teachers",
    ],
)
def test_study_of_grafting_runs_in_a_small_form(name: str, drawn: Path) -> None:
    values: dict[str, Any] = yaml.safe_load((SYSTEMS / f"{name}.yaml").read_text())
    values |= {"seeds": 1, "factors": {"size": [5]}}
    values["recipe"] |= {"steps": 6}
    values["teacher"] |= {"recipe": {"steps": 4}, "replicates": 1}
    values["data"] |= {"resolution": 16}
    (drawn / "study.yaml").write_text(yaml.safe_dump(values))
    folder = StudyFolder.begin(drawn / "dir", read_study(drawn / "study.yaml"), CPU)
    rows = run_here(folder)
    assert [(row["method"], row["status"]) for row in rows] == [
        (method, "done") for method in ("ce", "kd(ce_weight=0)", "netgraft")
    ]
    assert {row["student"] for row in rows} == {"vgg5_half(start=teacher, keep=3)"}
    usual = build_model("vgg5_half", classes=len(folder.dataset.classes), inputs=InputSpec(3, 16, 16))
    kept = [key for key in usual.state_dict() if key.startswith(("stages.0.", "stages.1.", "stages.2."))]
    for row in rows:
        record = folder.store.run_record("student", row["run_id"])
        assert record.start is not None
        teacher = best_member(
            load_file(folder.store.folder("teacher", str(record.start["teacher"])) / WEIGHTS)
        )
        state = load_file(folder.store.folder("student", row["run_id"]) / WEIGHTS)
        assert {key: value.shape for key, value in state.items()} == {
            key: value.shape for key, value in usual.state_dict().items()
        }
        assert kept and all(torch.equal(state[key], teacher[key]) for key in kept)
        assert record.start["kept_stages"] == 3
