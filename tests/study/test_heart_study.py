"""Small forms of the studies of heart sounds: records that vote, sensitivity and specificity, sites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from distillab.study.folder import StudyFolder
from distillab.study.spec.study import read_study
from support.recordings import write_tone
from support.studies import CPU, run_here
from support.systems import small_form

pytest.importorskip("soundfile", reason="the extra distillab[audio] is not installed")


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of DISTILLAB_DATA: tones of 5 s from two sites, of which one has mostly normal records."""
    heart, lines = tmp_path / "heart", ["record,database,label,full_seconds"]
    for site in "ab":
        for number in range(36):
            abnormal = (number % 3 == 0) != (site == "a")
            name = f"{site}{number:04}"
            write_tone(heart / f"training-{site}" / f"{name}.flac", 400 + 300 * abnormal, 5.0, seed=number)
            lines.append(f"{name},{site},{1 if abnormal else -1},20.0")
    (heart / "REFERENCE.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    return tmp_path


def test_records_vote_and_have_sensitivity_and_specificity(drawn: Path) -> None:
    values = small_form("heart-sounds", seeds=2, steps=4)
    values["methods"] = values["methods"][:3]
    (drawn / "study.yaml").write_text(yaml.safe_dump(values))
    folder = StudyFolder.begin(drawn / "dir", read_study(drawn / "study.yaml"), CPU)
    test = folder.dataset.eval["test"]
    assert test.parts is not None and test.parts.shape == (len(test), 2)
    assert any("group of an example alone predicts its class" in note for note in folder.dataset.report.notes)
    rows = run_here(folder)
    assert len(rows) == 3 * 2 and {row["status"] for row in rows} == {"done"}
    for row in rows:
        assert row["n_test"] == len(test)
        both = (row["sensitivity"] + row["specificity"]) / 2
        assert row["balanced_accuracy"] == pytest.approx(both)
        assert np.isfinite(row["group_balanced_accuracy"])
        assert row["teacher_balanced_accuracy"] is None or 0 <= row["teacher_balanced_accuracy"] <= 1


def test_sites_are_left_out_one_by_one(drawn: Path) -> None:
    values = small_form("heart-sounds-new-site", steps=3)
    values["factors"]["groups"]["levels"] = ["a", "b"]
    values["data"]["val"] = 0.4
    (drawn / "study.yaml").write_text(yaml.safe_dump(values))
    folder = StudyFolder.begin(drawn / "dir", read_study(drawn / "study.yaml"), CPU)
    rows = run_here(folder)
    assert {row["factor.groups"] for row in rows} == {"a", "b"}
    for row in rows:
        assert 0 <= row[f"balanced_accuracy.{row['factor.groups']}"] <= 1
