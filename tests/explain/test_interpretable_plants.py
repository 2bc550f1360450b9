"""The system of interpretable plant leaves in a small form: drawn leaves in the layout of the photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from distillab.cli import execute
from distillab.evidence.schema import read_rows
from distillab.explain import ExplainedNetwork, attribute, attributions, border_area, border_share
from distillab.models import InputSpec
from support.explained import Planted
from support.source_tree import ROOT

STUDY = ROOT / "studies" / "systems" / "interpretable-plants.yaml"
CLASSES = {"Blight": (24, 110), "Common_Rust": (30, 0), "Gray_Leaf_Spot": (12, 140), "Healthy": (26, 60)}


def draw_leaves(folder: Path) -> None:
    """Write a class per folder: a green leaf on a ground whose gray follows the class."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24]
    for name, (count, ground) in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            leaf = ((x - 12) / 9) ** 2 + ((y - 12) / rng.uniform(4, 7)) ** 2 < 1
            color = np.where(leaf[:, :, None], (60, 150, 50), ground) + rng.normal(0, 12, (24, 24, 3))
            pixels = color.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name} ({number}).jpg")


def test_small_form_of_the_study_runs_and_explains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_leaves(tmp_path / "data" / "corn_leaf")
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path / "data"))
    values = yaml.safe_load(STUDY.read_text())
    values["data"] |= {"resolution": 16, "duplicates": {"near": "keep"}}  # drawn leaves are alike
    values["teacher"] |= {"model": "resnet8", "replicates": 1, "recipe": {"steps": 20}}
    values["recipe"] |= {"steps": 8, "batch_size": 16}
    values |= {"seeds": 2}
    values["explain"]["images"] = 6
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(values))
    out = tmp_path / "out"
    code = execute(["run", str(tmp_path / "small.yaml"), "--out", str(out), "--executor", "inline"])
    assert code == 0, capsys.readouterr().err
    rows = read_rows(out / "explanations.parquet")
    assert len(rows) == 2 * 2 * 2  # seeds, methods, attributions
    for row in rows:
        assert 0 <= row["border_share"] <= 1
        assert row["border_area"] == border_area(16, 16)
    measures = {(row["attribution"], row["measure"]) for row in read_rows(out / "explanation_gains.parquet")}
    assert {(None, "accuracy"), ("grad_cam", "iou"), ("occlusion", "border_share")} <= measures
    assert "occlusion: resnet8 and resnet8, seed 0" in (out / "report.html").read_text()


@pytest.mark.parametrize("name", sorted(each for each in attributions if attributions[each].reads != "maps"))
def test_border_share_finds_the_network_that_reads_the_background(name: str) -> None:
    x, classes = torch.ones(1, 1, 32, 32), torch.tensor([0])
    shares = {}
    for place, rows in {"background": slice(0, 4), "leaf": slice(12, 20)}.items():
        network = ExplainedNetwork.of(Planted(rows, slice(4, 28)), InputSpec(1, 32, 32), name=place)
        shares[place] = float(border_share(attribute(name, network, x, classes))[0])
    assert shares["background"] > 0.45 > 0.2 > shares["leaf"]
