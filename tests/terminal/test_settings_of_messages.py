"""Messages that name a key of a source as the way out can be followed on the command line."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distillab.cli import error_for_command, execute
from distillab.errors import RequestError
from distillab.terminal.arguments import source_keys, with_settings


@pytest.mark.parametrize(
    ("allowed", "written"),
    [
        ("`on_broken: skip` to leave them out", "on_broken=skip"),
        ("splits without common examples, or `duplicates: keep`", "duplicates=keep"),
        ("`duplicates: {near: keep}`", "'duplicates={near: keep}'"),
        ("`splits: {val: null}` to carve val from train", "'splits={val: null}'"),
        ("`rare_classes: drop | other | train`", "rare_classes=drop"),
        ("equally large images, or `resolution`, the side in pixels", "resolution=VALUE"),
    ],
)
def test_key_is_also_written_as_an_option(allowed: str, written: str) -> None:
    line = str(with_settings(RequestError("something is wrong", where="photos", allowed=allowed)))
    assert f"` (on the command line --set {written})" in line
    [setting] = shlex.split(written)
    assert list(source_keys([setting])) == [setting.partition("=")[0]]


def test_second_key_is_shorter() -> None:
    line = str(with_settings(RequestError("wrong", allowed="`split_by: image`, or `rare_classes: drop`")))
    assert line == (
        "wrong (allowed: `split_by: image` (on the command line --set split_by=image), "
        "or `rare_classes: drop` (--set rare_classes=drop))"
    )


@pytest.mark.parametrize(
    ("allowed", "where"),
    [
        ("`--kinds unstructured`, which prunes any network", None),
        ("`recipe: {views: 2}`", None),
        ("`train: .` alone", "photos: splits"),
        ("`layout: nchw` or `layout: nhwc`", "teacher.layout"),
        ("`classes` with the 10 names of the teacher's classes", "study.yaml: teacher.classes"),
        (None, "photos"),
    ],
)
def test_other_hints_stay_as_they_are(allowed: str | None, where: str | None) -> None:
    error = RequestError("wrong", where=where, allowed=allowed)
    assert str(with_settings(error)) == str(error)


def write_images(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(6):
        picture = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
        picture.save(folder / f"{number}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images whose splits have different classes."""
    for seed, name in enumerate(("train/ant", "train/bee", "test/ant", "test/bee", "test/cow")):
        write_images(tmp_path / "photos" / name, seed)
    return tmp_path / "photos"


COMMANDS = {
    "profile": ["profile", "{photos}"],
    "debug": ["--debug", "profile", "{photos}"],
    "advise": ["advise", "{photos}", "--budget", "0"],
    "distill": ["distill", "{photos}", "--student", "resnet8", "--out", "{out}"],
}


def line_of(command: list[str], photos: Path, capsys: pytest.CaptureFixture[str]) -> str:
    given = [each.format(photos=photos, out=photos.parent / "out") for each in command]
    assert execute(given) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_commands_with_data_name_the_option(
    command: list[str], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(photos / "test" / "cow")
    line = line_of([*command, "--set", "split_by=group"], photos, capsys)
    assert "examples do not have groups in every split" in line
    assert "`split_by: image` (on the command line --set split_by=image)" in line


def test_every_hint_of_a_message_is_an_option(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of(COMMANDS["distill"], photos, capsys)
    assert "train lacks 'cow'" in line
    options = re.findall(r"--set ('[^']+'|[^\s)]+)\)", line)
    assert options == ["classes=VALUE", "'splits={test: null}'", "rare_classes=VALUE"]
    assert source_keys([shlex.split(options[1])[0]]) == {"splits": {"test": None}}


@pytest.mark.parametrize("arguments", [["evaluate", "m", "data"], ["--debug", "compress", "m", "data"]])
def test_other_commands_with_data_name_the_option(arguments: list[str]) -> None:
    error = RequestError("1 of 24 examples cannot be decoded", allowed="`on_broken: skip`")
    assert "--set on_broken=skip" in str(error_for_command(error, arguments))


@pytest.mark.parametrize(
    "arguments", [["run", "study.yaml"], ["predict", "m"], ["nonsense"], ["--debug"], []]
)
def test_commands_without_data_name_the_key_alone(arguments: list[str]) -> None:
    error = RequestError("1 of 24 examples cannot be decoded", allowed="`on_broken: skip`")
    assert error_for_command(error, arguments) is error


def test_broken_image_is_left_out_as_the_message_states(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(photos / "test" / "cow")
    (photos / "train" / "ant" / "0.png").write_text("no image")
    line = line_of(COMMANDS["distill"], photos, capsys)
    assert "1 of 24 examples cannot be decoded" in line
    assert "`on_broken: skip` (on the command line --set on_broken=skip) to leave them out" in line


def test_command_with_a_study_file_names_keys_alone(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = photos.parent / "study.yaml"
    study.write_text(
        f"study: broken\ndata: {{source: folder, path: {photos}}}\nteacher: {{model: resnet8}}\n"
        "students: [resnet8]\nmethods: [ce, kd]\nseeds: 2\nrecipe: {steps: 2}\n"
    )
    line = line_of(["plan", str(study)], photos, capsys)
    assert "`splits: {test: null}`" in line and "--set" not in line
