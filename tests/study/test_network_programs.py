"""The programs that measure the networks of a finished study: times of students, scores of teachers."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from support.source_tree import ROOT
from support.systems import run_by_command, small_form

pytest.importorskip("transformers", reason="the extra distillab[text] is not installed")


@pytest.fixture(scope="module")
def titles(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished small form of the study of Chinese titles: an ensemble teaches two equal networks."""
    root = tmp_path_factory.mktemp("titles")
    folder, rng = root / "zh_text" / "thucnews_titles", np.random.default_rng(0)
    folder.mkdir(parents=True)
    (folder / "class.txt").write_text("finance\nsports\n")
    for name, count in (("dev", 60), ("test", 20)):
        lines = []
        for number in range(count):
            first = 0x4E00 + 40 * (number % 2)
            lines.append("".join(map(chr, rng.integers(first, first + 40, 12))) + f"\t{number % 2}\n")
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    values = small_form("chinese-text", steps=4)
    values["students"] = values["students"][:2]
    values["students"][1]["start"]["steps"] = 2
    values["evidence"] = {"probes": 0}
    values["methods"] = ["ce", "kd"]
    return run_by_command(root, values)


def table_of(program: str, folder: StudyFolder, *options: str) -> list[dict[str, str]]:
    """Run a program of benchmarks/ on a study and return the table that it writes."""
    path = folder.path.parent / f"{program}.csv"
    command = [sys.executable, str(ROOT / "benchmarks" / f"{program}.py"), "--study", str(folder.path)]
    subprocess.run([*command, "--write", str(path), *options], capture_output=True, check=True)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_architecture_is_timed_once(titles: StudyFolder) -> None:
    rows = table_of("student_speed", titles, "--seconds", "0.1")
    assert {row["student"] for row in rows} == {"textcnn_small", "textcnn_small in two stages"}
    assert len({(row["ms"], row["speed_up"], row["compression"]) for row in rows}) == 1, "one network"
    assert float(rows[0]["ms"]) < float(rows[0]["teacher_ms"])


def test_networks_of_a_greedy_ensemble_are_scored(titles: StudyFolder) -> None:
    rows = table_of("teacher_scores", titles)
    together, alone = rows[0], rows[1:]
    assert together["network"] == "greedy(textcnn+bilstm+bert_2x128)" and together["in_ensemble"] == "False"
    assert [row["network"] for row in alone] == ["textcnn", "bilstm", "bert_2x128"]
    assert sum(float(row["weight"]) for row in alone) == pytest.approx(1)
    taught = [row for row in read_rows(titles.results_file) if row["method"] == "kd"]
    assert all(row["teacher_accuracy"] == pytest.approx(float(together["score"])) for row in taught)
    best = max(float(row["val_score"]) for row in alone)
    assert float(together["val_score"]) >= best, "greedy is never below its best network on val"


def test_a_single_teacher_has_no_ensemble(titles: StudyFolder, tmp_path: Path) -> None:
    values = small_form("chinese-text", steps=2)
    values |= {"teacher": {"model": "textcnn", "recipe": values["teacher"]["recipe"]}, "methods": ["kd"]}
    values |= {"students": ["textcnn_small"], "evidence": {"probes": 0}}
    (tmp_path / "zh_text").symlink_to(titles.path.parent / "zh_text")
    folder = run_by_command(tmp_path, values)
    with pytest.raises(subprocess.CalledProcessError) as error:
        table_of("teacher_scores", folder)
    assert b"is no ensemble" in error.value.stderr
