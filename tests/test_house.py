"""The order of the house: what holds for every file of the package, whoever writes it."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "distillab"
TREES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}
PICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
NOT_FOR_USERS = (
    "timm",
    "datasets",
    "efficientnet_lite_pytorch",
    "imagecorruptions",
    "torchmetrics",
    "pytest",
    "hypothesis",
    "playwright",
)


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of the given kinds in the package, with the place it stands at."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield f"{name}:{node.lineno}", node


def imported(node: ast.AST) -> set[str]:
    """Top-level names that an import statement brings in."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()


def test_the_package_is_found() -> None:
    # The tests below ask for empty lists of offenders, and would be satisfied by an empty package.
    rooms = {"data", "factors", "models", "methods", "training", "study", "evidence", "report"}
    assert rooms <= {name.split("/")[0] for name in TREES}


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_import_what_there_is(script: Path) -> None:
    """They run for hours, and seldom."""
    missing = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("distillab")
        for alias in node.names
        if not hasattr(importlib.import_module(str(node.module)), alias.name)
        and importlib.util.find_spec(f"{node.module}.{alias.name}") is None
    ]
    assert missing == []


def test_imports_go_one_way() -> None:
    linter = shutil.which("lint-imports", path=Path(sys.executable).parent)
    assert linter, "import-linter is not installed beside this Python"
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(PROJECT['tool']['importlinter']['contracts'])} kept, 0 broken" in run.stdout


def test_files_and_functions_hold_one_thing() -> None:
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in TREES}
    assert [f"{name}: {n} lines" for name, n in lines.items() if n > LONGEST_FILE] == []
    lengths = {
        f"{place} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for place, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [f"{name}: {n} lines" for name, n in lengths.items() if n > LONGEST_FUNCTION] == []


def test_files_say_what_they_are_for() -> None:
    assert [name for name in TREES if Path(name).stem in NAMES_THAT_SAY_NOTHING] == []
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_folders_are_packages() -> None:
    # Their docstring, asked for above, is the sentence that a reader of the tree meets first.
    folders = {(PACKAGE / name).parent for name in TREES}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_nothing_is_pickled() -> None:
    # Opening a pickle runs whatever code it holds, so what the store keeps must never be one.
    offenders = [place for place, node in nodes(ast.Import, ast.ImportFrom) if imported(node) & PICKLERS]
    for place, call in nodes(ast.Call):
        assert isinstance(call, ast.Call)
        function = ast.unparse(call.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        safe_load = function != "torch.load" or options.get("weights_only") == "True"
        if function == "torch.save" or not safe_load or options.get("allow_pickle", "False") != "False":
            offenders.append(place)
    assert offenders == []


def test_everything_imports_without_the_extras() -> None:
    """`make demo` installs no extra, so what needs one imports it where it is used."""
    script = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({NOT_FOR_USERS!r}))
import distillab
for module in pkgutil.walk_packages(distillab.__path__, "distillab."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
    print(module.name)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    reached = {"distillab", *run.stdout.split()}
    modules = {"/".join(["distillab", name]).removesuffix(".py").removesuffix("/__init__") for name in TREES}
    assert reached == {module.replace("/", ".") for module in modules}
