"""A compression writes into a folder of its own, and removes nothing that it did not write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distillab.api.compression import compress
from distillab.api.compression_folder import remove_own_model, require_own_folder
from distillab.cli import execute
from distillab.errors import RequestError

OWN = "8f0c"


def write_model(folder: Path, compression: object) -> Path:
    """Write what is recognized as an exported model."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"facts": {"compression": compression}}))
    (folder / "model.safetensors").write_text("weights")
    return folder


def begun(out: Path, identity: str = OWN) -> Path:
    out.mkdir(parents=True)
    (out / "compress.json").write_text(json.dumps({"identity": identity}))
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


FOREIGN: dict[str, dict[str, str]] = {
    "a study": {"study.yaml": "study: mine", "ledger.sqlite": "", "report.html": "<p>mine</p>"},
    "a distillation": {"answer.json": "{}", "report.html": "<p>mine</p>", "model/config.json": "{}"},
    "an exported model": {"config.json": "{}", "model.onnx": "x"},
    "files of the user": {"notes.txt": "mine"},
    "a hidden file": {".keep": ""},
    "a damaged request": {"compress.json": "{"},
    "a request of another program": {"compress.json": '{"quality": 80}'},
    "a list of another program": {"compress.json": "[1]"},
    "a number of another program": {"compress.json": '{"identity": 7}'},
}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=list(FOREIGN))
def test_folder_of_something_else_is_refused_before_data_are_read(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    before = content(out)
    assert execute(["compress", "no-model", "no-data", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"--out {out}: " in error and "a new or empty folder" in error
    assert len(error.splitlines()) == 1
    assert content(out) == before


@pytest.mark.parametrize("made", [False, True])
def test_new_and_empty_folders_are_accepted(made: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if made:
        out.mkdir()
    require_own_folder(out)
    with pytest.raises(RequestError, match="no-model"):  # the folder is not what is wrong
        compress("no-model", "no-data", out=out)
    assert out.exists() == made


@pytest.mark.parametrize("compression", [{"arm": "prune", "request": OWN}, {"arm": "prune"}])
def test_own_model_is_replaced_and_removed(compression: object, tmp_path: Path) -> None:
    out = begun(tmp_path / "out")
    write_model(out / "model", compression)
    require_own_folder(out)
    remove_own_model(out)
    assert not (out / "model").exists()
    remove_own_model(out)  # there is none


def model_of_a_study(out: Path) -> None:
    (out / "model").mkdir()
    (out / "model" / "config.json").write_text(json.dumps({"facts": {"run_id": "1"}}))


def model_of_another_compression(out: Path) -> None:
    write_model(out / "model", {"arm": "prune", "request": "77aa"})


def folder_of_the_user(out: Path) -> None:
    (out / "model").mkdir()
    (out / "model" / "notes.txt").write_text("mine")


def damaged_configuration(out: Path) -> None:
    (out / "model").mkdir()
    (out / "model" / "config.json").write_text("[")


def linked_model(out: Path) -> None:
    write_model(out.parent / "elsewhere", {"arm": "prune", "request": OWN})
    (out / "model").symlink_to(out.parent / "elsewhere")


def file_instead(out: Path) -> None:
    (out / "model").write_text("mine")


@pytest.mark.parametrize(
    "make",
    [
        model_of_a_study,
        model_of_another_compression,
        folder_of_the_user,
        damaged_configuration,
        linked_model,
        file_instead,
    ],
)
def test_model_of_something_else_is_refused_and_stays(make: object, tmp_path: Path) -> None:
    assert callable(make)
    out = begun(tmp_path / "out")
    make(out)
    before = content(tmp_path)
    with pytest.raises(RequestError, match="its model/ was not written by this compression"):
        compress("no-model", "no-data", out=out)
    remove_own_model(out)
    assert content(tmp_path) == before


def test_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RequestError, match=r"cannot be used \(Not a directory\)"):
        require_own_folder(tmp_path / "out")
