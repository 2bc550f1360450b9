"""Curves on test sets: what is kept at each point of the validation curve, and that nothing reads it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distillab.artefacts import (
    CURVE_LOGITS,
    LOGITS,
    RECORD,
    SELECTED_WEIGHTS,
    WEIGHTS,
    EpochRecord,
    RunRecord,
    load_logits,
)
from distillab.data.examples import Examples
from distillab.data.targets import Labels
from distillab.methods import parse_method
from distillab.training.loop.cohort import train_cohort
from distillab.training.loop.member import CohortMember
from distillab.training.stages import KeptCurve, StudentSpec, train_student, train_students, train_teacher
from distillab.training.stages.curves import CurveOnTestSets, spread
from support.training import CPU, MODEL, SEEDS, equal, recipe, role_sets

SETS = role_sets(evals=("test", "shifted"))
RECIPE = recipe(epochs=4)
ALL = KeptCurve(test=True, logit_bytes=10**6)
POINT_BYTES = 2 * 30 * 3 * 2  # two test sets of 30 examples, 3 classes, float16

# As version 0.1.0 wrote it, without its less interesting keys.
EARLY_RECORD = """{"model": "resnet8", "params": 78042, "macs": 763520, "epochs": 2, "n_train": 40,
 "seconds": 0.5, "classes": 3, "steps": 8, "selected_epoch": 2,
 "curve": [{"epoch": 1, "losses": {"ce": 1.2}, "val_accuracy": 0.5},
           {"epoch": 2, "losses": {"ce": 0.9}, "val_accuracy": 0.75}],
 "phases": {"forward": 0.2}, "tested": {"test": ["8f0c", "fp32"]}, "accuracy": {"test": 0.7},
 "teacher_images": 0, "teacher_forwards": 0, "cohort": 1}"""


def student(folder: Path, **changes: Any) -> StudentSpec:
    folder.mkdir(parents=True)
    spec = StudentSpec(folder, MODEL, parse_method("ce", "methods"), SETS, RECIPE, SEEDS, keep=ALL)
    return replace(spec, **changes)


def trained(folder: Path, **changes: Any) -> RunRecord:
    return train_student(student(folder, **changes), outputs_folder=None, teacher_folder=None, device=CPU)


def digests(folder: Path) -> dict[str, str]:
    """Return the content of the weights that a run left."""
    files = (folder / WEIGHTS, folder / SELECTED_WEIGHTS)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()}


def course(record: RunRecord) -> list[tuple[int, int, dict[str, float], float]]:
    """Return the points of the validation curve."""
    return [(point.epoch, point.step, point.losses, point.val_accuracy) for point in record.curve]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a student that kept everything."""
    folder = tmp_path_factory.mktemp("curves") / "student"
    trained(folder)
    return folder


def test_curve_ends_where_the_trained_network_is_tested(folder: Path) -> None:
    record, logits = RunRecord.read(folder), load_logits(folder / LOGITS)
    kept = load_logits(folder / CURVE_LOGITS)
    assert [point.epoch for point in record.curve] == list(RECIPE.val_epochs) == [1, 2, 3, 4]
    assert [point.step for point in record.curve] == [4, 8, 12, 16]
    assert record.curve[-1].test == record.accuracy
    for name, which in (("test", "last"), ("shifted", "last"), ("test", "selected")):
        epoch = record.selected_epoch if which == "selected" else record.epochs
        np.testing.assert_array_equal(kept[f"{name}.{epoch}"], logits[f"{name}.{which}"])


def test_scores_of_the_curve_are_those_of_its_logits(folder: Path) -> None:
    kept, labels = load_logits(folder / CURVE_LOGITS), SETS.eval["shifted"].labels
    for point in RunRecord.read(folder).curve:
        right = kept[f"shifted.{point.epoch}"].argmax(1) == labels
        assert point.test["shifted"] == pytest.approx(right.mean())


def test_seconds_of_the_curve_rise_to_those_of_the_training(folder: Path) -> None:
    record = RunRecord.read(folder)
    seconds = [point.seconds for point in record.curve]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] <= seconds[-1] <= record.seconds == pytest.approx(sum(record.phases.values()))
    assert set(record.overhead) == {"building", "test_curve", "testing", "writing"}
    assert all(each >= 0 for each in record.overhead.values())


def _other_labels(images: Examples) -> Examples:
    return replace(images, targets=Labels((images.labels + 1) % 3, 3))


def _other_images(images: Examples) -> Examples:
    return role_sets(n=30).train.select(np.arange(len(images)))


@pytest.mark.parametrize("corrupt", [_other_labels, _other_images])
def test_other_test_sets_change_neither_weights_nor_selection(
    corrupt: Any, folder: Path, tmp_path: Path
) -> None:
    sets = replace(SETS, eval={name: corrupt(images) for name, images in SETS.eval.items()})
    record, before = trained(tmp_path / "other", sets=sets), RunRecord.read(folder)
    assert digests(tmp_path / "other") == digests(folder)
    assert course(record) == course(before)
    assert record.selected_epoch == before.selected_epoch
    assert [point.test for point in record.curve] != [point.test for point in before.curve]


def test_run_without_test_curve_is_the_same_run(folder: Path, tmp_path: Path) -> None:
    record = trained(tmp_path / "plain", keep=KeptCurve())
    assert digests(tmp_path / "plain") == digests(folder)
    assert course(record) == course(RunRecord.read(folder))
    assert (tmp_path / "plain" / LOGITS).read_bytes() == (folder / LOGITS).read_bytes()
    assert not (tmp_path / "plain" / CURVE_LOGITS).exists()
    assert all(point.test == {} for point in record.curve)


def test_callback_that_draws_random_numbers_does_not_change_training() -> None:
    def run(*callbacks: Any) -> dict[str, Tensor]:
        member = CohortMember("resnet8", parse_method("ce", "m"), SETS.train, SETS.val, RECIPE, SEEDS)
        [result] = train_cohort([member], SETS.normalize, device=CPU, on_points=callbacks)
        assert not isinstance(result, Exception)
        return result.last

    seen: list[int] = []

    def watch(network: nn.Module, epoch: int) -> None:
        torch.manual_seed(0)
        torch.rand(7)
        seen.append(epoch)

    assert equal(run(watch), run())
    assert seen == list(RECIPE.val_epochs)


@pytest.mark.parametrize(
    ("points", "kept"), [(0, []), (1, [4]), (2, [2, 4]), (3, [1, 2, 4]), (9, [1, 2, 3, 4])]
)
def test_logits_stay_within_their_budget(points: int, kept: list[int], tmp_path: Path) -> None:
    keep = KeptCurve(test=True, logit_bytes=points * POINT_BYTES + POINT_BYTES // 2)
    record = trained(tmp_path / "student", keep=keep)
    file = tmp_path / "student" / CURVE_LOGITS
    logits = load_logits(file) if file.exists() else {}
    assert sorted(int(name.partition(".")[2]) for name in logits if name.startswith("test")) == kept
    assert sum(each.nbytes for each in logits.values()) == len(kept) * POINT_BYTES
    assert all(len(point.test) == 2 for point in record.curve)


@pytest.mark.parametrize("length", range(1, 12))
@pytest.mark.parametrize("count", range(15))
def test_spread_points_are_distinct_and_end_with_the_last(length: int, count: int) -> None:
    found = spread(range(1, length + 1), count)
    assert found == sorted(set(found))
    assert len(found) == min(count, length)
    assert found[-1:] == ([length] if count else [])


def test_teachers_keep_their_curves_too(tmp_path: Path) -> None:
    record = train_teacher(tmp_path, MODEL, SETS, RECIPE, SEEDS, keep=ALL, device=CPU)
    assert all(set(point.test) == {"test", "shifted"} for point in record.curve)
    assert len(load_logits(tmp_path / CURVE_LOGITS)) == 2 * len(record.curve)


def test_each_member_of_a_cohort_keeps_its_own_curve(folder: Path, tmp_path: Path) -> None:
    smoothed = parse_method("label_smoothing", "methods")
    specs = [student(tmp_path / "ce"), student(tmp_path / "smoothed", method=smoothed)]
    train_students(specs, outputs_folder=None, teacher_folder=None, device=CPU)
    assert (tmp_path / "ce" / CURVE_LOGITS).read_bytes() == (folder / CURVE_LOGITS).read_bytes()
    assert (tmp_path / "smoothed" / CURVE_LOGITS).read_bytes() != (folder / CURVE_LOGITS).read_bytes()


class _NotFinite(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.full((len(inputs), 3), torch.nan)


def test_logits_that_are_not_finite_do_not_end_the_training(tmp_path: Path) -> None:
    curve = CurveOnTestSets(student(tmp_path / "student"), CPU)
    curve.add(_NotFinite(), 1)
    [point] = curve.on([EpochRecord(1, {}, 0.5)])
    assert np.isnan([point.test["test"], point.test["shifted"]]).all()


def test_records_of_early_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(EARLY_RECORD)
    record = RunRecord.read(tmp_path)
    assert (record.schema, record.overhead) == (1, {})
    assert record.curve[1] == EpochRecord(2, {"ce": 0.9}, 0.75, step=0, seconds=0.0, test={})


def test_records_of_later_versions_are_read(tmp_path: Path) -> None:
    written = json.loads(EARLY_RECORD) | {"schema": 9, "of a later version": 1}
    written["curve"][0]["of a later version"] = 2
    (tmp_path / RECORD).write_text(json.dumps(written))
    assert RunRecord.read(tmp_path).curve[0].val_accuracy == 0.5


def test_records_are_read_as_they_were_written(folder: Path) -> None:
    record = RunRecord.read(folder)
    assert RunRecord.from_dict(json.loads(json.dumps(record.as_dict()))) == record
    assert record.schema == 2
    written = json.loads((folder / RECORD).read_text())["curve"]
    assert [point.seconds for point in record.curve] == [point["seconds"] for point in written]
