"""What is left of the evidence base, and the script that makes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distillab.base.contexts import draw_context
from distillab.base.estimate import Trainings, estimate
from distillab.base.making import OutFolder, Slice
from support.evidence_design import TUNE, write_design
from support.source_tree import ROOT

SCRIPT = ROOT / "studies" / "evidence" / "make.py"


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_trainings_are_those_that_the_study_plans(tmp_path: Path) -> None:
    design, out = write_design(tmp_path, contexts=1, tuned=True), OutFolder(tmp_path / "out")
    sets = out.prepare(design)
    counted = Trainings.of(draw_context(design, 0, sets))
    Slice(design, out, sets, until=4.5, clock=iter(map(float, range(10**6))).__next__).run()
    assert (counted.runs, counted.trials, counted.probes) == (4, 4, 1)
    assert counted.trials == len(["ce", "kd"]) * TUNE["budget"] * TUNE["seeds"]


def test_contexts_that_are_made_are_not_left(tmp_path: Path) -> None:
    design, out = write_design(tmp_path, contexts=2), OutFolder(tmp_path / "out")
    before = estimate(design, out, workers=2)
    assert (before.contexts, before.of, before.runs, before.measured) == (2, 2, 8, 0)
    assert before.hours > 0
    Slice(design.first(1), out, out.prepare(design), until=float("inf")).run()
    after = estimate(design, out, workers=2)
    assert (after.contexts, after.runs, after.measured) == (1, 4, 1)


def test_the_script_packs_nothing_of_nothing(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    nothing = run_script("--pack", "--out", out, "--into", str(tmp_path / "base"))
    assert nothing.returncode == 2
    assert nothing.stderr.strip().endswith("no context is made yet")


def test_a_missing_folder_of_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISTILLAB_DATA", raising=False)
    refused = run_script("--tier", "R", "--plan", "--out", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "DISTILLAB_DATA" in refused.stderr
