"""Runs of other studies: a study takes those that it shares with them, and computes the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab import cli
from distillab.api import Study
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.running.reuse import reuse_artifacts
from support.studies import Undisturbed, artefacts, begin, numbers, run_here, write_study
from support.tuning import tuned_study


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


def test_command_takes_runs_of_another_study_and_prints_their_number(
    undisturbed: Undisturbed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, out = write_study(tmp_path / "again.yaml"), tmp_path / "again"
    options = ["--out", str(out), "--executor", "inline", "--reuse", str(undisturbed.folder.path)]
    assert cli.execute(["run", str(study), *options]) == 0
    networks = [name for name in artefacts(undisturbed.folder) if name.startswith(("teacher/", "student/"))]
    assert f"taken from other studies: {len(networks)} trained networks" in capsys.readouterr().out
    taken = artefacts(StudyFolder.open(out))
    assert {name for name in taken if name.startswith("student/")} <= artefacts(undisturbed.folder).keys()


@pytest.mark.parametrize("seeds", [2, {"min": 5, "max": 6, "stop": "decided"}])
def test_runs_after_tuning_and_interim_analyses_are_taken(seeds: Any, tmp_path: Path) -> None:
    study = Study(**tuned_study(seeds=seeds))
    first = study.run(tmp_path / "first", executor="inline", device="cpu")
    again = study.run(tmp_path / "again", executor="inline", device="cpu", reuse=[first.folder.path])
    trained = {name: times for name, times in artefacts(first.folder).items() if not name.startswith("data/")}
    networks = [name for name in trained if name.startswith(("teacher/", "student/"))]
    assert (first.reused, again.reused) == (0, len(networks))
    with again.folder.ledger() as ledger:
        assert {kind: seconds for kind, (_, seconds) in ledger.seconds().items() if kind != "outputs"} == {
            "teacher": 0.0,
            "student": 0.0,
        }


def test_folder_without_a_study_is_refused_before_planning(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no study here"):
        Study.read(write_study(tmp_path / "s.yaml")).run(tmp_path / "out", reuse=[tmp_path / "nothing"])
    assert not (tmp_path / "out").exists()
