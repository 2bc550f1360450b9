"""The small form of the study of Chinese titles: a teacher chosen on val, and a student in two stages."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from distillab.api import conclude
from distillab.evidence.pairs import Row
from distillab.study.folder import StudyFolder
from distillab.study.spec.study import read_study
from support.studies import CPU, rows_of, run_here
from support.systems import refusal_of_plan, run_by_command, small_form, write_titles

pytest.importorskip("transformers", reason="the extra distillab[text] is not installed")
PROGRAM = Path(__file__).parents[2] / "benchmarks" / "student_speed.py"
CLASSES = ("finance", "sports", "game")


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of DISTILLAB_DATA: titles of three classes, each with characters of its own."""
    write_titles(tmp_path, CLASSES)
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    return tmp_path


def test_students_of_titles_in_one_and_two_stages(drawn: Path) -> None:
    values = small_form("chinese-text", seeds=2, steps=25)
    for staged in values["students"][1:]:
        staged["start"]["steps"] = 5
    values["evidence"] = {**values["evidence"], "probes": 0}
    (drawn / "study.yaml").write_text(yaml.safe_dump(values))
    folder = StudyFolder.begin(drawn / "dir", read_study(drawn / "study.yaml"), CPU)
    assert folder.dataset.classes == CLASSES
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    found = {(row["student"], row["method"]) for row in rows}
    staged = ("textcnn_small in two stages", "textcnn_small fine-tuned first")
    assert found == {
        *(("textcnn_small", method) for method in ("ce", "kd")),
        *((name, method) for name in staged for method in ("ce", "ce_throughout", "kd")),
    }
    assert {row["teacher"] for row in rows} == {"greedy(textcnn+bilstm+bert_2x128)"}
    assert np.mean([row["accuracy"] for row in rows]) > 0.5, "each class has characters of its own"
    check_table(folder, rows, drawn / "speed.csv")


def check_table(folder: StudyFolder, rows: Sequence[Row], path: Path) -> None:
    """Check the table of retention, speed-up and compression that the program writes of the study."""
    conclude(folder, report=False)
    command = [
        sys.executable,
        str(PROGRAM),
        "--study",
        str(folder.path),
        "--seconds",
        "0.1",
        "--write",
        str(path),
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with path.open(newline="") as file:
        table = {(row["student"], row["method"]): row for row in csv.DictReader(file)}
    assert table.keys() == {(row["student"], row["method"]) for row in rows}
    teachers = {row["seed"]: row["teacher_accuracy"] for row in rows if row["method"] == "kd"}
    for (student, method), found in table.items():
        mine = [row for row in rows if (row["student"], row["method"]) == (student, method)]
        kept = [row["accuracy"] / teachers[row["seed"]] for row in mine]
        assert float(found["retention"]) == pytest.approx(np.mean(kept))
        assert float(found["retention_low"]) <= np.mean(kept) <= float(found["retention_high"])
        assert int(found["n_seeds"]) == 2 and float(found["params"]) == mine[0]["params"]
        assert float(found["compression"]) > 1 and float(found["speed_up"]) > 0
        assert f"retention {100 * np.mean(kept):.1f} %" in printed


def test_reviews_that_nobody_labelled_are_labelled_by_a_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    lines = ["label,review"]
    for number in range(240):
        characters = rng.integers(0x4E00 + 40 * (number % 2), 0x4E40 + 40 * (number % 2), 12)
        lines.append(f"{number % 2}," + "".join(map(chr, characters)))
    (tmp_path / "zh_text").mkdir()
    (tmp_path / "zh_text" / "ChnSentiCorp_htl_all.csv").write_text("\n".join([*lines, '1,""']) + "\n")
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    values = small_form("chinese-reviews", steps=3, factors={"size": [8], "unlabelled": [0, 3]})
    values["evidence"] = {**values["evidence"], "probes": 0}
    folder = run_by_command(tmp_path, values)
    rows = rows_of(folder)
    assert {row["status"] for row in rows} == {"done"} and len(rows) == 6
    assert {row["n_unlabelled"] for row in rows} == {0, 48}
    assert all(0 <= row["balanced_accuracy"] <= 1 for row in rows)
    assert len(folder.dataset.report.broken) == 1, "the empty review"


def test_maps_of_texts_are_one_line(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = small_form("chinese-text", explain={"attributions": ["occlusion"]})
    assert "explain: maps are of areas of an image" in refusal_of_plan(drawn, values, capsys)
