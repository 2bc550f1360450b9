"""Code blocks of Markdown pages, and running what they hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CodeBlock:
    """A block of code on a page.

    Attributes:
        language: Name after the fence; empty for an indented block, which holds commands.
        text: The code.
        file: The last file that the paragraph above mentions in backquotes, or "".
    """

    language: str
    text: str
    file: str


def code_blocks(page: Path) -> list[CodeBlock]:
    """Return the fenced and the indented blocks of a page, in order."""
    blocks: list[CodeBlock] = []
    file, language, lines = "", "", []
    fenced = False
    for line in [*page.read_text().splitlines(), ""]:
        if line.startswith("```"):
            if fenced:
                blocks.append(CodeBlock(language, "".join(f"{each}\n" for each in lines), file))
            fenced, language, lines = not fenced, line[3:], []
        elif fenced:
            lines.append(line)
        elif line.startswith("    "):
            lines.append(line[4:])
        elif lines:
            blocks.append(CodeBlock("", "\n".join(lines), ""))
            lines = []
        if not fenced and (named := re.findall(r"`([\w./-]+\.(?:py|yaml))`", line)):
            file = named[-1]
    return blocks


def commands(block: CodeBlock) -> list[str]:
    """Return the lines of a block of commands without comments."""
    return [command for line in block.text.splitlines() if (command := line.split("   #")[0].strip())]


def environment(project: Path) -> dict[str, str]:
    """Return the environment in which Python imports distillab from a copy of the project."""
    return os.environ | {"PYTHONPATH": f"{project / 'src'}:{project / 'tests'}", "OMP_NUM_THREADS": "1"}


def run_command(command: str, folder: Path) -> str:
    """Run a command of a page in a copy of the project, and return what it printed.

    ``.venv/bin/python`` and ``distillab`` are this Python and that copy.
    """
    name, _, arguments = command.removeprefix(".venv/bin/").partition(" ")
    program = {"python": [sys.executable], "distillab": [sys.executable, "-m", "distillab.cli"]}[name]
    run = subprocess.run(
        [*program, *arguments.split()],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
    return run.stdout
