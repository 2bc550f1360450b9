"""int8 is written where it keeps the accuracy and is worth it, and the answer is stated where it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distillab.data.examples import Examples
from distillab.data.targets import UNLABELLED, Labels, LabelSets
from distillab.deploy import load_model
from distillab.deploy.changed import changed_predictions
from distillab.deploy.drop import Drop, paired_accuracy, paired_drop
from distillab.deploy.graph import graph_items
from distillab.deploy.int8 import Int8Trial, decide_int8
from distillab.deploy.latency import Latency
from distillab.deploy.quantization import QuantizationChoice, QuantizedGraph, count_quantized
from distillab.tasks import Classification, tasks
from support.exported import built, describe, examples_for, written


def trial(points: float = 0.2, speed: float = 1.0, ratio: float = 0.3, layers: int = 3) -> Int8Trial:
    """Return a quantized graph that loses points, with a speed over that of the float graph."""
    graph = QuantizedGraph(b"", QuantizationChoice("QDQ"), {"Conv": layers}, {"Conv": 3}, 0, False)
    drop = Drop("accuracy", 0.9, 0.9 - points / 100, points, points - 1, points + 1, 500, "cat", 0.8, 0.75)
    float_times = (Latency(1, 9.0, 2.0, 3.0, 50), Latency(32, 90.0, 20.0, 30.0, 50))
    own = tuple(replace(each, p50=each.p50 / speed) for each in float_times)
    return Int8Trial(graph, drop, points, ratio, own, float_times)


@pytest.mark.parametrize(
    ("made", "max_drop", "is_written", "answer"),
    [
        (trial(speed=2.0), 1.0, True, "2.00 times as fast at batch 1"),
        (trial(speed=0.5), 1.0, True, "int8 is smaller, not faster, on this CPU"),
        (trial(speed=0.5, ratio=1.0), 1.0, False, "int8 does not pay on this CPU"),
        (trial(speed=1.0, ratio=0.95), 1.0, False, "int8 does not pay on this CPU"),
        (trial(points=1.5, speed=2.0), 1.0, False, "int8 loses more than --max-drop 1"),
        (trial(points=1.5, speed=2.0), 2.0, True, "1.50 points lost (0.50 to 2.50)"),
        (trial(points=0.1, speed=2.0), 0.0, False, "int8 loses more than --max-drop 0"),
        (trial(points=0.0, speed=2.0), 0.0, True, "class cat, 80.0 % to 75.0 %"),
        (trial(speed=2.0, layers=0), 1.0, False, "no layer was quantized"),
    ],
)
def test_int8_is_written_if_it_keeps_accuracy_and_pays(
    made: Int8Trial, max_drop: float, is_written: bool, answer: str
) -> None:
    outcome = decide_int8([made], [], max_drop)
    assert (outcome.chosen is not None) == is_written
    assert answer in outcome.answer


def test_fastest_form_that_keeps_accuracy_is_chosen() -> None:
    slow, fast, wrong = trial(speed=1.2), trial(speed=1.8), trial(points=9.0, speed=3.0)
    assert decide_int8([slow, fast, wrong], [], 1.0).chosen is fast


def test_failed_tools_are_an_answer() -> None:
    assert decide_int8([], ["QDQ: ValueError: no such operator"], 1.0).answer.startswith(
        "int8 was not possible"
    )


def test_both_forms_are_tried_and_their_layers_are_counted(model_folder: Path) -> None:
    tried = json.loads((model_folder / "checks.json").read_text())["int8"]["trials"]
    assert {each["way"].split(",")[0] for each in tried} == {"QDQ", "QOperator"}
    for each in tried:
        assert each["quantized"] == each["of"] == {"Conv": 9, "Gemm": 1}
        assert each["batch_normalizations_left"] == 0
        assert {latency["batch"] for latency in each["latency"]} == {1, 24}


def test_float_graph_has_no_quantized_layer(model_folder: Path) -> None:
    quantized, total, _ = count_quantized((model_folder / "model.onnx").read_bytes())
    assert sum(quantized.values()) == 0
    assert total == {"Conv": 9, "Gemm": 1}


def test_int8_file_predicts_nearly_the_same(model_folder: Path) -> None:
    images = np.random.default_rng(5).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    found = [
        load_model(model_folder / file).probabilities(images) for file in ("model.onnx", "model.int8.onnx")
    ]
    assert 0 < np.abs(found[0] - found[1]).max() < 0.2


def test_drop_is_that_of_the_formula() -> None:
    # Bonett and Price (2012) with 7 lost and 2 won of 100: p = (8/102, 3/102).
    differences = np.array([1.0] * 7 + [-1.0] * 2 + [0.0] * 91)
    low, high = paired_accuracy(differences)
    spread = np.sqrt((8 / 102 + 3 / 102 - (5 / 102) ** 2) / 102)
    assert (low + high) / 2 == pytest.approx(5 / 102)
    assert (high - low) / 2 == pytest.approx(1.959964 * spread, rel=1e-5)


def test_worst_class_stands_beside_the_drop() -> None:
    labels = np.array([0] * 50 + [1] * 50)
    images = Examples.of(np.zeros((100, 1, 8, 8), np.uint8), labels, ("ant", "bee"))
    before = np.eye(2)[labels]
    after = before.copy()
    after[60:70] = [1.0, 0.0]  # ten bees become ants
    found = paired_drop(before, after, images, Classification())
    assert found.points == pytest.approx(10.0)
    assert (found.worst_class, found.worst_class_before, found.worst_class_after) == ("bee", 1.0, 0.8)


def test_changed_predictions_are_right_wrong_or_neither() -> None:
    labels = np.array([0] * 6)
    before = np.eye(3)[[0, 0, 0, 1, 1, 2]]
    after = np.eye(3)[[0, 1, 2, 0, 2, 2]]
    found = changed_predictions(before, after, Labels(labels, 3), Classification())
    assert (found.predictions, found.differing, found.share) == (6, 4, pytest.approx(4 / 6))
    assert (found.newly_right, found.newly_wrong, found.wrong_in_both) == (1, 2, 1)


def test_changed_predictions_of_several_labels_are_those_of_known_ones() -> None:
    labels = np.array([[1, 0, UNLABELLED], [1, 1, 0]], np.int8)
    before = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])
    after = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, -1.0]])
    found = changed_predictions(before, after, LabelSets(labels, 3), tasks["multilabel"]())
    assert (found.predictions, found.differing) == (5, 2)
    assert (found.newly_right, found.newly_wrong, found.wrong_in_both) == (1, 1, 0)


def test_changed_predictions_are_in_checks_and_on_the_card(tmp_path: Path) -> None:
    description = describe()
    network = built(description)
    val = examples_for(network, description, count=60)
    targets = val.targets.with_values(np.roll(val.targets.values, 3))  # most predictions are wrong
    made = written(
        tmp_path / "model", description, ["onnx", "int8"], val=replace(val, targets=targets), max_drop=100
    )
    assert "model.int8.onnx" in made.files
    pixels = graph_items(val.items(np.arange(60)), description)
    float_, int8 = (
        load_model(made.folder / file).probabilities(pixels).argmax(1)
        for file in ("model.onnx", "model.int8.onnx")
    )
    differs, truth = float_ != int8, targets.values
    stated = json.loads((made.folder / "checks.json").read_text())["int8"]
    changed = next(each for each in stated["changed_predictions"] if each["batch"] == 64)
    assert (changed["predictions"], changed["differing"]) == (60, differs.sum())
    assert changed["newly_right"] == (differs & (int8 == truth)).sum()
    assert changed["newly_wrong"] == (differs & (float_ == truth)).sum()
    assert stated["max_drop"] == 100
    card = (made.folder / "README.md").read_text()
    assert "Every file in float was compared" in card
    most = max(stated["changed_predictions"], key=lambda each: each["differing"])
    assert f"{most['differing']} of its 60 predictions ({most['share']:.2%}) differ" in card
    assert "may be lower by at most 100 points" in card


def test_card_without_int8_is_about_every_file(tmp_path: Path) -> None:
    made = written(tmp_path / "model", describe(), ["safetensors"])
    card = (made.folder / "README.md").read_text()
    assert "Every file was compared" in card and "int8" not in card
