"""Controls that the conclusions of a study need, and what is stated where one is missing."""

from __future__ import annotations

from typing import Any

import pytest

from distillab.study.planning.summary import summarize_plan
from distillab.study.spec.controls import RELABELLING, control_labels, missing_controls
from support.studies import CPU, dataset, plan, spec

CONTROL = {"hard_labels": {"ce_weight": 0, "hard_weight": 1}}
NOISE: dict[str, Any] = {"label_noise": [0.0, 0.4]}
CLEAN: dict[str, Any] = {"teacher": {"provenance": "full"}, "factors": NOISE, "methods": ["ce", "kd"]}

NEED_IT: dict[str, dict[str, Any]] = {
    "a full teacher": {},
    "a full teacher among others": {"teacher": {"provenance": ["same", "full"]}},
    "hard labels beside the labels": {"methods": ["kd", "hard_labels"]},
    "noise in val too": {"factors": {"label_noise": {"levels": [0.4], "roles": ["transfer", "val"]}}},
    "another factor first": {"factors": {"size": [8], **NOISE}},
    "noise of a kind": {"factors": {"label_noise": {"levels": [0.4], "kind": "pair"}}},
}
DO_NOT: dict[str, dict[str, Any]] = {
    "the control is there": {"methods": ["kd", CONTROL]},
    "a teacher of the same labels": {"teacher": {"provenance": "same"}},
    "no noise": {"factors": {"size": [8]}},
    "no noise at any level": {"factors": {"label_noise": [0.0]}},
    "no distilled student": {"methods": ["ce", "label_smoothing", "self"]},
    "the teacher's labels are wrong too": {
        "factors": {"label_noise": {"levels": [0.4], "roles": ["transfer", "teacher"]}}
    },
    "noise in val alone": {"factors": {"label_noise": {"levels": [0.4], "roles": ["val"]}}},
}


@pytest.mark.parametrize("name", NEED_IT)
def test_missing_relabelling_control_is_stated(name: str) -> None:
    [sentence] = missing_controls(spec(**{**CLEAN, **NEED_IT[name]}))
    assert "gains may be relabelling alone" in sentence and RELABELLING in sentence


@pytest.mark.parametrize("name", DO_NOT)
def test_studies_that_need_no_relabelling_control_have_no_note(name: str) -> None:
    assert missing_controls(spec(**{**CLEAN, **DO_NOT[name]})) == []


def test_control_is_named_as_one_under_noise_alone() -> None:
    label = "hard_labels(ce_weight=0, hard_weight=1)"
    methods = {"methods": ["ce", "kd", CONTROL, "label_smoothing"]}
    assert control_labels(spec(**{**CLEAN, **methods})) == ["ce", label, "label_smoothing"]
    assert label not in control_labels(spec(**{**CLEAN, **methods, "factors": {}}))


def test_plan_prints_the_missing_control() -> None:
    study = spec(**CLEAN)
    notes = summarize_plan(study, dataset(classes=4), plan(**CLEAN), CPU).notes
    assert missing_controls(study)[0] in notes
