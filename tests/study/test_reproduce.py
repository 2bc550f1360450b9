"""Reproducing a run, and the summary of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.errors import RequestError
from distillab.study.planning.outline import make_plan
from distillab.study.planning.summary import summarize_plan
from distillab.study.running import reproduce
from support.studies import (
    CPU,
    Undisturbed,
    artefacts,
    begin,
    spec,
    states_of,
)


@pytest.mark.parametrize("kind", ["student", "teacher"])
def test_run_is_reproduced_to_the_bit(undisturbed: Undisturbed, kind: str) -> None:
    with undisturbed.folder.ledger() as ledger:
        name = next(
            (cell.run_id if kind == "student" else str(cell.teacher_run)) for cell in ledger.cells()[2:]
        )
    before = artefacts(undisturbed.folder)
    comparison = reproduce(undisturbed.folder, name, "cpu")
    assert comparison.agrees
    assert comparison.difference == 0
    assert comparison.accuracy_before == comparison.accuracy_now
    assert artefacts(undisturbed.folder) == before


def test_only_finished_training_runs_can_be_reproduced(undisturbed: Undisturbed, tmp_path: Path) -> None:
    with undisturbed.folder.ledger() as ledger:
        outputs = str(ledger.cells()[0].outputs)
    with pytest.raises(RequestError, match="not a training run"):
        reproduce(undisturbed.folder, outputs, "cpu")
    with pytest.raises(RequestError, match="no run"):
        reproduce(undisturbed.folder, "unknown", "cpu")
    folder = begin(tmp_path, factors={}, seeds=1)
    with pytest.raises(RequestError, match="has not finished"):
        reproduce(folder, next(iter(states_of(folder))), "cpu")


def test_plan_is_summarized(undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillab.training.numerics.benchmark.TRIAL_SECONDS", 0.01)
    dataset, study = undisturbed.folder.dataset, spec(methods=["kd", "self", "random_teacher"])
    seen = summarize_plan(study, dataset, make_plan(study, dataset, CPU), CPU)
    assert (seen.conditions, seen.cells, seen.arms, seen.seeds) == (2, 16, 4, 2)
    assert seen.images == {
        "train": len(dataset.train),
        "val": len(dataset.val),
        "test": len(dataset.eval["test"]),
    }
    assert seen.runs["student"] == 4 + 8 + 4 + 4
    assert all(seconds > 0 for seconds in seen.seconds.values())
    assert list(seen.recipes) == [20, 40]
