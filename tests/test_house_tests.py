"""The tests themselves: short files, typed functions, shared code in tests/support only."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from support.real_sets import REAL_SETS
from support.source_tree import TEST_TREES, TESTS

LONGEST_FILE = 400
LONGEST_NAME = 75


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield every function of the tests, fixtures and inner functions included, with its file."""
    for file, tree in TEST_TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield file, node


def test_test_files_are_short() -> None:
    lines = {name: len((TESTS / name).read_text().splitlines()) for name in TEST_TREES}
    assert [f"{name}: {n} lines" for name, n in lines.items() if n > LONGEST_FILE] == []


def test_shared_code_is_in_support() -> None:
    allowed = {"conftest", "__init__"}
    modules = [Path(name) for name in TEST_TREES if not name.startswith("support/")]
    assert [str(m) for m in modules if not m.stem.startswith("test_") and m.stem not in allowed] == []
    between_tests = [
        f"{file}: {node.module}"
        for file, tree in TEST_TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and any(part.startswith("test_") or part == "conftest" for part in (node.module or "").split("."))
    ]
    assert between_tests == []


def test_tests_are_typed() -> None:
    untyped = [
        f"{file}: {node.name}"
        for file, node in functions()
        if node.returns is None
        or any(
            a.annotation is None
            for a in node.args.args + node.args.kwonlyargs
            if a.arg not in ("self", "cls")
        )
    ]
    assert untyped == []
    tests = [(file, node) for file, node in functions() if node.name.startswith("test_")]
    assert [f"{f}: {n.name}" for f, n in tests if n.returns and ast.unparse(n.returns) != "None"] == []


def test_test_names_are_short() -> None:
    names = [f"{file}: {node.name}" for file, node in functions() if node.name.startswith("test_")]
    assert [name for name in names if len(name.partition(": ")[2]) > LONGEST_NAME] == []


def test_test_files_have_names_of_their_own() -> None:
    names = Counter(Path(name).name for name in TEST_TREES if Path(name).name.startswith("test_"))
    assert [name for name, times in names.items() if times > 1] == []  # pytest imports them by these names


def test_real_data_come_from_the_fixture() -> None:
    """The fixture ``real_data`` unpacks the sets where the variable is not set."""
    own = [
        f"{file}:{node.lineno}"
        for file, tree in TEST_TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node) == "os.environ['DISTILLAB_DATA']"
    ]
    assert own == []


def test_the_fixture_unpacks_all_real_data_that_tests_read() -> None:
    """A set that lies in DISTILLAB_DATA alone would be missing where the variable is not set."""
    read = {
        node.right.value
        for tree in TEST_TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and ast.unparse(node.left) == "real_data"
        and isinstance(node.right, ast.Constant)
    }
    assert {"bccd", "mot"} <= read
    assert read <= set(REAL_SETS.values())
