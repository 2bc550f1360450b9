"""Print the tests of what changed since the branch left main, for `make check`: one path per line.

The rule, by changed file:

    tests/...            the file itself, and for a module of tests/support the test files that import it
    src/distillab/P/...  its examples, and tests/P/ without the files in SLOW
    src/distillab/M.py   its examples, and tests/test_*.py without the files in SLOW

The structure of the package (tests/test_house*.py) is always tested.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Test files under tests/ that run whole studies, need a browser or measure memory: left to `make test` unless
# they changed themselves.
SLOW = {
    "factors/test_shift.py",
    "methods/test_pairs.py",
    "models/test_norm_relu.py",
    "report/test_report_browser.py",
    "study/test_changed_pixels.py",
    "study/test_cohorts.py",
    "study/test_every_factor.py",
    "study/test_kill.py",
    "study/test_live_networks.py",
    "study/test_notebook.py",
    "study/test_resume.py",
    "study/test_stop_when_decided.py",
    "study/test_tail.py",
    "study/test_teachers.py",
    "study/test_worker_memory.py",
}


def changed_files() -> set[str]:
    """Return the files that differ from where the branch left main, uncommitted and new ones included."""
    base = "HEAD"
    for main in ("main", "origin/main"):
        if found := _git("merge-base", main, "HEAD"):
            base = found[0]
            break
    names = {*_git("diff", "--name-only", base), *_git("ls-files", "--others", "--exclude-standard")}
    return {name for name in names if (ROOT / name).is_file() and name.endswith(".py")}


def tests_of(changed: set[str]) -> list[str]:
    """Return the test files and the modules with examples that check some changed files."""
    chosen = set(ROOT.glob("tests/test_house*.py"))
    for name in changed:
        file, parts = ROOT / name, Path(name).parts
        if parts[0] == "tests" and file.name.startswith("test_"):
            chosen.add(file)
        elif parts[:2] == ("tests", "support"):
            chosen |= {test for test in _quick("**/test_*.py") if f"support.{file.stem}" in test.read_text()}
        elif parts[:2] == ("src", "distillab"):
            chosen.add(file)
            chosen |= _quick("test_*.py" if len(parts) == 3 else f"{parts[2]}/**/test_*.py")
    return sorted(str(file.relative_to(ROOT)) for file in chosen)


def _quick(pattern: str) -> set[Path]:
    tests = ROOT / "tests"
    return {file for file in tests.glob(pattern) if str(file.relative_to(tests)) not in SLOW}


def _git(*arguments: str) -> list[str]:
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return run.stdout.split("\n")[:-1] if run.returncode == 0 else []


if __name__ == "__main__":
    print("\n".join(tests_of(changed_files())))
