"""Images of the training are kept out of an evaluation, and a split is read without the others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distillab.cli import execute
from distillab.data.examples import Examples
from distillab.deploy import LoadedModel, evaluate_model, load_model
from distillab.deploy.training_images import write_training_images
from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source
from support.exported import CLASSES, describe, smooth_images, written

EACH = 5  # images per class and split


def write_split(folder: Path, seed: int, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write gray images of 8x8 pixels in class folders."""
    images = smooth_images(EACH * len(classes), (1, 8, 8), seed=seed)
    for number, image in enumerate(images):
        place = folder / classes[number % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(place / f"{number}.png")
    return folder


def pixels_of(files: list[Path]) -> Examples:
    pixels = np.stack([np.asarray(Image.open(each))[None] for each in files])
    return Examples.of(pixels, [0] * len(files), CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model whose training images are not known."""
    return written(tmp_path_factory.mktemp("m") / "model", describe(), ["safetensors"], training=()).folder


@pytest.fixture
def model_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def trained_on(model: Path, files: list[Path]) -> LoadedModel:
    """Return a model that was trained on some files."""
    write_training_images([pixels_of(files)], model)
    return load_model(model)


@pytest.mark.parametrize("split", ["auto", "test"])
def test_images_of_training_are_left_out_of_a_test_split(split: str, model_of: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_split(data / "train", 1)
    seen = sorted(write_split(data / "test", 2).glob("*/*.png"))[:3]
    found = evaluate_model(trained_on(model_of, seen), data, split=split)
    total = EACH * len(CLASSES)
    assert (found.split, found.examples) == ("test", total - 3)
    assert found.notes == (f"3 of {total} examples were in training and are left out.",)


def test_carved_test_split_of_other_data_is_without_images_of_training(
    model_of: Path, tmp_path: Path
) -> None:
    data = write_split(tmp_path / "data", 3)
    test = load_dataset(parse_source({"source": "folder", "path": str(data)}, Path(), "")).eval["test"]
    write_training_images([test.select(np.arange(2))], model_of)
    found = evaluate_model(load_model(model_of), data, split="test")
    assert found.examples == len(test) - 2
    assert found.notes == (f"2 of {len(test)} examples were in training and are left out.",)


def test_train_is_what_is_left_of_it_where_other_splits_are_carved(model_of: Path, tmp_path: Path) -> None:
    data = write_split(tmp_path / "data", 3)
    dataset = load_dataset(parse_source({"source": "folder", "path": str(data)}, Path(), ""))
    for name, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.eval["test"])):
        assert evaluate_model(load_model(model_of), data, split=name).examples == len(split)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_split_of_the_data_is_read_though_another_is_broken(
    broken: bool, split: str, model_of: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for seed, name in enumerate(("train", "val", "test")):
        write_split(data / name, seed)
        if broken and name != split:
            (data / name / "ant" / "0.png").write_text("no image")
    found = evaluate_model(load_model(model_of), data, split=split)
    assert (found.split, found.examples) == (split, EACH * len(CLASSES))


@pytest.mark.parametrize(("split", "seen"), [("all", 4), ("train", 3), ("val", 1)])
def test_requested_split_counts_images_of_training(
    split: str, seen: int, model_of: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    files = {
        name: sorted(write_split(data / name, n).glob("*/*.png"))
        for n, name in enumerate(("train", "val", "test"))
    }
    model = trained_on(model_of, files["train"][:3] + files["val"][:1])
    found = evaluate_model(model, data, split=split)
    total = EACH * len(CLASSES) * (3 if split == "all" else 1)
    assert (found.split, found.examples) == (split, total)
    assert found.notes == (f"{seen} of {total} examples {'was' if seen == 1 else 'were'} in training.",)


@pytest.mark.parametrize("split", ["auto", "test"])
def test_data_of_the_training_alone_are_refused(split: str, model_of: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = sorted(write_split(data / "test", 2).glob("*/*.png"))
    write_split(data / "train", 1)
    with pytest.raises(RequestError, match=r"all 20 examples were in training \(allowed: other data, or"):
        evaluate_model(trained_on(model_of, files), data, split=split)


@pytest.mark.parametrize("split", ["auto", "test"])
@pytest.mark.parametrize(("rule", "kept"), [("drop", 0), ("keep", 2)])
def test_test_split_of_the_training_is_that_of_the_study(
    rule: str, kept: int, split: str, model_of: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_split(data / "train", 1)
    for name in sorted(write_split(data / "test", 2).glob("ant/*.png"))[:2]:
        shutil.copy(name, data / "train" / "ant" / f"copy-{name.name}")
    keys = {"duplicates": rule}
    entry = {"source": "folder", "path": str(data), "channels": 1, "resolution": 8, **keys}
    dataset = load_dataset(parse_source(entry, Path(), ""))
    write_training_images([dataset.train, dataset.val], model_of)
    model = load_model(model_of)
    facts = {"dataset_digest": dataset.digest}
    model = replace(model, description=replace(model.description, facts=facts))
    found = evaluate_model(model, data, split=split, keys=keys)
    assert (found.split, found.examples) == ("test", len(dataset.eval["test"]))
    assert [note for note in found.notes if "kept duplicates" in note] == (
        [f"2 of its {found.examples} examples were in training as well, because the study kept duplicates."]
        if kept
        else []
    )


def test_unknown_training_images_are_stated(model_of: Path, tmp_path: Path) -> None:
    write_split(tmp_path / "data" / "train", 1)
    write_split(tmp_path / "data" / "test", 2)
    for split in ("auto", "test", "all"):
        found = evaluate_model(load_model(model_of), tmp_path / "data", split=split)
        assert found.notes == ("Which images were in training is not known.",)


def same_images(data: Path) -> None:
    shutil.copytree(data / "test", data / "train")


def broken_image(data: Path) -> None:
    write_split(data / "train", 1)
    (data / "train" / "ant" / "0.png").write_text("no image")


def another_class(data: Path) -> None:
    write_split(data / "train", 1, ("ant", "whale"))


def one_class(data: Path) -> None:
    write_split(data / "train", 1, ("ant",))


def one_image_per_class(data: Path) -> None:
    for name in CLASSES:
        (data / "train" / name).mkdir(parents=True)
        shutil.copy(next((data / "test" / name).glob("*.png")), data / "train" / name)


def other_size(data: Path) -> None:
    write_split(data / "train", 1)
    Image.new("L", (90, 40)).save(data / "train" / "ant" / "large.png")


@pytest.mark.parametrize(
    "train", [same_images, broken_image, another_class, one_class, one_image_per_class, other_size]
)
@pytest.mark.parametrize("split", ["auto", "test"])
def test_test_split_is_read_without_train(
    split: str, train: object, model_of: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(train)
    data = tmp_path / "data"
    write_split(data / "test", 2)
    train(data)
    command = ["evaluate", str(model_of), str(data), "--split", split, "--json"]
    assert execute(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["split"], printed["examples"]) == ("test", EACH * len(CLASSES))


@pytest.mark.parametrize("split", ["auto", "all"])
def test_broken_image_is_refused_or_left_out_and_counted(
    split: str, model_of: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_split(tmp_path / "data", 3)
    (data / "ant" / "0.png").write_text("no image")
    model = load_model(model_of)
    with pytest.raises(RequestError, match=r"1 of 20 examples cannot be decoded: .*0\.png"):
        evaluate_model(model, data, split=split)
    found = evaluate_model(model, data, split=split, keys={"on_broken": "skip"})
    assert found.examples == 19
    assert "Examples that cannot be decoded, left out: 1." in found.notes
    assert execute(["evaluate", str(model_of), str(data), "--split", split]) == 2
    assert "--set on_broken=skip" in capsys.readouterr().err
