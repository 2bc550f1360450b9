"""An exported model is replaced by one that passed its gates, and by nothing less."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distillab.deploy import Exported, check_formats, load_model
from distillab.deploy.onnx_export import EXPORTERS
from distillab.errors import RequestError
from distillab.terminal.deploy import print_export
from support.exported import describe, written


def fails(network: object, items: object, name: str) -> bytes:
    raise NotImplementedError("no such operator")


@pytest.fixture
def no_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EXPORTERS:
        monkeypatch.setitem(EXPORTERS, name, fails)


def content(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.mark.usefixtures("no_exporter")
@pytest.mark.parametrize("formats", [["onnx"], ["int8"], ["onnx", "int8"]])
def test_model_stays_if_no_new_file_passes(
    formats: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "model", describe(), ["safetensors"])
    before = content(tmp_path / "model")
    made = written(tmp_path / "model", describe(), formats)
    assert made.kept and not made.checks.files and made.as_dict()["kept"]
    assert "no such operator" in made.checks.not_written["model.onnx"]
    assert content(tmp_path / "model") == before
    assert [each.name for each in tmp_path.iterdir()] == ["model"]  # no draft is left
    print_export(made)
    printed = capsys.readouterr().out
    assert "no such operator" in printed and "the model that was there before is kept" in printed


@pytest.mark.usefixtures("no_exporter")
def test_model_is_replaced_if_one_new_file_passes(tmp_path: Path) -> None:
    written(tmp_path / "model", describe(), ["pt2"])
    made = written(tmp_path / "model", describe(), ["safetensors", "onnx"])
    assert not made.kept and set(made.checks.files) == {"model.safetensors"}
    assert not (tmp_path / "model" / "model.pt2").exists()


@pytest.mark.usefixtures("no_exporter")
def test_failed_export_to_a_new_folder_states_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second one replaces checks, not a model
        made = written(tmp_path / "model", describe(), ["onnx"])
        assert not made.kept and "model.onnx" in made.checks.not_written
        assert (made.folder / "checks.json").is_file()
    print_export(made)
    assert "no file passed; what was found is in" in capsys.readouterr().out


def test_int8_alone_that_does_not_pay_keeps_the_model(tmp_path: Path) -> None:
    written(tmp_path / "model", describe(), ["safetensors"])
    with torch.random.fork_rng(devices=[]):
        made: Exported = written(tmp_path / "model", describe(), ["int8"], max_drop=-1.0)
    assert made.kept and load_model(made.folder).path.name == "model.safetensors"


def test_no_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--format: names no format"):
        written(tmp_path / "model", describe(), [])
    assert not (tmp_path / "model").exists()
    with pytest.raises(RequestError, match="names no format"):
        check_formats(())
