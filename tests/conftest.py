"""Settings and fixtures that every test shares."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from support.real_sets import REAL_SETS

if TYPE_CHECKING:
    from support.studies import Undisturbed

# No test depends on the clock, and a failure seen once is seen again.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

PACKED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the real image sets, from DISTILLAB_DATA or unpacked once into pytest's cache."""
    if named := os.environ.get("DISTILLAB_DATA"):
        return Path(named)
    if not (PACKED / "unpack.py").is_file():
        pytest.skip("real image sets: set DISTILLAB_DATA to the folder that holds cifar100, MNIST, ...")
    cache = getattr(request.config, "cache", None)  # there is none under `-p no:cacheprovider`
    unpacked = cache.mkdir("real_data") if cache else tmp_path_factory.mktemp("real_data")
    for name, folder in REAL_SETS.items():
        if (unpacked / folder).is_dir():
            continue
        with tempfile.TemporaryDirectory(dir=unpacked) as scratch:
            subprocess.run(
                [sys.executable, PACKED / "unpack.py", scratch, name], check=True, capture_output=True
            )
            try:
                Path(scratch, folder).rename(unpacked / folder)
            except OSError:  # another worker was faster, and its copy is the same
                assert (unpacked / folder).is_dir()
    return unpacked


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that start while the test runs."""
    from distillab.study.running.job_runner import JobRunner

    started: list[str] = []
    make = JobRunner.make

    def spy(self: Any, jobs: Sequence[Any], drafts: Path, *further: Any) -> Any:
        started.extend(job.id for job in jobs)
        return make(self, jobs, drafts, *further)

    monkeypatch.setattr(JobRunner, "make", spy)
    return started


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The small study, run by the inline executor without disturbance: what every other run must reach."""
    from distillab.study.folder import StudyFolder
    from support.studies import CPU, Undisturbed, run_here, spec

    folder = StudyFolder.begin(tmp_path_factory.mktemp("undisturbed") / "dir", spec(), CPU)
    return Undisturbed(folder, run_here(folder))
