"""What a study names outside of its file is looked for before any example is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distillab import api
from distillab.cli import execute
from distillab.errors import RequestError
from distillab.sources import sources
from distillab.sources.digits import Digits
from distillab.sources.source import RawSplits
from distillab.study.spec import StudySpec, check_references
from support.studies import spec, write_study


class UnreadDigits(Digits):
    """Digits that must not be read."""

    kind = "unread"

    def read(self) -> RawSplits:
        raise AssertionError("the examples were read")


@pytest.fixture(autouse=True)
def unread() -> Iterator[None]:
    with sources.temporarily("unread", UnreadDigits):
        yield


EXTERNAL = {"model": "resnet8", "provenance": ["external"], "weights": "missing.pt"}
OTHERS = {"more": {"source": "folder", "path": "nowhere"}}
# The change of a study, and what the one line names.
MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "student": ({"students": ["resnet8", "resnet18"]}, ("students", "torchvision:resnet18")),
    "teacher": (
        {"teacher": {"model": "mobilenet_v3_small"}},
        ("teacher.model", "torchvision:mobilenet_v3_small"),
    ),
    "one of several teachers": (
        {"teacher": {"model": "", "models": ["resnet8", "resnet9"]}},
        ("teacher.models", "'resnet9'"),
    ),
    "assistant": ({"teacher": {"assistants": "resnet2"}}, ("teacher.assistants", "'resnet20'")),
    "module": ({"students": "my_networks:small"}, ("students", "my_networks")),
    "weights": ({"teacher": EXTERNAL}, ("teacher.weights", "missing.pt", "No such file")),
    "method": ({"methods": ["kdd"]}, ("methods", "'kd'")),
    "factor": ({"factors": {"siez": [5]}}, ("factors", "'size'")),
    "scores": (
        {"factors": {"selection": {"levels": ["uncertain"], "budget": 5, "scores": "scores.csv"}}},
        ("factors.selection.scores", "scores.csv"),
    ),
    "photo": (
        {"factors": {"unlabelled": {"levels": [0.5], "kind": "one_photo", "photo": "photo.jpg"}}},
        ("factors.unlabelled.photo", "photo.jpg"),
    ),
    "folder of another dataset": ({"others": OTHERS}, ("others.more", "nowhere")),
    "other dataset of a shift": (
        {"factors": {"shift": {"levels": [0, 0.5], "to": "mor"}}, "others": {"more": {"source": "digits"}}},
        ("factors.shift", "'more'"),
    ),
    "other dataset of unlabelled examples": (
        {"factors": {"unlabelled": {"levels": [0.5], "kind": "other_dataset", "dataset": "more"}}},
        ("factors.unlabelled", "'more'", "others"),
    ),
}


@pytest.mark.parametrize("verb", ["plan", "run"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_missing_thing_is_one_line_before_data_are_read(
    mistake: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, parts = MISTAKES[mistake]
    path = tmp_path / "study.yaml"
    write_study(path, **{"data": {"source": "unread"}, **changes})
    arguments = [verb, str(path), *(["--out", str(tmp_path / "out")] if verb == "run" else [])]
    assert execute(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    for part in ("study.yaml", *parts):
        assert part in printed.err
    assert not (tmp_path / "out").exists()


def test_study_in_python_is_checked_as_well() -> None:
    study = api.Study(
        study="tiny",
        data={"source": "unread"},
        teacher={"model": "resnet8"},
        students="resnet18",
        methods=["kd"],
    )
    with pytest.raises(RequestError, match="torchvision:resnet18"):
        study.plan()


def test_complete_study_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"weights, looked at later")
    complete: StudySpec = spec(tmp_path, teacher=EXTERNAL | {"weights": "weights.pt"})
    check_references(complete)


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"teacher": "resnet18", "weights": "w.safetensors"}, "torchvision:resnet18"),
        ({"teacher": "resnet8"}, "--weights FILE"),
        ({"teacher": "resnet8", "weights": "missing.pt"}, "missing.pt"),
        ({"weights": "missing.pt"}, "--teacher MODEL"),
        ({"against": "folder:nowhere"}, "nowhere"),
        ({"embedding": "imagnet"}, "'imagenet'"),
    ],
)
def test_profile_looks_for_what_it_needs_first(keys: dict[str, str], part: str) -> None:
    with pytest.raises(RequestError, match=part):
        api.profile("unread", **keys)
