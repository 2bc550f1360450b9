"""The contents of the report of a real study: its baseline, pairs, runs and costs."""

from __future__ import annotations

import pytest

import distillab
from distillab.evidence import Tables, read_rows
from distillab.report import ReportContents, render
from distillab.report.collect import collect_contents

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
    return collect_contents(finished.folder, finished.tables)


def test_whole_page_uses_the_first_baseline(contents: ReportContents) -> None:
    assert contents.baseline == "label_smoothing"
    assert {curve.name for panel in contents.doses for curve in panel.gains} >= {"kd", "dkd"}
    plain = {curve.name for panel in contents.doses for curve in panel.scores if curve.role == "plain"}
    assert plain == {"label_smoothing"}
    assert {panel.method for panel in contents.class_panels} == {"ce", "kd", "dkd"}
    assert contents.class_panels[-1].method == "ce"  # controls come last
    assert "istillation (ce" not in contents.answer.headline
    html = render(contents)
    assert "No gain can be computed" not in html


def test_pair_is_that_of_the_first_method_where_both_runs_are_done(
    finished: distillab.Finished, contents: ReportContents
) -> None:
    """The best of many methods would be selected on test data, and a method that failed in hard conditions
    must not be compared with plain students that did not."""
    rows = read_rows(finished.folder.results_file)
    [pair] = contents.pairs
    assert pair.distilled_method == "kd"
    for row in rows:
        if row["method"] == "kd" and row["factor.size"] == 5:
            row["status"] = "failed"
    [some] = collect_contents(finished.folder, Tables(rows, finished.tables.effects)).pairs
    plain = [
        row["accuracy"] for row in rows if row["factor.size"] == 10 and row["method"] == "label_smoothing"
    ]
    assert some.plain_score == pytest.approx(sum(plain) / 2)
    assert some.distilled_method == "kd"


def test_costs_list_teacher_outputs_apart(contents: ReportContents) -> None:
    assert {cost.kind for cost in contents.costs} == {"teacher", "teacher outputs", "student"}


def test_teachers_have_the_metrics_of_the_task(contents: ReportContents) -> None:
    for teacher in contents.teachers:
        assert {"accuracy", "nll", "ece", "brier"} <= teacher.measures.keys()


def test_origin_of_val_is_stated(contents: ReportContents) -> None:
    [val] = [role for role in contents.roles if role.name == "val"]
    assert "carved from the training examples" in val.filled_by
