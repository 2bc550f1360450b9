"""Given weights are opened, fitted and tried when a study is planned, before anything is trained."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.planning import Plan, make_plan
from distillab.study.planning.summary import summarize_plan
from distillab.study.spec.study import StudySpec, parse_study
from support.networks import recognizing
from support.studies import CPU, run_here, study

LINEAR = "support.networks:linear"
SHORT: dict[str, Any] = {"factors": {}, "seeds": 1, "methods": ["ce", "kd"]}


@cache
def digits(resolution: int | None = None) -> Dataset:
    size = {"resolution": resolution} if resolution else {}
    return load_dataset(spec_of(Path(), data=size).source())


@cache
def state(name: str = LINEAR, resolution: int | None = None) -> dict[str, torch.Tensor]:
    return dict(recognizing(name, digits(resolution)).state_dict())


def spec_of(folder: Path, **changes: Any) -> StudySpec:
    given = {"model": LINEAR, "provenance": "external", "weights": "w.pth"} | changes.pop("teacher", {})
    values = study(**SHORT, **changes)
    values["teacher"] = given
    return parse_study(values, folder, "study.yaml")


def planned(folder: Path, **changes: Any) -> Plan:
    wanted = spec_of(folder, **changes)
    return make_plan(wanted, digits(changes.get("data", {}).get("resolution")), CPU)


def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        planned(folder, **changes)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return str(caught.value)


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
    expected = f"The stem of {SHUFFLE} is changed for 32x32 images: conv1.0 is 3x3 with stride 1, not"
    assert any(note.startswith(expected) for note in plan.notes)


# -- outputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("first_of_tuple", "first_of_list", "mapping", "output_object", "auxiliary_in_training"),
        *("tuple_in_training", "log_softmax"),
    ],
)
def test_other_forms_of_outputs_are_understood(name: str, tmp_path: Path) -> None:
    model = f"support.networks:{name}"
    torch.save(state(), tmp_path / "w.pth")
    plan = planned(tmp_path, teacher={"model": model}, students=[model])
    assert plan.trial is not None and plan.trial.score > 0.9
    folder = StudyFolder.begin(
        tmp_path / "dir", spec_of(tmp_path, teacher={"model": model}, students=[model]), CPU
    )
    assert {row["status"] for row in run_here(folder)} == {"done"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("softmax", "ends in a softmax"),
        ("sigmoid", "ends in a sigmoid"),
        ("features_first", r"gives \[1, 20\] for one input, not \[1, 4\]"),
        ("loss_in_training", "in training, the network returns dict, which holds no logits"),
        ("features_in_training", r"gives \[2, 8\] for two inputs in training, not \[2, 4\]"),
        ("fails_in_training", r"fails in training on 8x8 images \(ValueError: targets are needed\)"),
    ],
)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_outputs_that_are_no_logits_are_refused_by_name(
    name: str, message: str, role: str, tmp_path: Path
) -> None:
    model = f"support.networks:{name}"
    values = study(**SHORT)
    values |= {"students": [model]} if role == "student" else {"teacher": {"model": model}}
    wanted = parse_study(values, tmp_path, "study.yaml")
    with pytest.raises(RequestError, match=message) as caught:
        make_plan(wanted, digits(), CPU)
    assert str(caught.value).startswith(f"{model}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"), [("softmax", "ends in a softmax"), ("sigmoid", "ends in a sig")]
)
def test_given_teacher_that_gives_probabilities_is_refused(name: str, message: str, tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pth")
    assert message in refusal(tmp_path, teacher={"model": f"support.networks:{name}"})


@pytest.mark.parametrize("name", ["loss_in_training", "fails_in_training"])
def test_given_teacher_may_fail_in_training(name: str, tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pth")
    assert planned(tmp_path, teacher={"model": f"support.networks:{name}"}).trial.score > 0.9  # type: ignore[union-attr]


def test_checks_of_outputs_leave_a_network_as_it_was() -> None:
    from distillab.models import InputSpec, build_model
    from distillab.models.output_checks import check_outputs

    inputs = InputSpec.square(1, 8)
    network = build_model("resnet8", classes=4, inputs=inputs)
    network.bn1.eval() if isinstance(getattr(network, "bn1", None), nn.Module) else None
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.random.get_rng_state()
    check_outputs(network, inputs, name="resnet8", classes=4, trained=True)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.parameters())
