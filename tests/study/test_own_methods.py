"""Sums of methods and user methods in a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.study.folder import StudyFolder
from support.studies import CPU, run_here, spec

OWN = '''
"""Match the teacher's logits."""
from typing import ClassVar
from distillab.methods import Batch, Method
from distillab.methods.divergence import label_loss

class Logits(Method):
    class Config(Method.Config):
        strength: float = 0.5

    def forward(self, student, teacher, batch):
        gap = (student.logits - teacher.logits.detach()).square().mean()
        return {"ce": label_loss(student.logits, batch).mean(), "logits": self.config.strength * gap}
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_sums_and_user_methods_run_in_a_study(own: Path, tmp_path: Path) -> None:
    """Files are named relative to the study file; rows have the labels of the methods."""
    methods = ["ce", {"kd": {}, "rkd": {"weight": 0.5}}, "mine.py:Logits"]
    study = spec(own.parent, methods=methods, factors={"size": [5]})
    folder = StudyFolder.begin(tmp_path / "dir", study, CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert {row["method"] for row in rows} == {"ce", "kd+rkd(weight=0.5)", "Logits"}


def test_changed_code_fails_the_runs_of_a_user_method(own: Path, tmp_path: Path) -> None:
    study = spec(own.parent, methods=["ce", "mine.py:Logits"], factors={"size": [5]}, seeds=1)
    folder = StudyFolder.begin(tmp_path / "dir", study, CPU)
    own.write_text(OWN + "\n# changed\n")
    rows = run_here(folder)
    with folder.ledger() as ledger:
        errors = [failure.error for failure in ledger.failures()]
    status = {row["method"]: row["status"] for row in rows}
    assert status == {"ce": "done", "Logits": "failed"}
    assert errors
    assert all("mine.py:Logits: the code of a method has changed" in error for error in errors)
