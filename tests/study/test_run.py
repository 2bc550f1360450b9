"""Running a study: every cell is a row, and the rows agree with what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distillab.artefacts import LOGITS, load_logits
from distillab.evidence.measurements import Measurements
from distillab.evidence.results import write_tables
from distillab.factors import Manipulation, Size
from distillab.models import InputSpec, build_model
from distillab.report.collect import collect_contents
from distillab.report.page.page import run_counts
from distillab.study.running import outcome
from distillab.study.status import study_status
from support.studies import (
    Undisturbed,
    begin,
    numbers,
    run_here,
    states_of,
)


def test_every_cell_is_a_row_in_planned_order(undisturbed: Undisturbed) -> None:
    with undisturbed.folder.ledger() as ledger:
        cells = ledger.cells()
    assert len(undisturbed.rows) == len(cells) == 16
    for row, cell in zip(undisturbed.rows, cells, strict=True):
        assert row["status"] == "done"
        assert row["run_id"] == cell.run_id
        assert row["factor.size"] == cell.levels["size"]
        assert all(row[name] == getattr(cell, name) for name in ("provenance", "method", "seed", "student"))
        assert row["n_train"] == 4 * cell.levels["size"]
        assert 0 <= row["accuracy"] <= 1
        assert row["train_seconds"] > 0


def test_rows_agree_with_the_stored_logits(undisturbed: Undisturbed) -> None:
    folder = undisturbed.folder
    test = folder.dataset.eval["test"]
    with folder.ledger() as ledger:
        cells = ledger.cells()
    for row, cell in zip(undisturbed.rows, cells, strict=True):
        student = load_logits(folder.store.folder("student", cell.run_id) / LOGITS)
        outputs = load_logits(folder.store.folder("outputs", str(cell.outputs)) / LOGITS)["test"]
        record = folder.store.run_record("student", cell.run_id)
        last, chosen = (student[f"test.{which}"].argmax(1) for which in ("last", "selected"))
        assert row["accuracy"] == pytest.approx((last == test.labels).mean())
        assert row["accuracy_selected"] == pytest.approx((chosen == test.labels).mean())
        assert row["agreement"] == pytest.approx((last == outputs.argmax(1)).mean())
        assert row["teacher_accuracy"] == pytest.approx((outputs.argmax(1) == test.labels).mean())
        teacher = folder.store.run_record("teacher", str(cell.teacher_run))
        assert row["teacher_accuracy"] == pytest.approx(teacher.accuracy["test"])
        assert (row["params"], row["macs"], row["epochs"]) == (record.params, record.macs, record.epochs)
        assert row["n_test"] == len(test)


def test_plain_run_is_a_row_under_every_provenance(undisturbed: Undisturbed) -> None:
    plain = [row for row in undisturbed.rows if row["method"] == "ce"]
    by_run: dict[str, list[Any]] = {}
    for row in plain:
        by_run.setdefault(row["run_id"], []).append((row["accuracy"], row["nll"], row["ece"]))
    assert len(by_run) == 4
    assert all(len(found) == 2 and found[0] == found[1] for found in by_run.values())


def test_class_accuracies_are_of_the_last_weights(undisturbed: Undisturbed) -> None:
    measured = Measurements(undisturbed.folder)
    test = undisturbed.folder.dataset.eval["test"]
    for cell, row in zip(measured.cells, undisturbed.rows, strict=True):
        accuracies = measured.per_class(cell)
        assert accuracies is not None
        assert [count for _, count in accuracies.values()] == test.counts.tolist()
        shares = [accuracy for accuracy, _ in accuracies.values()]
        assert np.average(shares, weights=test.counts) == pytest.approx(row["accuracy"])


def test_outcome_and_status_count_all_jobs(undisturbed: Undisturbed) -> None:
    ended = outcome(undisturbed.folder)
    assert (ended.done, ended.failed, ended.excluded, ended.open, ended.failures) == (12, 0, 0, 0, ())
    assert ended.complete
    status = study_status(undisturbed.folder.path)
    assert status.share_done == 1
    assert status.jobs == {"teacher": {"done": 6}, "outputs": {"done": 8}, "student": {"done": 12}}
    assert status.failures == ()


def test_factors_change_the_test_sets_of_students_and_not_of_teachers(tmp_path: Path) -> None:
    factors = {"size": {"levels": [5], "roles": ["val", "eval"]}}
    folder = begin(tmp_path, factors=factors, seeds=1, teacher={"provenance": "full"})
    rows = run_here(folder)
    assert [row["n_test"] for row in rows] == [20, 20]
    with folder.ledger() as ledger:
        cell = ledger.cells()[-1]
    store, dataset = folder.store, folder.dataset
    shapes = {
        kind: len(next(iter(load_logits(store.folder(kind, getattr(cell, key)) / LOGITS).values())))
        for kind, key in (("student", "run"), ("outputs", "outputs"), ("teacher", "teacher_run"))
    }
    assert shapes == {"student": 20, "outputs": 20, "teacher": len(dataset.eval["test"])}
    # The score of a teacher is a multiple of 1 / (all val examples), not of 1 / 20.
    score = store.run_record("teacher", str(cell.teacher_run)).curve[-1].val_accuracy
    assert 0 < score < 1
    assert score * len(dataset.val) == pytest.approx(round(score * len(dataset.val)))
    assert score * 20 != pytest.approx(round(score * 20))


def test_no_draft_is_left_behind(undisturbed: Undisturbed) -> None:
    assert [path for path in (undisturbed.folder.store.root / "drafts").rglob("*") if path.is_file()] == []


def test_second_run_of_a_study_gives_the_same_numbers(
    undisturbed: Undisturbed, tmp_path: Path, ran: list[str]
) -> None:
    """Even if the caller's torch has another number of threads and another random state."""
    threads = torch.get_num_threads()
    torch.manual_seed(99)
    torch.set_num_threads(2)
    try:
        folder = begin(tmp_path, study="the same by another name", notes="as before")
        rows = run_here(folder)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [row | {"study": "small"} for row in numbers(rows)] == numbers(undisturbed.rows)
    assert sorted(ran) == sorted(states_of(folder))


def test_external_teacher_teaches(tmp_path: Path) -> None:
    save_file(
        build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8)).state_dict(),
        tmp_path / "w.safetensors",
    )
    teacher = {"provenance": ["external", "full"], "weights": "w.safetensors", "at_chance": "continue"}
    rows = run_here(begin(tmp_path, teacher=teacher, factors={}, seeds=1))
    assert [row["status"] for row in rows] == ["done"] * 4
    assert len({row["teacher_kl"] for row in rows if row["method"] == "kd"}) == 2


def test_run_id_depends_on_the_weights_and_not_on_their_path(tmp_path: Path) -> None:
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8))
    found = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        save_file(network.state_dict(), tmp_path / place / "w.safetensors")
        folder = begin(
            tmp_path / place,
            teacher={
                "provenance": "external",
                "weights": str(tmp_path / place / "w.safetensors"),
                "at_chance": "continue",
            },
            factors={},
            seeds=1,
        )
        found.append([row["run_id"] for row in run_here(folder)])
    assert found[0] == found[1]


def test_accuracy_of_rare_classes_is_measured_where_classes_are_unequal(tmp_path: Path) -> None:
    factors = {"imbalance": [1, 2]}
    rows = run_here(begin(tmp_path, factors=factors, teacher={"provenance": "full"}, seeds=1))
    assert [(row["factor.imbalance"], row["tail_accuracy"] is None) for row in rows] == [
        (1, True),
        (1, True),
        (2, False),
        (2, False),
    ]


def test_excluded_cells_are_rows_without_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            Size,
            "check",
            lambda self, before, after: Manipulation("size", "images a class", self.level, 5, 0),
        )
        folder = begin(tmp_path, seeds=1, teacher={"provenance": "full"})
    rows = run_here(folder)
    assert [(row["factor.size"], row["status"]) for row in rows] == [
        (5, "done"),
        (5, "done"),
        (10, "excluded"),
        (10, "excluded"),
    ]
    assert {(row["run_id"], row["accuracy"]) for row in rows[2:]} == {("", None)}
    assert outcome(folder).excluded == 2
    contents = collect_contents(folder, write_tables(folder))
    assert run_counts(contents)["excluded"] == 2
