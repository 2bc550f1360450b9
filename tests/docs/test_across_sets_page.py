"""The page on conclusions across data sets: its command is executed, and its quotation is what it prints."""

from __future__ import annotations

import pytest

from distillab.cli import execute
from distillab.evidence.across import INTERACTIONS, curve_forms
from support.documents import code_blocks, commands
from support.source_tree import ROOT

PAGE = ROOT / "docs" / "across.md"


def test_quoted_lines_are_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    [command] = [line for block in code_blocks(PAGE) for line in commands(block) if "docs/results/" in line]
    assert execute(command.split()[1:]) == 0
    printed = capsys.readouterr().out.splitlines()
    quoted = [line.removeprefix("> ") for line in PAGE.read_text().splitlines() if line.startswith("> ")]
    assert quoted
    assert [line.strip() for line in printed[: len(quoted)]] == quoted


def test_page_names_every_form_and_interaction() -> None:
    text = " ".join(PAGE.read_text().split())
    for form in curve_forms.CURVE_FORMS:
        assert f"`{form.formula}`" in text
    for pair in INTERACTIONS:
        names = (pair.first.replace("_", " "), pair.second.replace("_", " "))
        assert f"{names[0]} × {names[1]}" in text
