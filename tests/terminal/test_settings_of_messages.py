"""Messages that name a key of a source as the way out can be followed on the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distillab.cli import execute
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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images of two classes, one of which is broken."""
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            picture = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
            picture.save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "photos" / "ant" / "0.png").write_text("no image")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "command",
    [
        ["profile", "{photos}"],
        ["--debug", "profile", "{photos}"],
        ["advise", "{photos}", "--budget", "0"],
        ["distill", "{photos}", "--student", "resnet8", "--out", "{out}"],
    ],
)
def test_commands_with_data_name_the_option(
    command: list[str], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each.format(photos=photos, out=tmp_path / "out") for each in command]
    assert execute(given) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "cannot be decoded" in line
    found = re.search(r"`on_broken: skip` \(on the command line --set (\S+)\)", line)
    assert found and source_keys([found[1]]) == {"on_broken": "skip"}


def test_command_with_a_study_file_names_the_key_alone(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        f"study: broken\ndata: {{source: folder, path: {photos}}}\nteacher: {{model: resnet8}}\n"
        "students: [resnet8]\nmethods: [ce, kd]\nseeds: 2\nrecipe: {steps: 2}\n"
    )
    assert execute(["plan", str(study)]) == 2
    line = capsys.readouterr().err
    assert "`on_broken: skip` to leave them out" in line and "--set" not in line
