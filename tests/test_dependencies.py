"""Declared dependencies: the core ones are what the core imports, and features of their own are extras."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from support.source_tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCE = ROOT / "src" / "distillab"


BROUGHT = {
    "pydantic-core": "a part of pydantic",
    "markupsafe": "a part of jinja2",
    "huggingface-hub": "comes with timm and with datasets",
    "opencv-python": "comes with imagecorruptions-imaug",
    "ipython": "is there in notebooks, and is imported in them alone",
}


def normal(name: str) -> str:
    """Return the name of a distribution in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", name)[0]).lower()


CORE = {normal(each) for each in PROJECT["dependencies"]}
EXTRAS = {
    normal(each)
    for name, extra in PROJECT["optional-dependencies"].items()
    if name != "dev"
    for each in extra
}

DISTRIBUTIONS = packages_distributions()


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Go through the distributions that a module imports, and whether it does so when it is imported."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "distillab":
                for each in DISTRIBUTIONS.get(top, [top]):
                    yield normal(each), node in tree.body


USED = {(name, at_once) for file in SOURCE.rglob("*.py") for name, at_once in imports(file)}


def test_every_import_is_declared() -> None:
    assert {name for name, _ in USED} - CORE - EXTRAS - BROUGHT.keys() == set()


def test_every_core_dependency_is_imported() -> None:
    assert CORE - {name for name, _ in USED} == set()


def test_extras_are_imported_where_they_are_used() -> None:
    """The modules of optional kernels are imported only where the extra is installed."""
    optional = {normal("numba")}
    assert {name for name, at_once in USED if at_once} & (EXTRAS - CORE) <= optional


def test_examples_of_the_demo_are_no_core_dependency() -> None:
    assert "mlxtend" in EXTRAS - CORE
