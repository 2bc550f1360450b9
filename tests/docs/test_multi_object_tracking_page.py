"""The examples of docs/multi-object-tracking.md run in the order of the page, on its study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from distillab.cli import execute
from distillab.sources.drawn_tracks import DrawnTracks
from support.documents import code_blocks, commands
from support.source_tree import ROOT

PAGE = ROOT / "docs" / "multi-object-tracking.md"
FRAMES = 12


def test_the_examples_run_in_the_order_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("frames").mkdir()
    world = DrawnTracks(frames=FRAMES, resolution=64, walkers=3)
    for number, pixels in enumerate(world.drawn("test", 0).pixels):
        Image.fromarray(pixels).resize((160, 120)).save(f"frames/{number}.png")
    printed = {}
    for block in code_blocks(PAGE):
        if block.language == "yaml":
            Path("walkers.yaml").write_text(block.text)
        for line in commands(block) if block.language == "" and Path("walkers.yaml").exists() else ():
            program, verb, *arguments = line.split()
            if program != "distillab":
                continue  # the script has a test of its own
            quick = ["--executor", "inline"] if verb == "run" else []
            quick = ["--seconds", "0"] if verb == "benchmark" else quick
            assert execute([verb, *arguments, *quick]) == 0, capsys.readouterr().err
            printed[verb] = capsys.readouterr().out
        if block.language == "python":
            exec(compile(block.text, "multi-object-tracking.md", "exec"), {"__name__": "page"})
            assert len(capsys.readouterr().out.splitlines()) > FRAMES
    assert list(printed) == ["run", "export", "predict", "evaluate", "benchmark"]
    lines = [json.loads(line) for line in printed["predict"].splitlines()]
    assert [line["file"] for line in lines] == [f"frames/{number}.png" for number in range(FRAMES)]
    assert all("id" in box for line in lines for box in line["boxes"])
    assert "mota" in printed["evaluate"] and printed["benchmark"].count("1 + tracker") == 2
    written = {each.name for each in Path("shipped").iterdir()}
    assert {"model.safetensors", "model.onnx", "model.pt2", "detections.py", "tracks.py"} <= written
    rows = sum(len(line["boxes"]) for line in lines)
    assert len(Path("tracks.txt").read_text().splitlines()) == rows > FRAMES
    assert Path("boxes.csv").read_text().startswith("file,id,label,confidence")
    assert {each.name for each in Path("drawn").iterdir()} == {f"{number}.png" for number in range(FRAMES)}
    assert Image.open("frames.gif").size == (480, 360)
