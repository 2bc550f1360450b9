"""Worker processes start from scripts with and without a main guard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

START = """
import multiprocessing, sys
from distillab.forkserver import without_unguarded_main
print("imported", __name__)
{guard}
    with without_unguarded_main():
        process = multiprocessing.get_context("spawn").Process(target=print, args=("worked",))
        process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize(
    ("guard", "imports"),
    [("if True:", ["__main__"]), ('if __name__ == "__main__":', ["__main__", "__mp_main__"])],
    ids=["unguarded", "guarded"],
)
def test_only_scripts_with_a_main_guard_are_imported_by_workers(
    guard: str, imports: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(START.format(guard=guard))
    run = subprocess.run([sys.executable, "-u", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("imported")] == imports
    assert lines[-1] == "worked"
