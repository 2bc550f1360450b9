"""A study without factors of recordings from two sites: scores per site, and the site-only baseline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import distillab
from distillab.evidence.schema import read_rows
from distillab.report import render
from distillab.report.collect import collect_contents
from support.contributions import metrics_over_examples
from support.recordings import write_cinc2016


def run_study(folder: Path, kept_labels: dict[str, set[str]]) -> distillab.Finished:
    """Run a study of records from two sites, of which those with the given labels are kept."""
    write_cinc2016(folder / "heart", each=20, seconds=0.6)
    for site, labels in kept_labels.items():
        table = folder / "heart" / f"training-{site}" / "REFERENCE.csv"
        kept = [line for line in table.read_text().splitlines() if line.rpartition(",")[2] in labels]
        table.write_text("\n".join(kept))
    study = distillab.Study(
        study="sites",
        task="balanced_classification",
        data={
            "source": "cinc2016",
            "path": str(folder / "heart"),
            "seconds": 0.25,
            "segments": 2,
            "vote": True,
            "n_mels": 12,
            "test": 0.4,
        },
        teacher={"model": "resnet8", "provenance": "full"},
        students="resnet8",
        methods=["ce", "kd"],
        seeds=2,
        recipe={"steps": 4, "batch_size": 8},
    )
    return study.run(folder / "out", executor="inline")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> distillab.Finished:
    return run_study(tmp_path_factory.mktemp("sites"), {"b": {"1"}})  # all records of site b are abnormal


def test_each_run_has_a_score_per_site(finished: distillab.Finished) -> None:
    rows = read_rows(finished.folder.groups_file)
    test = finished.folder.dataset.eval["test"]
    results = {row["run_id"]: row for row in finished.tables.results}
    assert len(rows) == 2 * len(results) == 8
    assert test.groups is not None
    for row in rows:
        assert row["metric"] == "balanced_accuracy"
        number = test.group_names.index(row["group"])
        assert row["n_test"] == (test.groups == number).sum()
        run = results[row["run_id"]]
        assert (row["method"], row["seed"], row["student"]) == (run["method"], run["seed"], run["student"])
        if row["group"] == "training-b":
            assert row["score"] is None, "a site with one class has no balanced accuracy"
        else:
            assert 0 <= row["score"] <= 1


def test_mean_over_sites_is_one_over_test_records(finished: distillab.Finished) -> None:
    assert "group_balanced_accuracy" in metrics_over_examples(finished.folder)
    for row in finished.tables.effects:
        if row["metric"] == "group_balanced_accuracy":
            assert row["ci_low_same_runs"] is not None


def test_sites_of_one_class_each_have_no_mean(tmp_path: Path) -> None:
    tables = run_study(tmp_path, {"a": {"-1"}, "b": {"1"}}).tables
    assert all(np.isnan(row["group_balanced_accuracy"]) for row in tables.results)
    metrics = {row["metric"] for row in tables.effects}
    assert "balanced_accuracy" in metrics and "group_balanced_accuracy" not in metrics


def test_report_has_scores_per_site_and_the_site_only_baseline(finished: distillab.Finished) -> None:
    contents = collect_contents(finished.folder, finished.tables)
    assert {(each.method, each.group) for each in contents.groups} == {
        (method, f"training-{site}") for method in ("ce", "kd") for site in "ab"
    }
    rows = read_rows(finished.folder.groups_file)
    of_ce = [row["score"] for row in rows if row["method"] == "ce" and row["group"] == "training-a"]
    [shown] = [each for each in contents.groups if (each.method, each.group) == ("ce", "training-a")]
    assert shown.score == pytest.approx(np.mean(of_ce))
    page = render(contents)
    assert 'id="groups-table"' in page and 'id="groups-title"' in page
    assert page.count("Group-only baseline: predicting each test example by") == 2
    assert contents.group_baseline is not None and contents.group_baseline.score > 0.6


def test_json_has_the_site_only_baseline(finished: distillab.Finished) -> None:
    printed = json.loads(json.dumps(distillab.report(finished.folder.path).as_dict()))
    assert printed["group_baseline"].keys() == {"metric", "score", "without_groups", "n_groups"}
    assert printed["group_baseline"]["n_groups"] == 2
    assert printed["group_baseline"]["without_groups"] == 0.5
