"""The examples of docs/deploy.md run in the order of the page, on its study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from distillab.cli import execute
from support.documents import code_blocks, commands
from support.source_tree import ROOT

PAGE = ROOT / "docs" / "deploy.md"


def test_the_examples_run_in_the_order_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    digit = load_digits().images[3] * (255 / 16)
    Image.fromarray(digit.astype(np.uint8)).resize((40, 40)).save("photo.png")
    printed = {}
    for block in code_blocks(PAGE):
        if block.language == "yaml":
            Path("digits.yaml").write_text(block.text)
        for line in commands(block) if block.language == "" else ():
            program, verb, *arguments = line.split()
            if program != "distillab":
                continue
            quick = ["--executor", "inline"] if verb == "run" else []
            quick = ["--seconds", "0"] if verb == "benchmark" else quick
            assert execute([verb, *arguments, *quick]) == 0, capsys.readouterr().err
            printed[verb] = capsys.readouterr().out
        if block.language == "python":
            exec(compile(block.text, "deploy.md", "exec"), {"__name__": "page"})
    assert list(printed) == ["run", "export", "predict", "evaluate", "benchmark"]
    assert set(json.loads(printed["predict"])) == {"file", "label", "probability"}
    assert "accuracy" in printed["evaluate"]
    listed = {line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert {each.name for each in Path("shipped").iterdir()} == listed
