"""Label sets with everything at once: tuning, the factor steps and probes."""

from __future__ import annotations

import pytest

import distillab
from distillab.evidence.schema import read_rows
from support.label_sets import write_label_sets


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> distillab.Finished:
    folder = tmp_path_factory.mktemp("tuned-label-sets")
    write_label_sets(folder / "squares.npz")
    study = distillab.Study(
        study="squares",
        task="multilabel",
        data={"source": "npz", "path": str(folder / "squares.npz")},
        teacher={"model": "convnet3", "provenance": "same"},
        students="convnet3",
        methods=["ce", "kd"],
        factors={"steps": ["x1", "x2"]},
        seeds=1,
        recipe={"steps": 3, "batch_size": 16, "lr": 0.00005, "views": "none"},
        tune={"lr": [0.00005, 0.05], "budget": 2, "seeds": 1},
        evidence={"probes": 1},
    )
    return study.run(folder / "out", executor="inline", device="cpu")


def test_label_sets_are_tuned_on_the_macro_auc_of_val(finished: distillab.Finished) -> None:
    trials = read_rows(finished.folder.tuning_file)
    assert {(row["method"], row["level"]) for row in _with_levels(trials)} == {
        (method, level) for method in ("ce", "kd") for level in (1.0, 2.0)
    }
    assert all(0 <= row["val_score"] <= 1 and row["status"] == "done" for row in trials)
    assert {row["setting"] for row in finished.tables.results} == {"default", "tuned"}
    assert all(row["status"] == "done" and row["macro_auc"] for row in finished.tables.results)


def test_label_sets_have_probes_at_both_settings(finished: distillab.Finished) -> None:
    probed = [row["val_score_doubled"] for row in finished.tables.results]
    assert len(probed) == 8 and None not in probed


def test_label_sets_have_differences_between_lengths(finished: distillab.Finished) -> None:
    rows = [row for row in finished.tables.level_effects if row["metric"] == "macro_auc"]
    assert {(row["setting"], row["level"], row["reference"]) for row in rows} == {
        ("default", "2", "1"),
        ("tuned", "2", "1"),
    }


def _with_levels(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [row | {"level": row["factor.steps"]} for row in rows]
