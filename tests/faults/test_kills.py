"""Processes that are killed at random moments cost no finished run and change no number.

The number of kills is ``DISTILLAB_KILLS``, 4 by default; ``make soak`` has 200.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.kills import KilledStudy
from support.studies import Undisturbed, numbers

KILLS = int(os.environ.get("DISTILLAB_KILLS", "4"))

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")


def test_study_survives_kills_at_random_moments(tmp_path: Path, undisturbed: Undisturbed) -> None:
    study = KilledStudy(tmp_path, numbers(undisturbed.rows), seed=KILLS)
    kills = 0
    while kills < KILLS:
        study.kill_once()
        kills = sum(count for what, count in study.counts.items() if what.startswith("kills"))
    study.finish()
    print(dict(study.counts))  # noqa: T201 - the figures of the long form
