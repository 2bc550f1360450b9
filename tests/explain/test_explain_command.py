"""``distillab explain`` and ``distillab.explain``: overlays, lines, and requests that are wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import distillab
from distillab.cli import execute
from distillab.explain import attributions
from support.exported import CLASSES

KEYS = ["file", "label", "probability", "predicted", "method", "peak", "border_share", "overlay"]


@pytest.mark.parametrize("method", sorted(attributions))
def test_command_prints_a_line_and_writes_an_overlay_per_file(
    method: str, shipped: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    code = execute(["explain", str(shipped), *map(str, photos), "--method", method, "--out", str(out)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [list(line) for line in lines] == [KEYS, KEYS]
    assert [line["file"] for line in lines] == list(map(str, photos))
    for line in lines:
        picture = np.asarray(Image.open(line["overlay"]))
        left, right = picture[:, :256], picture[:, -256:]
        assert picture.shape == (256, 256 + 6 + 256, 3)
        assert line["predicted"] == line["label"] in CLASSES
        assert (left != right).any()


def test_json_is_one_list(
    shipped: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["explain", str(shipped), str(photos[0].parent), "--json", "--out", str(tmp_path)]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_files_of_one_name_do_not_replace_each_other(
    shipped: Path, photos: list[Path], tmp_path: Path
) -> None:
    found = distillab.explain(shipped, [photos[0], photos[0]], out=tmp_path)
    assert [each.overlay for each in found] == [
        tmp_path / "one.grad_cam.png",
        tmp_path / "one.grad_cam-2.png",
    ]


def test_chosen_class_is_explained_and_gives_another_map(shipped: Path, photos: list[Path]) -> None:
    [usual] = distillab.explain(shipped, photos[0])
    other = next(name for name in CLASSES if name != usual.predicted)
    [found] = distillab.explain(shipped, photos[0], class_name=other)
    assert (found.label, found.predicted, found.overlay) == (other, usual.predicted, None)
    assert found.probability <= usual.probability
    assert not np.array_equal(found.map, usual.map)


@pytest.mark.parametrize("file", ["model.onnx", "model.pt2"])
@pytest.mark.parametrize("method", [each for each in attributions if attributions[each].reads == "outputs"])
def test_graphs_give_the_maps_of_the_weights(
    file: str, method: str, shipped: Path, photos: list[Path]
) -> None:
    [expected] = distillab.explain(shipped, photos[0], method=method)
    [found] = distillab.explain(shipped / file, photos[0], method=method)
    assert found.predicted == expected.predicted
    assert np.abs(found.map - expected.map).mean() < 0.03  # pixels are rounded to whole values


def test_names_in_the_package_stay_functions(shipped: Path) -> None:
    import distillab.explain.overlay

    assert callable(distillab.explain)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["MODEL", "PHOTO", "--method", "gradcam"], "--method: unknown attribution 'gradcam', did you mean"),
        (["MODEL", "PHOTO", "--class", "cot"], "--class: unknown class 'cot', did you mean 'cat'?"),
        (["MODEL", "TEXT"], "text.png: cannot be identified as an image"),
        (["MODEL", "missing.png"], "missing.png: there is no such file"),
        (["MODEL/model.onnx", "PHOTO"], "model.onnx: grad_cam needs gradients, and this file is a graph"),
        (
            ["MODEL/model.pt2", "PHOTO", "--method", "integrated_gradients", "--allow-code"],
            "model.pt2: integrated_gradients needs gradients",
        ),
        (["missing", "PHOTO"], "missing: there is no such file or folder"),
        (["MODEL", "PHOTO", "--out", "TEXT"], "--out: TEXT: cannot be written"),
    ],
)
def test_wrong_requests_are_one_line(
    arguments: list[str],
    line: str,
    shipped: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "text.png"
    text.write_text("no image")
    places = {"MODEL": str(shipped), "PHOTO": str(photos[0]), "TEXT": str(text)}
    for place, path in places.items():
        arguments = [each.replace(place, path) for each in arguments]
        line = line.replace(place, path)
    assert execute(["explain", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert line in printed.err


def test_one_bad_file_among_several_does_not_stop_the_others(
    shipped: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    assert execute(["explain", str(shipped), str(text), str(photos[0]), "--out", str(tmp_path / "o")]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert "text.png: cannot be identified" in printed.err


def test_missing_package_is_one_line_with_its_extra(
    shipped: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert execute(["explain", str(shipped), str(photos[0]), "--method", "lime"]) == 2
    line = "distillab: lime needs the package captum (allowed: pip install 'distillab[explain]')\n"
    assert capsys.readouterr().err == line
