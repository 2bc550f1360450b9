"""The examples of docs/detection.md run in the order of the page, on its study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from distillab.cli import execute
from distillab.sources.drawn_boxes import DrawnBoxes
from support.documents import code_blocks, commands
from support.source_tree import ROOT

PAGE = ROOT / "docs" / "detection.md"


def test_the_examples_run_in_the_order_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("frames").mkdir()
    for number, pixels in enumerate(DrawnBoxes(test_images=3).read().test.items):  # type: ignore[union-attr]
        Image.fromarray(pixels).resize((160, 120)).save(f"frames/{number}.png")
    printed = {}
    for block in code_blocks(PAGE):
        if block.language == "yaml":
            Path("shapes.yaml").write_text(block.text)
        for line in commands(block) if block.language == "" and Path("shapes.yaml").exists() else ():
            program, verb, *arguments = line.split()
            if program != "distillab" or arguments[0].startswith("studies/"):
                continue
            quick = ["--executor", "inline"] if verb == "run" else []
            quick = ["--seconds", "0"] if verb == "benchmark" else quick
            assert execute([verb, *arguments, *quick]) == 0, capsys.readouterr().err
            printed[verb] = capsys.readouterr().out
        if block.language == "python":
            exec(compile(block.text, "detection.md", "exec"), {"__name__": "page"})
            capsys.readouterr()
    assert list(printed) == ["run", "export", "predict", "evaluate", "benchmark"]
    lines = [json.loads(line) for line in printed["predict"].splitlines()]
    assert [set(line) for line in lines] == [{"file", "width", "height", "boxes"}] * 3
    assert "ap50" in printed["evaluate"]
    written = {each.name for each in Path("shipped").iterdir()}
    assert {"model.safetensors", "model.onnx", "model.pt2", "detections.py"} <= written
    assert Path("boxes.csv").read_text().startswith("file,label,confidence")
    assert {each.name for each in Path("drawn").iterdir()} == {"0.png", "1.png", "2.png"}
    assert Image.open("frames.gif").size == (160, 120)
