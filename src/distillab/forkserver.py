"""Where worker processes come from: started early, and with what all of them need already there."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import sys
from multiprocessing.context import ForkServerContext, SpawnContext

# On Linux workers are forked from a process that has imported this and done nothing with it: they start at
# once and share its memory. Elsewhere forking is not safe or not there.
FORKED = sys.platform == "linux"
# torch._dynamo comes with torch's optimisers.
PRELOADED = ["distillab.study.running.worker", "distillab.models.cpu_kernels.ready", "torch._dynamo"]


def workers_context() -> SpawnContext | ForkServerContext:
    """The context that worker processes are made in."""
    if not FORKED:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def prepare_workers() -> None:
    """Begin to import, in a process beside this one, what workers need. Workers keep the environment
    variables of this moment."""
    if FORKED:
        workers_context()
        multiprocessing.forkserver.ensure_running()
