"""Sums of methods and methods of one's own as arms of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.study.folder import StudyFolder
from support.studies import CPU, run_here, spec

OWN = '''
"""Learn the teacher's logits as they are."""
from typing import ClassVar
from distillab.methods import Batch, Method
from distillab.methods.divergence import label_loss

class Logits(Method):
    class Config(Method.Config):
        strength: float = 0.5

    def forward(self, student, teacher, batch):
        apart = (student.logits - teacher.logits.detach()).square().mean()
        return {"ce": label_loss(student.logits, batch).mean(), "logits": self.config.strength * apart}
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_sums_and_own_methods_run_as_arms_of_a_study(own: Path, tmp_path: Path) -> None:
    """Written relative to the study's file; the arms are told by their labels."""
    arms = ["ce", {"kd": {}, "rkd": {"weight": 0.5}}, "mine.py:Logits"]
    study = spec(own.parent, methods=arms, factors={"size": [5]})
    folder = StudyFolder.begin(tmp_path / "dir", study, CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert {row["method"] for row in rows} == {"ce", "kd+rkd(weight=0.5)", "Logits"}


def test_a_study_goes_on_and_tells_of_a_method_whose_code_was_changed(own: Path, tmp_path: Path) -> None:
    study = spec(own.parent, methods=["ce", "mine.py:Logits"], factors={"size": [5]}, seeds=1)
    folder = StudyFolder.begin(tmp_path / "dir", study, CPU)
    own.write_text(OWN + "\n# changed\n")
    rows = run_here(folder)
    with folder.ledger() as ledger:
        told = [error for state, _, error in ledger.states().values() if state == "failed"]
    status = {row["method"]: row["status"] for row in rows}
    assert status["ce"] == "done" and status["Logits"] == "failed"
    assert told and all("mine.py:Logits: the code of a method has changed" in each for each in told)
