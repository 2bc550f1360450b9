"""A worker's memory does not grow with the number of its runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNS, FIRST = 100, 25
# A leaked network, with its optimizer and snapshots, would cost 1.5 MiB per run.
MAX_MIB = 24.0

SCRIPT = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from support.studies import CPU, spec
from distillab.study.folder import StudyFolder
from distillab.study.running.worker import work

cut = dict(teacher={{"provenance": ["full"]}}, factors={{"size": [10]}}, evidence={{"probes": 0}})
methods = ["ce", "kd", "at", "fitnet"]
folder = StudyFolder.begin(Path(sys.argv[1]), spec(**cut, methods=methods, seeds={RUNS} // 4), CPU)
work(folder, "cpu", stop=lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
with folder.ledger() as ledger:
    print(ledger.tally()["student"]["done"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource module")
def test_memory_does_not_grow_with_runs(tmp_path: Path) -> None:
    """The peak of a fresh process after a quarter of the runs is close to that after all of them."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "out")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    *peaks, done = map(int, printed)
    assert done == RUNS
    unit = 2**20 if sys.platform == "darwin" else 2**10
    assert (peaks[-1] - peaks[FIRST]) / unit < MAX_MIB
