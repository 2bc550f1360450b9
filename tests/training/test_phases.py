"""Seconds of a training by phase."""

from __future__ import annotations

import time

import pytest
import torch

from distillab.training.loop.phases import Phases


@pytest.mark.parametrize(("threads", "counted"), [(1, False), (2, True)])
def test_waiting_is_not_counted_on_one_thread(threads: int, counted: bool) -> None:
    """Other work on the machine delays a run; it does not make its method more expensive."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        phases = Phases(torch.device("cpu"))
        with phases.timed("forward"):
            time.sleep(0.3)
    finally:
        torch.set_num_threads(before)
    assert (phases.total >= 0.25) == counted
