"""The source files of the package as syntax trees, for tests of its structure."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "distillab"
TESTS = ROOT / "tests"
TREES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))
}
TEST_TREES = {
    str(path.relative_to(TESTS)): ast.parse(path.read_text()) for path in sorted(TESTS.rglob("*.py"))
}


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Yield every node of the given kinds in the package, with its place ``file:line``."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield f"{name}:{node.lineno}", node  # type: ignore[attr-defined]


def identifiers(tree: ast.Module) -> set[str]:
    """Return every name that a file defines or uses."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case (
                ast.arg(arg=name) | ast.keyword(arg=str(name)) | ast.Name(id=name) | ast.Attribute(attr=name)
            ):
                found.add(name)
            case ast.alias(asname=str(name)):
                found.add(name)
    return found


def name_parts(name: str) -> set[str]:
    """Split an identifier into lower-case parts: ``_firstPart``, ``first_part``, ``FirstPart``."""
    return {part.lower() for part in re.split(r"_+|(?<=[a-z0-9])(?=[A-Z])", name) if part}


def public_names(tree: ast.Module) -> set[str]:
    """Return the names without an underscore that a file defines at its top level."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


def packages() -> dict[str, ModuleType]:
    """Import every package and return it by its dotted name."""
    names = [
        ".".join(["distillab", *Path(name).parent.parts])
        for name in TREES
        if Path(name).name == "__init__.py"
    ]
    return {name: importlib.import_module(name) for name in names}
