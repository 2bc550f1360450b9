"""The context in which worker processes start: forked from a server that has imported what they need."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import multiprocessing
import multiprocessing.forkserver
import sys
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from types import ModuleType

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


@contextlib.contextmanager
def without_unguarded_main() -> Iterator[None]:
    """Start worker processes in this context so that they do not import a script that has no main guard.

    A new process imports the main module under another name, for what it defines. In a script without
    ``if __name__ == "__main__":`` that import would run the study again, in every worker. Such a script is
    not imported; what it registers is unknown to the workers.

    Example:
        >>> with without_unguarded_main():
        ...     pass  # process.start()
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or main.__spec__ is not None or _has_main_guard(Path(file)):
        yield
        return
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _has_main_guard(script: Path) -> bool:
    """Return True if a script compares ``__name__`` with something, or cannot be read as Python."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True
    return any(
        isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "__name__"
        for node in ast.walk(tree)
    )
