"""The context in which worker processes start: forked from a server that has imported what they need."""

from __future__ import annotations

import importlib.util
import multiprocessing
import multiprocessing.forkserver
import sys
from multiprocessing.context import ForkServerContext, SpawnContext

# On Linux workers are forked from a server process that has imported the modules below and not used them: so
# they start at once and share its memory. Elsewhere forking is unsafe or does not exist.
FORKED = sys.platform == "linux"
# torch._dynamo is imported by torch's optimizers; the kernels need the extra `cpu`.
PRELOADED = ["distillab.study.running.worker", "torch._dynamo"]
if importlib.util.find_spec("numba") is not None:
    PRELOADED.insert(1, "distillab.models.cpu_kernels.precompiled")


def workers_context() -> SpawnContext | ForkServerContext:
    """Return the multiprocessing context of worker processes.

    Example:
        >>> workers_context().get_start_method() in ("forkserver", "spawn")
        True
    """
    if not FORKED:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def prepare_workers() -> None:
    """Start the server process, which imports what workers need while this process goes on.

    Workers get the environment variables of this moment.
    """
    if FORKED:
        workers_context()
        multiprocessing.forkserver.ensure_running()
