"""Given weights are opened, fitted and tried when a study is planned, before anything is trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distillab.artefacts import RunRecord
from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples, Pool
from distillab.data.targets import LabelSets, Targets
from distillab.errors import RequestError
from distillab.modalities.image import PixelNormalization
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.planning import Plan, make_plan
from distillab.study.planning.external_teacher import open_given_teacher
from distillab.study.planning.summary import summarize_plan
from distillab.study.planning.teacher_trial import try_given_teacher
from distillab.study.spec.study import parse_study
from distillab.tasks import Classification
from distillab.tasks.arrays import Logits
from distillab.training.loop.member import Seeds
from distillab.training.recipe import Recipe
from distillab.training.stages.roles import RoleSets
from distillab.training.stages.teachers import ExternalWeights, fixed_teacher
from support.given_teachers import LINEAR, SHORT, digits, planned, refusal, spec_of, state
from support.networks import recognizing
from support.studies import CPU, run_here, study


def test_plan_states_accuracy_and_what_was_loaded(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state().items()}}, tmp_path / "w.pth")
    wanted = spec_of(tmp_path)
    plan = make_plan(wanted, digits(), CPU)
    assert plan.trial is not None and plan.trial.score > 0.9 and not plan.trial.at_chance
    network, val = recognizing(LINEAR, digits()), digits().val
    x = torch.from_numpy(val.items(np.arange(len(val)))).float() / 255
    mean, std = (torch.from_numpy(each)[:, None, None] for each in digits().normalization())
    with torch.no_grad():
        expected = (network((x - mean) / std).argmax(1).numpy() == val.labels).mean()
    assert plan.trial.score == pytest.approx(expected)
    line = plan.notes[0]
    assert line.startswith(
        f"The given teacher {LINEAR} (entry 'state_dict', without the prefix 'module.') has accuracy "
        f"{plan.trial.score:.3f} on {len(val)} val examples; chance is 0.2"
    )
    assert line in summarize_plan(wanted, digits(), plan, CPU).notes


def test_wrapped_weights_give_the_numbers_of_bare_ones(tmp_path: Path) -> None:
    rows = []
    for place, content in (
        ("a", state()),
        ("b", {"model": {f"_orig_mod.{k}": v for k, v in state().items()}}),
    ):
        (tmp_path / place).mkdir()
        torch.save(content, tmp_path / place / "w.pth")
        folder = StudyFolder.begin(tmp_path / place / "dir", spec_of(tmp_path / place), CPU)
        rows.append(run_here(folder))
        assert any("given teacher" in note for note in folder.network_notes)
    assert {row["status"] for row in rows[0] + rows[1]} == {"done"}
    for one, other in zip(*rows, strict=True):
        assert one["teacher_accuracy"] == other["teacher_accuracy"] and one["accuracy"] == other["accuracy"]


@pytest.mark.parametrize("what", ["untrained", "other order", "other normalization"])
def test_teacher_at_chance_stops_the_study(what: str, tmp_path: Path) -> None:
    weights, keys = dict(state()), {}
    if what == "untrained":
        torch.manual_seed(1)
        weights = {name: torch.randn_like(value) * 0.01 for name, value in weights.items()}
    elif what == "other order":
        weights = {name: value.roll(1, dims=0) for name, value in weights.items()}
    else:
        keys = {"normalization": {"mean": [0.5], "std": [1e4]}}
    torch.save(weights, tmp_path / "w.pth")
    line = refusal(tmp_path, teacher=keys)
    assert re.match(rf"teacher.weights: {tmp_path}/w.pth: accuracy 0\.\d+ on \d+ examples is at chance", line)
    for hint in ("`normalization`", "`classes`", "architecture", "`at_chance: continue`"):
        assert hint in line
    plan = planned(tmp_path, teacher={**keys, "at_chance": "continue"})
    assert plan.trial is not None and plan.trial.at_chance
    assert any("at chance" in note for note in plan.notes)


def test_too_few_examples_do_not_stop_a_study(tmp_path: Path) -> None:
    torch.save({name: torch.zeros_like(value) for name, value in state().items()}, tmp_path / "w.pth")
    few = digits().train.select(np.arange(2))
    from dataclasses import replace

    from distillab.study.planning.external_teacher import open_given_teacher
    from distillab.study.planning.teacher_trial import try_given_teacher

    tiny = replace(digits(), train=few, val=few)
    wanted = spec_of(tmp_path)
    given = open_given_teacher(wanted, tiny)
    assert given is not None
    trial = try_given_teacher(given, wanted.task_config(), CPU)
    assert not trial.enough_examples and not trial.at_chance
    assert any("too few to tell it from chance" in line for line in trial.sentences)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    torch.save(state() | {"fc.bias": torch.full((4,), value)}, tmp_path / "w.pth")
    assert "outputs that are not finite" in refusal(tmp_path)


def test_mismatch_is_refused_in_the_plan(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(100, 64), "fc.bias": torch.zeros(100)}, tmp_path / "w.pth")
    line = refusal(tmp_path)
    assert f"another number of classes (the weights have 100, {LINEAR} has 4 here)" in line
    assert line.startswith(f"teacher.weights: {tmp_path}/w.pth: ")


def test_begin_refuses_before_a_folder_is_made(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 64), "fc.bias": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(RequestError, match="another number of classes"):
        StudyFolder.begin(tmp_path / "dir", spec_of(tmp_path), CPU)
    assert not (tmp_path / "dir").exists()


# -- the order of classes -----------------------------------------------------------------------------------

ORDER = ["2", "0", "3", "1"]


def reordered() -> dict[str, torch.Tensor]:
    return {name: value[[int(each) for each in ORDER]] for name, value in state().items()}


@pytest.mark.parametrize(
    "stated",
    [
        {"classes": ORDER},
        {"meta": {"CLASSES": tuple(ORDER)}},
        {"class_to_idx": {name: place for place, name in enumerate(ORDER)}},
        {"hyper_parameters": {"id2label": {str(place): name for place, name in enumerate(ORDER)}}},
    ],
)
def test_order_of_classes_in_the_file_is_mapped_by_name(stated: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"state_dict": reordered(), **stated}, tmp_path / "w.pth")
    plan = planned(tmp_path)
    assert plan.trial is not None and plan.trial.score > 0.9
    assert "another order and are mapped by name" in " ".join(plan.notes)
    torch.save({"state_dict": state()}, tmp_path / "w.pth")
    assert planned(tmp_path).trial.score == plan.trial.score  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "\n".join(ORDER) + "\n"),
        ("config.json", json.dumps({"id2label": dict(enumerate(ORDER))})),
        ("classes.json", json.dumps(ORDER)),
        ("record.json", json.dumps({"classes": len(ORDER), "class_names": ORDER})),
    ],
)
def test_order_of_classes_beside_the_file_is_mapped_by_name(name: str, text: str, tmp_path: Path) -> None:
    torch.save(reordered(), tmp_path / "w.pth")
    (tmp_path / name).write_text(text)
    plan = planned(tmp_path)
    assert plan.trial is not None and plan.trial.score > 0.9
    assert f"({name} beside it)" in " ".join(plan.notes)


def test_mapped_classes_teach_students(tmp_path: Path) -> None:
    torch.save({"state_dict": reordered(), "classes": ORDER}, tmp_path / "w.pth")
    folder = StudyFolder.begin(tmp_path / "dir", spec_of(tmp_path), CPU)
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert next(row["teacher_accuracy"] for row in rows if row["method"] == "kd") > 0.9


def test_same_order_of_classes_changes_no_id(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    save_file(state(), tmp_path / "w.pth")
    plain = planned(tmp_path)
    (tmp_path / "labels.txt").write_text("0\n1\n2\n3\n")
    assert list(planned(tmp_path).jobs) == list(plain.jobs)


def test_other_names_of_classes_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": state(), "classes": ["cat", "dog", "fox", "owl"]}, tmp_path / "w.pth")
    line = refusal(tmp_path)
    assert "the weights are for the classes cat, dog, fox and 1 more (its entry 'classes')" in line
    planned(tmp_path, teacher={"classes": ["0", "1", "2", "3"]})
    names = {"cat": "0", "dog": "1", "fox": "2", "owl": "3"}
    assert planned(tmp_path, teacher={"class_map": names}).trial.score > 0.9  # type: ignore[union-attr]


def test_classes_against_the_order_of_the_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": reordered(), "classes": ORDER}, tmp_path / "w.pth")
    assert "another order of classes" in refusal(tmp_path, teacher={"classes": ["0", "1", "2", "3"]})


def test_teacher_of_more_classes_is_found_by_its_names(tmp_path: Path) -> None:
    wide = {"fc.weight": torch.zeros(6, 64), "fc.bias": torch.full((6,), -9.0)}
    for name, value in state().items():
        wide[name][1:5] = value
    torch.save({"model": wide, "classes": ["x", "0", "1", "2", "3", "y"]}, tmp_path / "w.pth")
    assert planned(tmp_path).trial.score > 0.9  # type: ignore[union-attr]


def test_names_that_only_number_classes_count_for_nothing(tmp_path: Path) -> None:
    torch.save({"model": state(), "id2label": {i: f"LABEL_{i}" for i in range(4)}}, tmp_path / "w.pth")
    assert "state no order of classes" in " ".join(planned(tmp_path).notes)


# -- stems --------------------------------------------------------------------------------------------------

SHUFFLE = "torchvision:shufflenet_v2_x0_5"


def test_weights_of_the_original_stem_are_separated_on_val(tmp_path: Path) -> None:
    data = {"resolution": 32, "channels": 3}
    original = recognizing(f"{SHUFFLE}#original", load_dataset(spec_of(tmp_path, data=data).source()))
    torch.save(original.state_dict(), tmp_path / "w.pth")
    teacher = {"model": SHUFFLE}

    def plan_with(**keys: Any) -> Plan:
        wanted = spec_of(tmp_path, teacher=teacher | keys, data=data)
        return make_plan(wanted, load_dataset(wanted.source()), CPU)

    with pytest.raises(RequestError, match=r"with the original stem of .* and .*`stem: original`, or"):
        plan_with()
    kept = plan_with(stem="original")
    assert kept.trial is not None and kept.trial.score > 0.6
    assert {job.model for job in kept.teachers} == {f"{SHUFFLE}#original"}


def test_weights_of_a_larger_stem_decide_for_it(tmp_path: Path) -> None:
    data = {"resolution": 32, "channels": 3}
    wanted = spec_of(tmp_path, teacher={"model": "torchvision:resnet18"}, data=data)
    dataset = load_dataset(wanted.source())
    torch.save(recognizing("torchvision:resnet18#original", dataset).state_dict(), tmp_path / "w.pth")
    plan = make_plan(wanted, dataset, CPU)
    assert {job.model for job in plan.teachers} == {"torchvision:resnet18#original"}
    fitted = spec_of(tmp_path, teacher={"model": "torchvision:resnet18", "stem": "fitted"}, data=data)
    with pytest.raises(RequestError, match="another stem than torchvision:resnet18"):
        make_plan(fitted, dataset, CPU)


def test_plan_names_changed_stems() -> None:
    values = study(**SHORT, data={"resolution": 32, "channels": 3}, students=[SHUFFLE])
    wanted = parse_study(values, Path(), "study.yaml")
    plan = make_plan(wanted, load_dataset(wanted.source()), CPU)
    expected = f"The stem of {SHUFFLE} is changed for 32x32 inputs: conv1.0 is 3x3 with stride 1, not"
    assert any(note.startswith(expected) for note in plan.notes)


# -- other tasks and records --------------------------------------------------------------------------------


def quadrants(n: int, first_id: int) -> Examples:
    """Images whose labels are the bright ones of their quadrants."""
    rng = np.random.default_rng(first_id)
    labels = rng.integers(0, 2, (n, 3)).astype(np.int8)
    images = rng.integers(0, 60, (n, 1, 8, 8), dtype=np.uint8)
    for label, (top, left) in enumerate([(0, 0), (0, 4), (4, 0)]):
        images[:, 0, top : top + 4, left : left + 4] += labels[:, label, None, None].astype(np.uint8) * 150
    rows = np.arange(n, dtype=np.int64)
    targets = LabelSets(labels, classes=3)
    return Examples(Pool.of(images), rows, targets, ("cough", "fever", "rash"), rows + first_id)


def test_teacher_of_label_sets_is_tried_by_the_primary_metric(tmp_path: Path) -> None:
    dataset = Dataset(
        "quadrants", quadrants(120, 0), quadrants(60, 1000), {"test": quadrants(20, 2000)}, DataReport()
    )
    wanted = spec_of(tmp_path, task="multilabel")
    weights = recognizing(LINEAR, dataset).state_dict()
    torch.save(weights, tmp_path / "w.pth")
    trial = make_plan(wanted, dataset, CPU).trial
    assert trial is not None and trial.metric == "macro_auc" and trial.score > 0.95
    assert trial.chance == pytest.approx(0.5, abs=0.05)
    torch.manual_seed(0)
    torch.save({name: torch.randn_like(value) for name, value in weights.items()}, tmp_path / "w.pth")
    with pytest.raises(RequestError, match=r"macro_auc 0\.\d+ on \d+ examples is at chance \(0\.[45]"):
        make_plan(wanted, dataset, CPU)


@pytest.mark.parametrize(("model", "changed"), [(SHUFFLE, True), (f"{SHUFFLE}#original", False)])
def test_record_states_a_changed_stem(model: str, changed: bool, tmp_path: Path) -> None:
    images = Examples.of(np.zeros((2, 3, 32, 32), np.uint8), [0, 1], ("a", "b"))
    normalize = PixelNormalization(np.zeros(3, np.float32), np.ones(3, np.float32))
    sets = RoleSets(images, images, {"test": images}, normalize)
    recipe = Recipe(steps=1, precision="fp32").resolve(images)
    external = ExternalWeights()
    fixed_teacher(tmp_path, model, sets, recipe, Seeds(1, 2, 3), external=external, device=CPU)
    stem = RunRecord.read(tmp_path).stem
    assert stem is None if not changed else str(stem).startswith("conv1.0 is 3x3 with stride 1, not 3x3 with")


def test_a_factory_has_no_original_stem(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pth")
    assert "the stem of this network is never changed" in refusal(tmp_path, teacher={"stem": "original"})


class UndefinedScore(Classification):
    """A task whose score is not defined on some data, like a mean over classes that all lack examples."""

    def score(self, logits: Logits, targets: Targets) -> float:
        return float("nan")


def test_undefined_score_is_no_evidence_against_chance(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pth")
    teacher = open_given_teacher(spec_of(tmp_path), digits())
    assert teacher is not None
    trial = try_given_teacher(teacher, UndefinedScore(), CPU)
    assert trial.p_value == 1.0 and np.isnan(trial.chance)
    assert not trial.enough_examples and not trial.at_chance


def test_records_of_trained_networks_name_the_classes_in_order(tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path / "study", parse_study(study(seeds=1), tmp_path, "study.yaml"), CPU)
    run_here(folder)
    records = [record for kind in ("teacher", "student") for record in folder.store.run_records(kind)]  # type: ignore[arg-type]
    assert records and {record.class_names for record in records} == {folder.dataset.train.classes}


# -- views ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("views", "stated"),
    [("none", False), ("crop_flip", True)],
)
def test_a_teacher_that_is_worse_for_the_views_of_students_is_stated(
    views: Any, stated: bool, tmp_path: Path
) -> None:
    torch.save(state(), tmp_path / "w.pth")
    plan = make_plan(spec_of(tmp_path, recipe={"steps": 2, "views": views}), digits(), CPU)
    assert any(note.startswith("For the views that students learn from") for note in plan.notes) is stated
