"""Every block of code on every page is run, parsed or compared with the tree: none is left out.

Studies are parsed, commands have existing programs, files and options, Python is executed or quoted. The
README and the first contribution are executed as a whole in tests of their own.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from PIL import Image

import distillab
from distillab.cli import app
from distillab.methods import Method
from distillab.study.spec.study import parse_study
from distillab.study.spec.study_yaml import load_study_yaml
from support.documents import CodeBlock, code_blocks, commands
from support.planted import CLASSES, gratings
from support.source_tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Pages whose Python and diffs are executed or compared with the tree by tests of their own.
EXECUTED = (
    "README.md",
    "docs/multi-object-tracking.md",
    *(
        f"docs/{name}.md"
        for name in ("first-contribution", "architecture", "data", "python", "deploy", "detection")
    ),
)
# What is neither code nor command: page, and how the block begins.
SHOWN = {
    ("docs/architecture.md", "study.yaml ──>"): "a diagram",
    ("docs/profile.md", '{"schema":'): "the form of the output",
    ("docs/scale.md", "#!/bin/bash"): "a batch script of Slurm",
}
STUDY: dict[str, Any] = {
    "study": "page",
    "data": {"source": "digits"},
    "teacher": {"model": "resnet8"},
    "students": "resnet8",
    "methods": ["kd"],
}
# Where a block of one key belongs in a study.
PARENTS = {"views": "recipe", "unlabelled": "factors"}
FILE = re.compile(r"(?!python )[\w{}*-]+(/[\w{}*.-]+)+")  # a line of a list of files
PROGRAMS = ("make", "python", "python3", "pip", "uv", "distillab", "git", "source")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


BLOCKS = [(page, block) for page in PAGES for block in code_blocks(page)]


def of_language(*languages: str) -> list[Any]:
    found = [(page, block) for page, block in BLOCKS if kind_of(page, block) in languages]
    return [pytest.param(*each, id=f"{name_of(each[0])}-{number}") for number, each in enumerate(found)]


def kind_of(page: Path, block: CodeBlock) -> str:
    """Return what a block is: python, diff, study, commands, or shown."""
    if block.language in ("python", "diff"):
        return block.language
    if block.language == "yaml":
        return "study"
    if any((page_name, start) for page_name, start in SHOWN if _shows(page, block, page_name, start)):
        return "shown"
    if all(FILE.match(line) for line in block.text.splitlines()):
        return "shown"
    if block.text.startswith("distillab."):
        return "call"
    first = program_of(commands(block)[0])
    if first in PROGRAMS:
        return "commands"
    return "study" if re.match(r"\s*\w+:", block.text) else "unknown"


def _shows(page: Path, block: CodeBlock, page_name: str, start: str) -> bool:
    return name_of(page) == page_name and block.text.lstrip().startswith(start)


def program_of(command: str) -> str:
    words = [part for part in command.split() if not re.fullmatch(r"[A-Z_]+=\S*", part)]
    return words[0].removeprefix(".venv/bin/") if words else ""


def test_every_block_is_of_a_known_kind() -> None:
    unknown = [(name_of(page), block.text) for page, block in BLOCKS if kind_of(page, block) == "unknown"]
    assert unknown == []
    assert {block.language for _, block in BLOCKS} <= {"", "python", "diff", "yaml"}


def test_what_is_only_shown_exists() -> None:
    for page_name, start in SHOWN:
        assert any(_shows(page, block, page_name, start) for page, block in BLOCKS)


@pytest.mark.parametrize(("page", "block"), of_language("python", "diff"))
def test_python_is_executed(
    page: Path, block: CodeBlock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name_of(page) in EXECUTED:
        tests = (ROOT / "tests" / "docs").glob("test_*.py")
        name = page.stem.lower().replace("-", "_")
        assert any(test.stem in (f"test_{name}", f"test_{name}_page") for test in tests)
        return
    for folder in re.findall(r"\(\"(\w+)\"\)", block.text):
        image_folder(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.text, name_of(page), "exec"), names)
    if "Method" in block.text:
        assert any(isinstance(each, type) and issubclass(each, Method) for each in names.values())


@pytest.mark.parametrize(("page", "block"), of_language("call"))
def test_function_that_is_called_takes_its_arguments(page: Path, block: CodeBlock) -> None:
    calls = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)]
    bound = 0
    for call in calls:
        name = ast.unparse(call.func)
        if name.startswith("distillab.") and name.count(".") == 1:
            function = getattr(distillab, name.removeprefix("distillab."))
            keywords = {str(each.arg): each.arg for each in call.keywords}
            inspect.signature(function).bind(*call.args, **keywords)
            bound += 1
    assert bound > 0


def image_folder(path: Path) -> None:
    """Write the folder of images that the code of a page reads."""
    images, labels = gratings(80, classes=2)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = path / CLASSES[label] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(file)


def fragments(text: str) -> Iterator[dict[str, Any]]:
    """Go through the mappings of a block: a key that is written again begins another one."""
    held: dict[str, Any] = {}
    for part in re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        for key, value in (load_study_yaml(part) or {}).items():
            if key in held:
                yield held
                held = {}
            held[key] = value
    yield held


@pytest.mark.parametrize(("page", "block"), of_language("study"))
def test_studies_and_their_parts_are_accepted(page: Path, block: CodeBlock, tmp_path: Path) -> None:
    if name_of(page) == "docs/first-contribution.md":
        return  # of a method that the page adds; its test plans the study
    for file in re.findall(r"\b\w+\.py\b", block.text):  # its code is on the same page
        [code] = [each.text for each in code_blocks(page) if each.language == "python"]
        (tmp_path / file).write_text(code)
    for fragment in fragments(textwrap.dedent(block.text)):
        study = dict(STUDY)
        for key, value in fragment.items():
            if key in PARENTS:
                study[PARENTS[key]] = {key: value}
            else:
                study[key] = value
        assert parse_study(study, tmp_path, name_of(page)).study == study["study"]


@pytest.mark.parametrize(("page", "block"), of_language("commands"))
def test_commands_exist_with_their_options(page: Path, block: CodeBlock) -> None:
    text = block.text.replace("\\\n", " ")
    for line in commands(CodeBlock("", text, "")):
        for command in line.split(" && "):
            program = program_of(command)
            if program in PROGRAMS:
                check = {"make": _make, "distillab": _distillab, "python": _python, "uv": _install}
                arguments = command.partition(program)[2].strip()
                check.get(program, _install if program == "pip" else _nothing)(arguments)


def _nothing(arguments: str) -> None:
    """Accept a program that is no part of the project: ``git clone``, ``python3 -m venv``."""


def _make(arguments: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for part in arguments.split():
        variable, equals, _ = part.partition("=")
        pattern = rf"^{variable} \?=|\$\$?\{{?\(?{variable}\b" if equals else rf"^{part}:"
        assert re.search(pattern, makefile, re.MULTILINE), part


def _install(arguments: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"\[([\w,]+)\]", arguments):
        assert set(named.split(",")) <= extras.keys()


def _python(arguments: str) -> None:
    if arguments.startswith("-m pytest"):
        return  # the paths of the first contribution are created by it, which its test executes
    script, _, rest = arguments.partition(" ")
    code = (ROOT / script).read_text()
    for option in re.findall(r"--[\w-]+", rest):
        shared = "parse" in code and any(
            f'"{option}"' in each.read_text() for each in (ROOT / "benchmarks").glob("*.py")
        )
        passed_on = "distillab profile" in code and option in _options("profile")
        assert f'"{option}"' in code or shared or passed_on, f"{script} has no option {option}"


def _distillab(arguments: str) -> None:
    verb, _, rest = re.sub(r"[\[\]]", "", arguments).partition(" ")
    _command(verb).make_context(verb, rest.split())  # raises a usage error for what it does not take


def _command(verb: str) -> Any:
    return typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]


def _options(verb: str) -> list[str]:
    return [option for parameter in _command(verb).params for option in parameter.opts]
