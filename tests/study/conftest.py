"""One study run without disturbance, whose numbers every disturbed one must reach; and a record of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distillab.study.folder import StudyFolder
from distillab.study.job import Job
from distillab.study.running.job_runner import JobRunner
from support.studies import CPU, Undisturbed, run_here, spec


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The small study, run by the inline executor."""
    folder = StudyFolder.begin(tmp_path_factory.mktemp("undisturbed") / "dir", spec(), CPU)
    return Undisturbed(folder, run_here(folder))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that start while the test runs."""
    started: list[str] = []
    make = JobRunner.make

    def spy(self: JobRunner, jobs: Sequence[Job], drafts: Path) -> Any:
        started.extend(job.id for job in jobs)
        return make(self, jobs, drafts)

    monkeypatch.setattr(JobRunner, "make", spy)
    return started
