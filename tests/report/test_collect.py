"""What the report of a real study is about: its baseline, its pairs, its runs and its seconds."""

from __future__ import annotations

import pytest

import distillab
from distillab.evidence.results import Tables
from distillab.evidence.schema import read_rows
from distillab.report.collect.study import collect
from distillab.report.contents.study import ReportContents
from distillab.report.page.page import render

METHODS = ["ce", "label_smoothing", "kd", "dkd"]


def study(**changes: object) -> distillab.Study:
    values = {
        "study": "tiny",
        "data": {"source": "digits", "classes": 3},
        "teacher": {"model": "resnet8"},
        "students": "resnet8",
        "methods": METHODS,
        "factors": {"size": [5, 10]},
        "seeds": 2,
        "recipe": {"steps": 2, "batch_size": 8},
    }
    return distillab.Study(**values | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> distillab.Finished:
    """A study whose gains are those over label smoothing."""
    out = tmp_path_factory.mktemp("collect") / "out"
    return study(evidence={"baselines": ["label_smoothing", "ce"]}).run(out, executor="inline")


@pytest.fixture(scope="module")
def contents(finished: distillab.Finished) -> ReportContents:
    return collect(finished.folder, finished.tables)


def test_the_whole_page_is_about_the_baseline_that_was_asked_for(contents: ReportContents) -> None:
    assert contents.baseline == "label_smoothing"
    assert {curve.name for panel in contents.doses for curve in panel.gains} >= {"kd", "dkd"}
    assert {
        curve.name for panel in contents.doses for curve in panel.accuracies if curve.role == "plain"
    } == {"label_smoothing"}
    assert {panel.method for panel in contents.class_panels} == {"ce", "kd", "dkd"}
    assert "Distillation (ce" not in contents.answer.headline
    html = render(contents)
    assert "There is no gain to judge" not in html
    assert "No gain could be computed" not in html


def test_a_pair_is_that_of_the_first_method_where_both_are_done(
    finished: distillab.Finished, contents: ReportContents
) -> None:
    """The best of many methods would be chosen on test images, and a method that failed in hard conditions
    must not be compared with a twin that did not."""
    rows = read_rows(finished.folder.results_file)
    [pair] = contents.pairs
    assert pair.distilled_method == "kd"
    for row in rows:
        if row["method"] == "kd" and row["factor.size"] == 5:
            row["status"] = "failed"
    [some] = collect(finished.folder, Tables(rows, finished.tables.effects)).pairs
    twins = [
        row["accuracy"] for row in rows if row["factor.size"] == 10 and row["method"] == "label_smoothing"
    ]
    assert some.plain_accuracy == pytest.approx(sum(twins) / 2)
    assert some.distilled_method == "kd"


def test_seconds_of_teacher_outputs_are_those_of_teachers(contents: ReportContents) -> None:
    assert {cost.kind for cost in contents.costs} == {"teacher", "teacher outputs", "student"}


def test_where_val_comes_from_is_told(contents: ReportContents) -> None:
    [val] = [role for role in contents.roles if role.name == "val"]
    assert "carved from the training images" in val.filled_by
