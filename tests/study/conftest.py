"""One study run without disturbance, whose numbers every disturbed one must reach."""

from __future__ import annotations

import pytest

from distillab.study.folder import StudyFolder
from support.studies import CPU, Undisturbed, run_here, spec


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The small study, run by the inline executor."""
    folder = StudyFolder.begin(tmp_path_factory.mktemp("undisturbed") / "dir", spec(), CPU)
    return Undisturbed(folder, run_here(folder))
