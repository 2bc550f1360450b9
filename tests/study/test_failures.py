"""Failed runs: they are kept with their cause, the study goes on, and they can be retried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from distillab import cli
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.running import job_runner as jobs
from support.studies import (
    Undisturbed,
    artefacts,
    begin,
    numbers,
    rows_of,
    run_here,
    write_study,
)


def test_diverging_run_fails_and_the_study_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ran: list[str]
) -> None:
    methods = ["ce", "kd", {"kd": {"kd_weight": 1e40}}]  # more than float32 holds
    path = write_study(
        tmp_path / "study.yaml", methods=methods, factors={"size": [5]}, teacher={"provenance": "full"}
    )
    command = ["run", str(path), "--out", str(tmp_path / "dir"), "--executor", "inline"]
    assert cli.execute(command) == 1
    printed = capsys.readouterr()
    assert "4 runs done, 2 failed" in printed.out
    assert printed.err.count("DivergenceError: the loss is not finite") == 2
    folder = StudyFolder.open(tmp_path / "dir")
    rows = rows_of(folder)
    bad = [row for row in rows if row["method"].startswith("kd(kd_weight=")]
    assert [row["status"] for row in bad] == ["failed", "failed"]
    assert {row["accuracy"] for row in bad} == {None}
    assert {row["status"] for row in rows if row not in bad} == {"done"}
    assert "DivergenceError" in folder.report_file.read_text()
    assert not any(folder.store.has("student", row["run_id"]) for row in bad)

    assert len(ran) == 2 + 2 + 6
    assert cli.execute(command) == 1
    assert len(ran) == 10  # failed runs are not retried by default ...
    assert cli.execute([*command, "--retry-failed"]) == 1
    assert len(ran) == 10 + 2  # ... but with --retry-failed
    assert [row["status"] for row in rows_of(folder) if row["method"] != "ce"].count("failed") == 2


def test_dependents_of_a_failed_teacher_fail_and_are_retried_with_it(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begin(tmp_path)
    real = jobs.train_teacher

    def broken(draft: Path, model: str, sets: Any, *args: Any, **keys: Any) -> Any:
        if len(sets.train) > 100:  # the teacher trained on all data
            raise RuntimeError("out of luck")
        return real(draft, model, sets, *args, **keys)

    monkeypatch.setattr(jobs, "train_teacher", broken)
    rows = run_here(folder)
    failed = [row for row in rows if row["status"] == "failed"]
    assert [(row["method"], row["provenance"]) for row in failed] == [("kd", "full")] * 4
    with folder.ledger() as ledger:
        errors = {failure.kind: failure.error for failure in ledger.failures()}
        assert errors["teacher"].startswith("RuntimeError: out of luck (test_failures.py:")
        assert "which failed: RuntimeError: out of luck" in errors["student"]
        monkeypatch.undo()
        before = artefacts(folder)
        assert ledger.retry_failed() == 10  # two teachers, four outputs, four students
    assert numbers(run_here(folder)) == numbers(undisturbed.rows)
    assert before.items() <= artefacts(folder).items()


def test_weights_changed_since_the_plan_fail_the_run(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_file(build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8)).state_dict(), weights)
    teacher = {"provenance": "external", "weights": "w.safetensors", "at_chance": "continue"}
    folder = begin(tmp_path, teacher=teacher, factors={}, seeds=1)
    save_file(build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8)).state_dict(), weights)
    rows = run_here(folder)
    assert {row["method"]: row["status"] for row in rows} == {"ce": "done", "kd": "failed"}
    with folder.ledger() as ledger:
        assert "does not hold the weights" in ledger.failures()[0].error
