"""A multi-label study from file to report: macro AUC, labels and label sets."""

from __future__ import annotations

import re

import numpy as np
import pytest

import distillab
from distillab.artefacts import LOGITS, load_logits
from distillab.data.targets import LabelSets
from distillab.evidence import summarize
from distillab.evidence.schema import read_rows
from distillab.report import ReportContents, render
from distillab.report.collect import collect_contents
from distillab.tasks import MultiLabel
from support.label_sets import LABELS, write_label_sets


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> distillab.Finished:
    folder = tmp_path_factory.mktemp("multilabel")
    write_label_sets(folder / "squares.npz")
    study = distillab.Study(
        study="squares",
        task="multilabel",
        data={"source": "npz", "path": str(folder / "squares.npz")},
        teacher={"model": "resnet8", "provenance": "full"},
        students="resnet8",
        methods=["ce", "kd"],
        factors={"label_noise": [0.0, 0.3]},
        seeds=2,
        recipe={"steps": 5, "batch_size": 16},
    )
    return study.run(folder / "out", executor="inline")


@pytest.fixture(scope="module")
def contents(finished: distillab.Finished) -> ReportContents:
    return collect_contents(finished.folder, finished.tables)


def test_results_have_the_metrics_of_the_task(finished: distillab.Finished) -> None:
    assert finished.outcome.failed == 0
    for row in finished.tables.results:
        assert 0 <= row["macro_auc"] <= 1
        assert {"macro_auc_selected", "macro_ap", "worst_label_auc", "teacher_macro_auc"} <= row.keys()
        assert "accuracy" not in row


def test_effects_begin_with_the_primary_metric(finished: distillab.Finished) -> None:
    effects = finished.tables.effects
    first = [row for row in effects if row["metric"] == "macro_auc"]
    assert effects[0]["metric"] == "macro_auc" and len(first) == 2
    assert all(row["teacher_macro_auc"] is not None for row in first)
    assert {row["gap_closed"] for row in effects if row["metric"] != "macro_auc"} == {None}


def test_decision_thresholds_are_selected_on_val(finished: distillab.Finished) -> None:
    folder, row = finished.folder, finished.tables.results[0]
    logits = load_logits(folder.store.folder("student", row["run_id"]) / LOGITS)
    val, test = folder.dataset.val.targets, folder.dataset.eval["test"].targets
    assert isinstance(val, LabelSets) and len(logits["val.last"]) == len(val)
    measured = MultiLabel().measure(logits["test.last"], test, val=(logits["val.last"], val))
    assert {name: row[name] for name in measured} == pytest.approx(measured, nan_ok=True)


def test_headline_is_about_the_primary_metric(finished: distillab.Finished) -> None:
    effect = finished.tables.effects[0] | {"gain": 0.04, "ci_low": 0.02, "ci_high": 0.06, "verdict": "helps"}
    effect |= {"n_pairs": 6, "verdict_family": "helps"}
    answer = summarize([effect], MultiLabel())
    assert answer.headline == "Distillation (kd) improves macro AUC."
    assert answer.sentences[0] == "kd helps: +4.0 points [2.0, 6.0], 6 pairs."


def test_contents_are_about_labels(contents: ReportContents) -> None:
    assert contents.primary.name == "macro_auc"
    assert {gain.name for panel in contents.class_panels for gain in panel.classes} == set(LABELS)
    assert {curve.role for panel in contents.doses for curve in panel.scores} == {
        "teacher",
        "plain",
        "distilled",
    }
    [pair] = contents.pairs
    assert pair.teacher_score is not None and pair.plain_score is not None
    assert all(teacher.measures["macro_auc"] is not None for teacher in contents.teachers)


def test_label_sets_are_written_below_their_examples(contents: ReportContents) -> None:
    [noise] = contents.pictures
    assert noise.several_labels
    sets = {tile.labels for tile in noise.before.tiles}
    assert () in sets and any(len(labels) > 1 for labels in sets)
    assert not any(tile.changed for tile in noise.after[0].tiles)
    assert any(tile.changed for tile in noise.after[1].tiles)
    html = render(contents)
    several = next(labels for labels in sets if len(labels) > 1)
    assert f'<span class="labels" aria-hidden="true" title="{", ".join(several)}">' in html
    assert re.search(r'alt="[a-z, ]+, now labelled [a-z, ]+"', html)
    assert 'alt="no label"' in html


def test_page_is_about_labels_and_macro_auc(contents: ReportContents) -> None:
    html = render(contents)
    for text in ("multilabel", "Gains in macro AUC", "<h3>Labels</h3>", "<b>3</b> labels", "per label"):
        assert text in html, text
    assert "accuracy" not in html.split("<script>")[0].lower()


def test_every_label_has_a_score_per_run(finished: distillab.Finished, contents: ReportContents) -> None:
    rows = read_rows(finished.folder.labels_file)
    test = finished.folder.dataset.eval["test"]
    assert len(rows) == len(LABELS) * len(finished.tables.results)
    for row in finished.tables.results:
        mine = [each for each in rows if (each["run_id"], each["method"]) == (row["run_id"], row["method"])]
        mine = [each for each in mine if each["factor.label_noise"] == row["factor.label_noise"]]
        assert [each["label"] for each in mine] == list(LABELS)
        assert [each["n_test"] for each in mine] == test.counts.tolist()
        assert np.mean([each["score"] for each in mine]) == pytest.approx(row["macro_auc"])
    views = [view for view in contents.labels if view.label == "dot"]
    assert len(views) == 4, "two methods at two levels"
    page = render(contents)
    assert 'id="labels-table"' in page
    assert "AUC of the label, points: mean over seeds" in page
