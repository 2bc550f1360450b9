"""A disk that is full, or a limit on the size of files, at any moment of a study: one line, and nothing lost.

``DISTILLAB_DISKS`` is the number of sizes that are tried, 1 by default; ``make soak`` has 40.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from distillab.study.folder import StudyFolder
from support.kills import SOURCES, TIMEOUT
from support.studies import Undisturbed, numbers, rows_of, write_study

SIZES = int(os.environ.get("DISTILLAB_DISKS", "1"))
SHARES = np.linspace(0.02, 0.9, SIZES + 2)[1:-1].round(4).tolist()  # of the room that the study needs
NEEDED = 12_000_000  # bytes of the finished study
LARGEST = 4_000_000  # of its files: the report


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that gives a disk of its own some size in bytes, and returns its folder."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(size: int) -> Path:
        how = f"remount,size={size}" if place.is_mount() else f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this process may not mount a disk of memory: {done.stderr.strip()}")
        return place

    yield resize
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def run(study: Path, out: Path, executor: str, limit: int = resource.RLIM_INFINITY) -> tuple[int, str]:
    """Run a study in a process whose files may have ``limit`` bytes; return its exit code and output."""
    command = [sys.executable, "-m", "distillab.cli", "run", str(study), "--out", str(out)]
    done = subprocess.run(
        [*command, "--executor", executor, "--workers", "1"],
        env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_study_goes_on_when_a_full_disk_has_room_again(
    disk: Callable[[int], Path], tmp_path: Path, share: float, executor: str, undisturbed: Undisturbed
) -> None:
    study = write_study(tmp_path / "study.yaml")
    out = disk(int(share * NEEDED)) / "dir"
    code, printed = run(study, out, executor)
    assert (code, printed.count("no space left on the disk"), "Traceback" in printed) == (1, 1, False), (
        printed
    )
    disk(4 * NEEDED)
    code, printed = run(study, out, executor)
    assert (code, "Traceback" in printed) == (0, False), printed
    assert numbers(rows_of(StudyFolder.open(out))) == numbers(undisturbed.rows)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_study_goes_on_when_files_may_be_larger(
    tmp_path: Path, share: float, executor: str, undisturbed: Undisturbed
) -> None:
    study, out = write_study(tmp_path / "study.yaml"), tmp_path / "dir"
    code, printed = run(study, out, executor, int(share * LARGEST))
    assert (code, printed.count("`ulimit -f`"), "Traceback" in printed) == (1, 1, False), printed
    code, printed = run(study, out, executor)
    assert (code, "Traceback" in printed) == (0, False), printed
    assert numbers(rows_of(StudyFolder.open(out))) == numbers(undisturbed.rows)
