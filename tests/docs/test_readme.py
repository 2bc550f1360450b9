"""The examples of README.md run as written, but for the number of seeds and steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distillab.cli import execute
from distillab.models import InputSpec, build_model
from distillab.sources.ingest import load_dataset
from distillab.study.spec.study import read_study
from support.documents import code_blocks, commands, environment
from support.planted import CLASSES, gratings
from support.source_tree import ROOT

BLOCKS = code_blocks(ROOT / "README.md")
SHORT = 'recipe={"steps": 2, "batch_size": 8}'


def test_the_python_example_runs_as_a_file(tmp_path: Path) -> None:
    [code] = [block.text for block in BLOCKS if block.language == "python"]
    assert "seeds=6" in code
    (tmp_path / "tiny.py").write_text(code.replace("seeds=6", f"seeds=2, {SHORT}"))
    run = subprocess.run(
        [sys.executable, "tiny.py"], cwd=tmp_path, env=environment(ROOT), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    report, verdict = run.stdout.split()
    assert (tmp_path / report).is_file() and verdict in {"helps", "harms", "equivalent", "undecided"}


def study_of(file: str) -> str:
    """Return the study of the README that is called by the name of a file."""
    [text] = [each.text for each in BLOCKS if each.text.startswith(f"# {file}\n")]
    return text


def test_the_commands_run_on_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = gratings(320, classes=2)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "photos" / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{row}.png")
    study = study_of("study.yaml")
    assert "seeds: 6" in study
    short = study.replace("seeds: 6", "seeds: 1") + "recipe: {steps: 2, batch_size: 8}\n"
    (tmp_path / "study.yaml").write_text(short)
    lines = [line for block in BLOCKS if not block.language for line in commands(block)]
    mine = [line for line in lines if line.startswith("distillab ") and "table.yaml" not in line]
    assert [line.split()[1] for line in mine] == ["advise", "profile", "plan", "run", "status", "report"]
    for line in mine:
        assert execute(line.replace("--budget 15m", "--budget 0").split()[1:]) == 0
    for file in ("photos.html", "photos-study/report.html", "photos-study/effects.parquet"):
        assert (tmp_path / file).is_file()


def test_a_table_and_a_teacher_of_ones_own_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = gratings(160, classes=2)
    rows = ["file,label"]
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image.transpose(1, 2, 0)).save(f"{row}.png")
        rows.append(f"{row}.png,{CLASSES[label]}")
    Path("photos.csv").write_text("\n".join(rows))
    study = study_of("table.yaml")
    Path("table.yaml").write_text(study.replace("seeds: 6", "seeds: 1\nrecipe: {steps: 2, batch_size: 8}"))
    torch.save(trained_teacher("table.yaml"), "teacher.pt")
    assert execute(["plan", "table.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "4 students, 1 teacher," in printed and "wall time" in printed


def trained_teacher(study: str) -> dict[str, torch.Tensor]:
    """Return the weights of a teacher that was trained on a study's data outside of distillab."""
    train = load_dataset(read_study(Path(study)).source()).train
    mean, std = load_dataset(read_study(Path(study)).source()).normalization()
    torch.manual_seed(0)
    network = build_model("resnet20", classes=2, inputs=InputSpec(*train.shape))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    pixels = torch.from_numpy(train.pixels(np.arange(len(train)))).float() / 255
    inputs = (pixels - torch.from_numpy(mean)[:, None, None]) / torch.from_numpy(std)[:, None, None]
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(network(inputs), torch.from_numpy(train.labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dict(network.state_dict())
