"""What is not imported before the first training step: it would delay every study by seconds."""

from __future__ import annotations

import subprocess
import sys

from support.documents import environment
from support.source_tree import ROOT

# Slow to import, and needed by few studies, or only once something has been trained.
LATE = (
    *("torch._dynamo", "scipy.stats", "scipy.signal", "scipy.optimize", "sklearn", "pandas", "plotly"),
    *("distillab.evidence", "distillab.report", "distillab.profile"),
)
START = """
import sys
import distillab.study.running.preload, distillab.api, distillab.terminal
import torch
from distillab.training.loop.optimizer import Optimizer
from support.training import recipe

layer = torch.nn.Linear(2, 1)
optimizer = Optimizer([layer], recipe())
optimizer.set_step(0)
optimizer.backward(layer(torch.ones(1, 2)).sum())
optimizer.update()
print(*(name for name in {late} if name in sys.modules))
"""


def test_first_step_waits_for_no_import_that_it_does_not_need() -> None:
    """One process does what the command and the server of its workers do before the first step."""
    command = [sys.executable, "-c", START.format(late=LATE)]
    run = subprocess.run(command, env=environment(ROOT), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
