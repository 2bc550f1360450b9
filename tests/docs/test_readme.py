"""The examples of README.md run as written, but for the number of seeds and steps."""

from __future__ import annotations

import json
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
README_COMMANDS = [
    line
    for block in BLOCKS
    if not block.language
    for line in commands(block)
    if line.startswith("distillab ")
]
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


def write_photos(folder: Path, number: int) -> None:
    """Write photographs of two classes into a folder of each."""
    images, labels = gratings(number, classes=2)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / CLASSES[label] / f"{row}.png")


def study_of(file: str) -> str:
    """Return the study of the README that is called by the name of a file."""
    [text] = [each.text for each in BLOCKS if each.text.startswith(f"# {file}\n")]
    return text


def test_the_commands_run_on_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 320)
    study = study_of("study.yaml")
    assert "seeds: 6" in study
    short = study.replace("seeds: 6", "seeds: 1") + "recipe: {steps: 2, batch_size: 8}\n"
    (tmp_path / "study.yaml").write_text(short)
    mine = [line for line in README_COMMANDS if "table.yaml" not in line and "my-student" not in line]
    assert [line.split()[1] for line in mine] == ["advise", "profile", "plan", "run", "status", "report"]
    for line in mine:
        assert execute(line.replace("--budget 15m", "--budget 0").split()[1:]) == 0
    for file in ("photos.html", "photos-study/report.html", "photos-study/effects.parquet"):
        assert (tmp_path / file).is_file()


def test_a_folder_becomes_a_student_that_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("distillab.training.recipe.AUTO_STEPS", 12)  # of a full training: 800
    write_photos(tmp_path / "photos", 60)
    distill, predict = (line for line in README_COMMANDS if "my-student" in line)
    short = distill.replace("resnet8", "convnet3 --teacher convnet3 --methods kd --seeds 5 --workers 1")
    assert execute(short.split()[1:]) == 0
    answer = json.loads(Path("my-student/answer.json").read_text())
    assert answer["n_pairs"] == 5 and answer["ship"] in ("distilled", "plain", "undecided")
    capsys.readouterr()
    assert execute(predict.split()[1:]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 60 and {row["label"] for row in rows} <= set(CLASSES)
    assert all(0 < row["probability"] <= 1 for row in rows)


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
