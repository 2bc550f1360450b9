"""Tuning that leaves a few finalists, which alone are compared over the seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.api import Study
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.study.running.tuning import finalists_of
from distillab.study.spec.study import parse_study
from distillab.study.trial import Choice, GroupKey, Setting
from support.tuning import tuned_study

METHODS = ["ce", "kd", {"kd": {"temperature": 1.0}}, "label_smoothing"]


def choice(score: float | None) -> Choice:
    return Choice(0, Setting(0.1, 1.0, 0.0), score, 2)


def key(method: str, student: str = "resnet8", provenance: str = "full") -> GroupKey:
    return ("", provenance, student, method)


def test_only_the_best_method_is_compared_over_the_seeds(tmp_path: Path) -> None:
    values = tuned_study(methods=METHODS)
    values["tune"] = {**values["tune"], "finalists": 1, "default_runs": False}
    ended = Study(**values).run(tmp_path, executor="inline", device="cpu")
    trials = read_rows(ended.folder.tuning_file)
    chosen = [row for row in trials if row["method"] != "ce" and row["chosen"]]
    best = max(chosen, key=lambda row: row["val_score"])
    assert {row["method"] for row in trials} == {"ce", "kd", "kd(temperature=1)", "label_smoothing"}
    assert {row["method"] for row in ended.tables.results} == {"ce", best["method"]}
    assert {row["method"] for row in ended.tables.effects} == {best["method"]}
    assert ended.outcome.complete and ended.outcome.held == 0
    again = Study(**values).run(tmp_path, executor="inline", device="cpu")
    assert again.tables.effects == ended.tables.effects


def test_students_are_ranked_together_and_keep_their_plain_student() -> None:
    choices = {
        key("ce"): choice(0.9),
        key("kd"): choice(0.5),
        key("ce", "wide"): choice(0.4),
        key("kd", "wide"): choice(0.7),
    }
    assert finalists_of(choices, 1) == {key("kd", "wide"), key("ce", "wide")}
    assert finalists_of(choices, 2) == set(choices)


def test_each_provenance_has_finalists_of_its_own() -> None:
    choices = {key("kd"): choice(0.5), key("dkd"): choice(0.6)}
    choices |= {key("kd", provenance="same"): choice(0.7), key("dkd", provenance="same"): choice(0.6)}
    found = finalists_of(choices, 1)
    assert {each for each in found if each[3] != "ce"} == {key("dkd"), key("kd", provenance="same")}


def test_a_method_whose_trials_all_diverged_is_no_finalist() -> None:
    assert finalists_of({key("kd"): choice(None), key("dkd"): choice(0.1)}, 2) == {key("dkd"), key("ce")}


def test_default_runs_exclude_finalists() -> None:
    values = tuned_study()
    values["tune"] = {**values["tune"], "finalists": 1, "default_runs": True}
    with pytest.raises(RequestError, match="default_runs: false"):
        parse_study(values, Path.cwd(), "study.yaml")


def test_a_study_without_the_key_keeps_its_identity() -> None:
    values = tuned_study()
    spec = parse_study(values, Path.cwd(), "study.yaml")
    assert "finalists" not in spec.canonical()["tune"]
    written = parse_study({**values, "tune": {**values["tune"], "finalists": None}}, Path.cwd(), "study.yaml")
    assert written.identity == spec.identity
