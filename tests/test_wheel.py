"""The built wheel works in an environment of its own, outside of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
import typer.main
import yaml

from distillab import __version__
from distillab.cli import app
from distillab.demo import quickstart_file
from distillab.extras import EXTRAS
from support.source_tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERBS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
HELP = """
import sys
from distillab.cli import execute
sys.exit(sum(execute([verb, "--help"]) for verb in sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, which has its dependencies from the environment of the tests alone."""
    place = tmp_path_factory.mktemp("wheel")
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(built, cwd=ROOT, check=True, capture_output=True)
    [wheel] = place.glob("*.whl")
    assert f"distillab-{__version__}-py3-none-any.whl" == wheel.name
    environment = place / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    # A path in a .pth file is not searched for further .pth files: the editable installation is not found.
    packages = next(environment.glob("lib/*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "-q",
    ]
    subprocess.run([*install, "--force-reinstall", str(wheel)], check=True, capture_output=True)
    return environment


def run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(installed / "bin" / command[0]), *command[1:]],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
    )


def test_wheel_runs_the_demo_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "python", "-c", "import distillab; print(distillab.__file__)")
    assert where.stdout.startswith(str(installed)), where.stderr
    done = run(installed, tmp_path, "distillab", "demo", "--quick", "--workers", "1", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "3 runs done, 0 failed" in done.stdout
    assert (tmp_path / "runs" / "quickstart-quick" / "report.html").stat().st_size > 1_000_000


def test_every_verb_of_the_wheel_has_help(installed: Path, tmp_path: Path) -> None:
    found = run(installed, tmp_path, "python", "-c", HELP, *VERBS)
    assert found.returncode == 0, found.stderr
    assert all(f"distillab {verb} " in found.stdout for verb in VERBS)
    assert run(installed, tmp_path, "distillab", "--version").stdout == f"distillab {__version__}\n"


def test_wheel_holds_the_package_and_the_quickstart_alone(installed: Path) -> None:
    [wheel] = installed.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read("distillab/quickstart.yaml") == quickstart_file().read_bytes()
    assert {name.split("/")[0] for name in names} == {"distillab", f"distillab-{__version__}.dist-info"}
    assert "distillab/py.typed" in names and any(name.endswith("page.html.j2") for name in names)


def test_extras_are_those_of_the_project() -> None:
    assert EXTRAS.keys() == PROJECT["optional-dependencies"].keys() - {"dev"}
    spelled = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "src").rglob("*.py")
        if "pip install" in file.read_text() and "distillab[" in file.read_text() and file.name != "extras.py"
    ]
    assert spelled == []


def test_citation_is_that_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (
        citation["version"] == __version__ == PROJECT["version"] and citation["license"] == PROJECT["license"]
    )
