"""What a request of `distillab distill` may say, and what is chosen where it says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import distillab
from distillab.errors import RequestError
from distillab.shipping.request import ShippingRequest, has_pretrained, usual_teachers, with_size
from distillab.sources.digits import Digits
from distillab.sources.folder import Folder

PARAMS = {"resnet20": 270_000, "resnet56": 850_000, "resnet32x4": 7_400_000}


def request(**changes: Any) -> ShippingRequest:
    values: dict[str, Any] = {
        "source": Digits(),
        "student": "resnet8",
        "teacher": None,
        "methods": ("auto",),
        "budget": 60.0,
        "folder": Path("out"),
    }
    return ShippingRequest(**values | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget": 0.0}, "--budget"),
        ({"seeds": 4}, "--seeds"),
        ({"methods": ("kdd",)}, "did you mean 'kd'"),
        ({"methods": ("label_smoothing",)}, "does not distil"),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        request(**changes)


@pytest.mark.parametrize(
    ("student", "teachers"),
    [
        (24_000, ["resnet20"]),
        (270_000, ["resnet56", "resnet20"]),
        (90_000_000, ["resnet32x4", "resnet56", "resnet20"]),
    ],
)
def test_the_usual_teacher_is_larger_than_the_student(student: int, teachers: list[str]) -> None:
    assert [each.model for each in usual_teachers(1, 28, PARAMS, student)] == teachers


def test_large_color_images_have_a_pretrained_teacher_if_it_is_installed() -> None:
    first, *_, last = usual_teachers(3, 96, PARAMS, 24_000)
    assert first.keys.get("pretrained", False) == has_pretrained("efficientnet_lite0")
    assert last.model == "resnet20@32"


@pytest.mark.parametrize(
    ("sizes", "resolution"),
    [({(32, 32)}, None), ({(64, 64)}, None), ({(128, 128)}, 64), ({(30, 40), (31, 40)}, 64), (set(), None)],
)
def test_images_of_one_small_size_stay_as_they_are(
    sizes: set[tuple[int, int]], resolution: int | None
) -> None:
    source, note = with_size(Folder(path=Path("images")), None, sizes)
    assert source.entry().get("resolution") == resolution
    assert bool(note) == (resolution is not None)


def test_a_stated_size_is_used() -> None:
    source, note = with_size(Folder(path=Path("images")), 96, set())
    assert (source.entry()["resolution"], note) == (96, "")


def test_a_student_with_pretrained_weights_competes_from_both() -> None:
    if not has_pretrained("efficientnet_lite0"):
        pytest.fail("the extra 'imagenet', which dev includes, is not installed")
    assert request(student="efficientnet_lite0").students() == [
        "efficientnet_lite0",
        {"model": "efficientnet_lite0", "pretrained": True},
    ]
    assert request(student=["resnet8"]).students() == ["resnet8"]


@pytest.mark.parametrize("methods", ["", ",", " , "])
def test_an_empty_list_of_methods_is_refused(methods: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--methods: names no method"):
        distillab.ship("digits", "resnet8", methods=methods, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"student": "nosuch"}, "--student"),
        ({"student": "resnet8", "methods": "nosuch"}, "--methods"),
        ({"student": "resnet8", "teacher": "nosuch"}, "--teacher"),
        (
            {"student": "resnet8", "teacher": "resnet8", "keys": {"teacher.nosuch": 1}},
            "--teacher",
        ),
        ({"student": "resnet8", "keys": {"teacher.entry": "ema"}}, "--set teacher.entry"),
        ({"student": "resnet8", "teacher": "resnet8", "keys": {"teacher.stem": "x"}}, "--set teacher.stem"),
    ],
)
def test_a_refusal_names_the_option_and_leaves_no_folder(
    arguments: dict[str, Any], where: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError) as caught:
        distillab.ship("digits", out=tmp_path / "out", **arguments)
    assert str(caught.value).startswith(where)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["report.html", "notes.txt", "student/model.onnx"])
def test_a_folder_of_other_files_is_not_used(file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine")
    with pytest.raises(RequestError, match="holds other files"):
        distillab.ship("digits", "resnet8", out=tmp_path)
    assert (tmp_path / file).read_text() == "mine"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": "x"}'])
def test_a_damaged_record_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "distill.json").write_text(content)
    with pytest.raises(RequestError, match=r"distill\.json: is damaged"):
        distillab.ship("digits", "resnet8", out=tmp_path)
