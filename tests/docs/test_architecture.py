"""docs/architecture.md shows the tree as it is."""

from __future__ import annotations

import re
import tomllib

import pytest

from support.documents import CodeBlock, code_blocks
from support.source_tree import ROOT

PAGE = ROOT / "docs" / "architecture.md"
QUOTES = [block for block in code_blocks(PAGE) if block.language == "python"]
LINES = re.findall(r"Its line in `(\S+/__init__\.py)` is\s`(.+)`\.", PAGE.read_text())
EXTENSIBLE = ("task", "modality", "source", "factor", "model", "method", "executor", "family of measures")


def test_the_table_lists_all_layers_in_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [name for layer in contracts[0]["layers"] for name in layer.split(" | ")]
    table = PAGE.read_text().partition("## The packages")[2].partition("## The contracts")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == layers


@pytest.mark.parametrize("block", QUOTES, ids=lambda block: block.file)
def test_quoted_code_is_in_its_file(block: CodeBlock) -> None:
    lines = iter([line.strip() for line in (ROOT / block.file).read_text().splitlines()])
    for quoted in (line.strip() for line in block.text.splitlines()):
        if quoted not in ("", "..."):
            assert quoted in lines, f"{block.file} has, after the lines before: {quoted}"


@pytest.mark.parametrize(("file", "line"), LINES, ids=lambda value: str(value))
def test_quoted_line_is_in_its_file(file: str, line: str) -> None:
    assert line in [each.strip() for each in (ROOT / file).read_text().splitlines()]


def test_everything_that_can_be_added_is_shown_with_its_line() -> None:
    sections = PAGE.read_text().partition("## One more of something")[2].split("\n### ")[1:]
    titles = [section.partition("\n")[0] for section in sections]
    assert sorted(re.sub(r"^An? ", "", title) for title in titles) == sorted(EXTENSIBLE)
    assert len(QUOTES) == len(LINES) == len(EXTENSIBLE)
