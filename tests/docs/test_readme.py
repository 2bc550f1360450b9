"""The examples of README.md run as written, but for the number of seeds and steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from distillab.cli import execute
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


def test_the_commands_run_on_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = gratings(320, classes=2)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "photos" / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{row}.png")
    [study] = [block.text for block in BLOCKS if block.language == "yaml"]
    assert "seeds: 6" in study
    short = study.replace("seeds: 6", "seeds: 1") + "recipe: {steps: 2, batch_size: 8}\n"
    (tmp_path / "study.yaml").write_text(short)
    lines = [line for block in BLOCKS if not block.language for line in commands(block)]
    mine = [line for line in lines if line.startswith("distillab ") and "|" not in line]
    assert [line.split()[1] for line in mine] == ["profile", "plan", "run", "status", "report"]
    for line in mine:
        assert execute(line.split()[1:]) == 0
    for file in ("photos.html", "photos-study/report.html", "photos-study/effects.parquet"):
        assert (tmp_path / file).is_file()
