"""Worker processes import the main script only where it has a main guard, and by themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import environment
from support.source_tree import ROOT

START = """
import multiprocessing, sys
from distillab.forkserver import main_module, without_main

print("imported", __name__)


{guard}
    from worker_of import worker
    process = multiprocessing.get_context("spawn").Process(target=worker, args=(main_module(),))
    with without_main():
        process.start()
    process.join()
    sys.exit(process.exitcode)
"""
WORKER = "def worker(main):\n    main and main.load()\n    print('worked')\n"
GUARDS = {
    "if True:": False,
    'if __name__ == "__main__":': True,
    "if '__main__' == __name__:": True,
    'if not __name__ != "__main__":': True,
}


@pytest.mark.parametrize("as_module", [False, True], ids=["script", "module"])
@pytest.mark.parametrize("guard", GUARDS)
def test_only_scripts_with_a_main_guard_are_imported_by_workers(
    guard: str, as_module: bool, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(START.format(guard=guard))
    (tmp_path / "worker_of.py").write_text(WORKER)
    program = ["-m", "script"] if as_module else ["script.py"]
    run = subprocess.run(
        [sys.executable, "-u", *program],
        cwd=tmp_path,
        env=environment(ROOT),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    imports = [line.split()[1] for line in lines if line.startswith("imported")]
    assert imports == ["__main__", "__mp_main__"][: 1 + GUARDS[guard]]
    assert lines[-1] == "worked"


def test_program_from_the_standard_input_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "worker_of.py").write_text(WORKER)
    run = subprocess.run(
        [sys.executable, "-u", "-"],
        input=START.format(guard="if True:"),
        cwd=tmp_path,
        env=environment(ROOT) | {"PYTHONPATH": f"{ROOT / 'src'}:{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["imported __main__", "worked"]
