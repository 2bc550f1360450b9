"""Runs of other studies: a study takes those that it shares with them, and computes the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab import cli
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.running.reuse import reuse_artifacts
from support.studies import Undisturbed, artefacts, begin, numbers, run_here, write_study


def test_shared_networks_are_taken_and_not_trained(
    undisturbed: Undisturbed, ran: list[str], tmp_path: Path
) -> None:
    before = artefacts(undisturbed.folder)
    larger = begin(tmp_path / "larger", methods=["ce", "kd", "label_smoothing"])
    trained = [name for name in before if name.startswith(("teacher/", "student/"))]
    assert reuse_artifacts(larger, [undisturbed.folder]) == len(trained)
    rows = run_here(larger)
    shared = [row for row in rows if row["method"] != "label_smoothing"]
    assert numbers(shared) == numbers(undisturbed.rows)
    assert not set(ran) & {name.split("/")[1] for name in trained}
    assert len(rows) > len(shared)
    assert artefacts(undisturbed.folder) == before


def test_studies_that_share_nothing_give_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    other = begin(tmp_path / "other", recipe={"steps": 4}, teacher={"recipe": {"steps": 5}})
    assert reuse_artifacts(other, [undisturbed.folder]) == 0


def test_command_takes_runs_of_another_study(undisturbed: Undisturbed, tmp_path: Path) -> None:
    study, out = write_study(tmp_path / "again.yaml"), tmp_path / "again"
    options = ["--out", str(out), "--executor", "inline", "--reuse", str(undisturbed.folder.path)]
    assert cli.execute(["run", str(study), *options]) == 0
    taken = artefacts(StudyFolder.open(out))
    assert {name for name in taken if name.startswith("student/")} <= artefacts(undisturbed.folder).keys()


def test_folder_without_a_study_is_refused_before_planning(tmp_path: Path) -> None:
    from distillab.api import Study

    with pytest.raises(RequestError, match="no study here"):
        Study.read(write_study(tmp_path / "s.yaml")).run(tmp_path / "out", reuse=[tmp_path / "nothing"])
    assert not (tmp_path / "out").exists()
