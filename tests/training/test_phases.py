"""What the seconds of a training are."""

from __future__ import annotations

import time

import pytest
import torch

from distillab.training.loop.phases import Phases


@pytest.mark.parametrize(("threads", "counted"), [(1, False), (2, True)])
def test_one_thread_is_charged_for_what_it_computes_and_not_for_what_it_waits(
    threads: int, counted: bool
) -> None:
    """Other work on the machine makes a run wait; it does not make its method more expensive."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        phases = Phases(torch.device("cpu"))
        with phases.timed("forward"):
            time.sleep(0.3)
    finally:
        torch.set_num_threads(before)
    assert (phases.total >= 0.25) == counted
