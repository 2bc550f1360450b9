"""docs/first-contribution.md, executed as written in a copy of the project."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support.documents import CodeBlock, code_blocks, commands, run_command
from support.source_tree import ROOT

PAGE = ROOT / "docs" / "first-contribution.md"
COPIED = (
    "src",
    "docs",
    "tests/support",
    "tests/methods",
    "tests/data",
    "tests/conftest.py",
    "pyproject.toml",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the parts of the project that the page touches."""
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "images"))
        else:
            shutil.copy(source, target)
    return tmp_path


def apply(block: CodeBlock, project: Path) -> None:
    """Write the file of a block, or insert the added lines of a diff before the line that follows them."""
    path = project / block.file
    if block.language != "diff":
        path.write_text(block.text)
        return
    text = path.read_text()
    for added, following in re.findall(r"^\+(.*)\n (.*)$", block.text, re.MULTILINE):
        assert text.count(f"{following}\n") == 1, f"{block.file} has {following!r} once"
        text = text.replace(f"{following}\n", f"{added}\n{following}\n")
    path.write_text(text)


def test_the_page_works_as_written(project: Path) -> None:
    printed = []
    for block in code_blocks(PAGE):
        if block.language:
            apply(block, project)
            continue
        for command in commands(block):
            if command.startswith(".venv/bin/") and " run " not in command:
                printed.append(run_command(command, project))
    assert "logit_correlation" in printed[0]
    assert "logit_correlation,middle,correlation," in (project / "tests/data/method_goldens.csv").read_text()
    assert re.search(r"\d+ passed", printed[1]) and "failed" not in printed[1]
    assert (
        "| `logit_correlation` | Logit correlation: match the pattern"
        in (project / "docs" / "methods.md").read_text()
    )
    written = [str(project / block.file) for block in code_blocks(PAGE) if block.file.endswith(".py")]
    for ruff in ("check", "format --check"):
        run_command(f"python -m ruff {ruff} {' '.join(written)}", project)
    demanded = "tests/methods/test_regimes_and_memories.py -k every_method_has_a_golden_value"
    assert "1 passed" in run_command(f"python -m pytest -q {demanded}", project)
    run_command("distillab plan try.yaml", project)  # running it takes minutes
