"""The key ``curves`` of a study: what its networks keep while they train, in records, files and a table."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distillab.artefacts import CURVE_LOGITS, RECORD, RunRecord, load_logits
from distillab.errors import RequestError
from distillab.evidence.results import Tables, write_tables
from distillab.evidence.schema import read_rows
from distillab.evidence.training_curves import write_curves
from distillab.report.collect.study import collect_contents
from distillab.study.folder import StudyFolder
from support.damage import forget_digests
from support.studies import CPU, begin, numbers, plan, rows_of, run_here, spec

ONE = {"factors": {"size": [5]}, "teacher": {"provenance": "full"}, "recipe": {"steps": 6}}
KEPT = {"test": True, "logits": "1 MB"}
NETWORKS = 6  # two seeds of ce and kd, each with a teacher


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study that kept curves on its test set."""
    folder = begin(tmp_path_factory.mktemp("curves"), **ONE, curves=KEPT)
    run_here(folder)
    write_curves(folder)
    return folder


def records(folder: StudyFolder) -> dict[Path, RunRecord]:
    """Return the records of all networks, by their folder."""
    found = sorted(folder.store.root.glob(f"*/*/{RECORD}"))
    return {file.parent: RunRecord.read(file.parent) for file in found if file.parts[-3] != "outputs"}


def test_curves_are_part_of_neither_run_ids_nor_identity() -> None:
    assert plan(**ONE, curves=KEPT).jobs.keys() == plan(**ONE).jobs.keys()
    assert spec(**ONE, curves=KEPT).identity == spec(**ONE).identity
    assert "curves" not in spec(**ONE, curves={"test": False, "logits": 0}).canonical()
    assert spec(**ONE, curves=KEPT).canonical()["curves"] == {"test": True, "logits": 10**6}


def test_study_gives_the_same_results_with_and_without_curves(kept: StudyFolder, tmp_path: Path) -> None:
    without = run_here(begin(tmp_path, **ONE))
    assert numbers(rows_of(kept)) == numbers(without)


def test_every_network_keeps_its_curve_within_the_budget(kept: StudyFolder) -> None:
    found = records(kept)
    assert len(found) == NETWORKS
    for folder, record in found.items():
        assert record.curve[-1].test == record.accuracy
        assert len(load_logits(folder / CURVE_LOGITS)) == len(record.curve)
    assert max(len(record.curve) for record in found.values()) > 1


def test_networks_share_the_budget(kept: StudyFolder, tmp_path: Path) -> None:
    per_point = next(iter(load_logits(next(iter(records(kept))) / CURVE_LOGITS).values())).nbytes
    folder = begin(tmp_path, **ONE, curves={"test": True, "logits": NETWORKS * per_point + 1})
    run_here(folder)
    files = list(folder.store.root.glob(f"*/*/{CURVE_LOGITS}"))
    assert [len(load_logits(file)) for file in files] == [1] * NETWORKS


def test_table_of_curves_holds_every_point_of_every_network(kept: StudyFolder) -> None:
    rows = read_rows(kept.curves_file)
    points = {
        (folder.name, point.epoch, split): score
        for folder, record in records(kept).items()
        for point in record.curve
        for split, score in {"val": point.val_accuracy, **point.test}.items()
    }
    assert {(row["run_id"], row["epoch"], row["split"]): row["score"] for row in rows} == points
    assert {row["kind"] for row in rows} == {"teacher", "student"}
    assert all(row["step"] > 0 and row["seconds"] > 0 for row in rows)
    ids = {row["run_id"] for row in rows_of(kept)} | {row["teacher_run"] for row in rows_of(kept)}
    assert {row["run_id"] for row in rows} == ids


def test_results_and_effects_do_not_read_the_test_curve(kept: StudyFolder) -> None:
    def tables() -> tuple[Any, Any]:
        write_tables(kept)
        return read_rows(kept.results_file), read_rows(kept.effects_file)

    before, originals = tables(), records(kept)
    for folder, record in originals.items():
        spoilt = [replace(point, test={"test": math.nan}) for point in record.curve]
        forget_digests(folder)
        replace(record, curve=tuple(spoilt)).write(folder)
    after = tables()
    for folder, record in originals.items():
        record.write(folder)
    assert after == before


def test_folder_of_a_study_without_curves_continues_with_them(tmp_path: Path) -> None:
    before = begin(tmp_path, **ONE)
    run_here(before)
    again = StudyFolder.begin(before.path, spec(**ONE, curves=KEPT), CPU)
    write_curves(again)
    assert again.spec.curves.test
    assert {row["split"] for row in read_rows(again.curves_file)} == {"val"}


def test_records_of_an_early_version_give_a_table(tmp_path: Path) -> None:
    folder = begin(tmp_path, **ONE)
    run_here(folder)
    for place in records(folder):
        values = json.loads((place / RECORD).read_text())
        values.pop("schema"), values.pop("overhead")
        early = ("epoch", "losses", "val_accuracy")
        values["curve"] = [{key: point[key] for key in early} for point in values["curve"]]
        forget_digests(place)
        (place / RECORD).write_text(json.dumps(values))
    write_curves(folder)
    assert {(row["step"], row["split"]) for row in read_rows(folder.curves_file)} == {(0, "val")}


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({"logits": "1 MB"}, "set test: true"),
        ({"test": True, "logits": "1 lightyear"}, "not an amount of bytes"),
        ({"test": True, "logits": -1}, "curves.logits"),
        ({"tests": True}, "unknown key 'tests'"),
        ({"test": "perhaps"}, "curves.test"),
        ("all", "curves"),
    ],
)
def test_wrong_curves_are_refused(curves: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        spec(curves=curves)
    assert str(caught.value).startswith("study.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("test", [True, False])
def test_report_states_when_test_sets_are_evaluated(test: bool, tmp_path: Path) -> None:
    folder = begin(tmp_path, **ONE, curves={"test": test})
    [note, *_] = collect_contents(folder, Tables([], [])).statistics.notes
    assert ("at each point of the validation curve" in note) is test
    assert ("once, after training" in note) is not test
