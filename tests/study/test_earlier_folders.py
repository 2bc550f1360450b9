"""Folders keep what their study file leaves open, also those of versions in which it had other defaults."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.spec.study import parse_study
from support.studies import CPU, EARLIER, begin, plan, run_here, states_of, study

FULL: dict[str, Any] = {"teacher": {"provenance": "full"}, "factors": {}, "methods": ["ce", "kd"]}


def make_older(folder: StudyFolder) -> None:
    """Turn a folder into one that a version before ``draws`` wrote."""
    values = yaml.safe_load(folder.study_file.read_text())
    del values["draws"]
    folder.study_file.write_text(yaml.safe_dump(values, sort_keys=False))
    with sqlite3.connect(folder.ledger_file) as ledger:
        assert ledger.execute("DELETE FROM meta WHERE key = 'choices'").rowcount == 1


def as_earlier(**changes: Any) -> dict[str, Any]:
    """Return values of a study with the earlier defaults written out."""
    values = FULL | {"draws": EARLIER["draws"]} | changes
    return values | {"teacher": values["teacher"] | EARLIER["teacher"]}


def test_folder_states_what_the_plan_chose(tmp_path: Path) -> None:
    folder = begin(tmp_path, **FULL)
    held = yaml.safe_load(folder.study_file.read_text())
    assert held["teacher"]["replicates"] == "each"
    assert held["draws"] == {"views": "seed", "split": "seed"}
    assert list(states_of(folder)) == list(plan(**FULL).jobs)
    assert parse_study(held, tmp_path, "copy").identity == folder.spec.identity


@pytest.mark.parametrize("teacher", [{}, {"recipe": {"steps": 30}}, {"replicates": "auto"}])
def test_folder_is_continued_with_the_file_it_was_made_with(tmp_path: Path, teacher: dict[str, Any]) -> None:
    changes = FULL | {"teacher": FULL["teacher"] | teacher, "seeds": 4}
    first = begin(tmp_path, **changes)
    before, text = states_of(first), first.study_file.read_text()
    again = begin(tmp_path, **changes)
    assert states_of(again) == before
    assert again.study_file.read_text() == text


def test_folder_refuses_another_number_of_teachers(tmp_path: Path) -> None:
    begin(tmp_path, **FULL)
    with pytest.raises(RequestError, match="another study"):
        begin(tmp_path, **FULL | {"teacher": FULL["teacher"] | {"replicates": 1}})


def test_folder_of_an_earlier_version_is_resumed_and_reported(tmp_path: Path) -> None:
    folder = begin(tmp_path, **as_earlier())
    make_older(folder)
    assert (folder.spec.teacher.replicates, folder.spec.draws.views) == (1, "shared")
    planned = list(states_of(folder))
    resumed = begin(tmp_path, **FULL)  # the file leaves open what has another default now
    assert list(states_of(resumed)) == planned == list(plan(**as_earlier()).jobs)
    rows = run_here(resumed)
    assert {row["status"] for row in rows} == {"done"}
    assert len({row["teacher_run"] for row in rows}) == 1
    assert yaml.safe_load(resumed.study_file.read_text())["draws"] == EARLIER["draws"]


def test_folder_of_an_earlier_version_keeps_its_five_seeds(tmp_path: Path) -> None:
    values = study(**FULL)
    del values["seeds"]
    assert parse_study(values, tmp_path, "s").seed_list == tuple(range(10))
    earlier = parse_study(study(**as_earlier(), seeds=5), tmp_path, "s")
    make_older(StudyFolder.begin(tmp_path / "dir", earlier, CPU))
    again = StudyFolder.begin(tmp_path / "dir", parse_study(values, tmp_path, "s"), CPU)
    assert again.spec.seed_list == tuple(range(5))


def test_study_with_draws_by_seed_runs(tmp_path: Path) -> None:
    rows = run_here(begin(tmp_path, **FULL | {"seeds": 3}))
    assert {row["status"] for row in rows} == {"done"}
    assert len({row["teacher_run"] for row in rows if row["method"] == "kd"}) == 3
