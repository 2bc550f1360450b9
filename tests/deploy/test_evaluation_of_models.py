"""The numbers of a model: the same from every file, and those of the study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distillab.api.models import evaluate
from distillab.cli import execute
from distillab.deploy import Exported, evaluate_model, load_model
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from support.exported import CLASSES, describe, smooth_images, written
from support.studies import rows_of


def test_numbers_are_those_of_the_study(exported_run: Exported, study_folder: StudyFolder) -> None:
    run = json.loads((exported_run.folder / "config.json").read_text())["facts"]["run_id"]
    row = next(each for each in rows_of(study_folder) if each["run_id"] == run)
    for file in ("model.safetensors", "model.onnx"):
        found = evaluate(exported_run.folder / file, "digits")
        assert (found.split, found.examples) == ("test", row["n_test"])
        assert "test split" in found.notes[0]
        for metric in ("accuracy", "balanced_accuracy", "macro_f1", "worst_class_accuracy"):
            assert found.metrics[metric] == row[metric]
        for metric in ("nll", "brier", "ece"):
            assert found.metrics[metric] == pytest.approx(row[metric], abs=2e-3)  # stored as float16


def pictures(folder: Path, classes: tuple[str, ...], model: Path, count: int = 3) -> Path:
    """Write images in class folders, under the class that a model predicts."""
    loaded = load_model(model)
    images = smooth_images(40, (1, 8, 8), seed=7)
    labels = loaded.predict(list(images[:, 0])).labels
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        if label in classes and len(list((folder / label).glob("*"))) < count:
            (folder / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(folder / label / f"{number}.png")
    return folder


def test_new_folder_is_evaluated_as_a_whole(model_folder: Path, tmp_path: Path) -> None:
    data = pictures(tmp_path / "new", CLASSES, model_folder)
    found = evaluate_model(load_model(model_folder / "model.onnx"), data)
    assert found.split == "all"
    assert found.examples == len(list(data.glob("*/*.png")))
    assert found.metrics["accuracy"] == 1.0


def test_training_images_are_left_out(tmp_path: Path) -> None:
    from distillab.data.examples import Examples
    from distillab.deploy.training_images import write_training_images

    made = written(tmp_path / "model", describe(), ["safetensors"])
    data = pictures(tmp_path / "data", CLASSES, made.folder)
    seen = sorted(data.glob("*/*.png"))[:2]
    pixels = np.stack([np.asarray(Image.open(each))[None] for each in seen])
    write_training_images([Examples.of(pixels, [0, 1], CLASSES)], made.folder)
    model = load_model(made.folder)
    found = evaluate_model(model, data)
    assert found.examples == len(list(data.glob("*/*.png"))) - 2
    assert found.notes == (f"2 of {found.examples + 2} examples were in training and are left out.",)
    assert evaluate_model(model, data, split="all").examples == found.examples + 2


def test_classes_are_matched_by_name(model_folder: Path, tmp_path: Path) -> None:
    model = load_model(model_folder)
    present = [name for name in CLASSES if name in set(pictures_labels(model_folder))]
    data = pictures(tmp_path / "some", tuple(present[-2:]), model_folder)
    found = evaluate_model(model, data)
    assert set(found.per_class) == set(present[-2:])
    assert found.metrics["accuracy"] == 1.0


def pictures_labels(model: Path) -> tuple[str, ...]:
    return load_model(model).predict(list(smooth_images(40, (1, 8, 8), seed=7)[:, 0])).labels


def test_unknown_class_is_one_line(model_folder: Path, tmp_path: Path) -> None:
    for name in ("ant", "whale"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            picture = Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 9), dtype=np.uint8))
            picture.save(tmp_path / "data" / name / f"{number}.png")
    with pytest.raises(RequestError, match=r"such as 'whale' \(allowed: ant, bee, cat, dog\)"):
        evaluate_model(load_model(model_folder), tmp_path / "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--split", "tests"], "unknown split 'tests', did you mean 'test'?"),
        (["nowhere"], "there is no file, folder or source 'nowhere'"),
        (["digits"], "classes are unknown to the model"),
        (["digits", "--set", "colour=3"], "unknown key 'colour'"),
    ],
)
def test_wrong_evaluation_is_one_line(
    arguments: list[str], message: str, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["evaluate", str(model_folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_evaluate_prints_json(exported_run: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["evaluate", str(exported_run.folder / "model.onnx"), "digits", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"model", "data", "split", "examples", "metric", "accuracy", "per_class"} <= set(printed)


def test_predict_prints_a_line_per_file(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "folder" / "good.png"
    good.parent.mkdir()
    Image.fromarray(smooth_images(1, (1, 8, 8))[0, 0]).save(good)
    (tmp_path / "bad.png").write_text("no image")
    files = [good.parent, tmp_path / "bad.png", tmp_path / "missing.png", good]
    assert execute(["predict", str(model_folder / "model.onnx"), *map(str, files)]) == 1
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["file"] for line in lines] == [str(good), str(good)]
    assert set(lines[0]) == {"file", "label", "probability"}
    assert lines[0]["label"] in CLASSES and 0.25 <= lines[0]["probability"] <= 1.0
    errors = printed.err.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"{tmp_path / 'bad.png'}: cannot be identified as an image")
    assert errors[1] == f"{tmp_path / 'missing.png'}: there is no such file"


def test_predict_without_any_image_is_a_wrong_request(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["predict", str(model_folder), str(tmp_path / "missing.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert execute(["predict", str(model_folder), str(tmp_path)]) == 2
    assert "holds no image" in capsys.readouterr().err


def test_benchmark_times_models_in_turn(model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(model_folder / file) for file in ("model.onnx", "model.int8.onnx")]
    assert execute(["benchmark", *files, "--seconds", "0", "--batch", "4", "--threads", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["model"] for each in printed["models"]] == files
    for each in printed["models"]:
        assert each["bytes"] == Path(each["model"]).stat().st_size
        assert [times["batch"] for times in each["latency"]] == [1, 4]
        assert all(
            0 < times["p50_ms"] <= times["p95_ms"] and times["first_ms"] > 0 for times in each["latency"]
        )
    assert printed["threads"] == 1 and printed["cpu"]
    assert execute(["benchmark", files[0], "--seconds", "0"]) == 0
    assert "p95 ms" in capsys.readouterr().out
