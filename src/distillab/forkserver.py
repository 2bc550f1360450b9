"""The context in which worker processes start: forked from a server that has imported what they need."""

from __future__ import annotations

import ast
import contextlib
import multiprocessing
import multiprocessing.forkserver
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from types import ModuleType

# On Linux workers are forked from a server process that has imported the modules below and not used them: so
# they start at once and share its memory. Elsewhere forking is unsafe or does not exist.
FORKED = sys.platform == "linux"
PRELOADED = ["distillab.study.running.preload"]


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


@dataclass(frozen=True)
class MainModule:
    """The script or module that this program runs, which worker processes import for what it defines.

    Attributes:
        file: The script, of ``python SCRIPT.py``.
        name: The module, of ``python -m MODULE``.

    Example:
        >>> import tempfile
        >>> script = Path(tempfile.mkdtemp()) / "script.py"
        >>> _ = script.write_text("print('imported as', __name__)")
        >>> MainModule(file=str(script)).load()
        imported as __mp_main__
    """

    file: str | None = None
    name: str | None = None

    def load(self) -> None:
        """Import it under the name ``__mp_main__``, which a main guard keeps from running the program."""
        global _loading
        _loading = True
        try:
            if self.name is not None:
                content = runpy.run_module(self.name, run_name="__mp_main__", alter_sys=True)
            else:
                content = runpy.run_path(str(self.file), run_name="__mp_main__")
        finally:
            _loading = False
        module = ModuleType("__mp_main__")
        module.__dict__.update(content)
        # Objects of the script were pickled as those of `__main__`.
        sys.modules["__main__"] = sys.modules["__mp_main__"] = module


_loading = False


def is_loading_main() -> bool:
    """Return True while a worker process imports the script that started it.

    Example:
        >>> is_loading_main()
        False
    """
    return _loading


def main_module() -> MainModule | None:
    """Return what worker processes import; None if that is nothing.

    In a script without ``if __name__ == "__main__":`` the import would run the study again, in every worker.
    Such a script is not imported; what it registers is unknown to the workers.

    Example:
        >>> main_module() is None or isinstance(main_module(), MainModule)
        True
    """
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None or not Path(file).is_file() or not _has_main_guard(Path(file)):
        return None  # there is no file of a program that Python reads from its standard input
    if spec is None:
        return MainModule(file=str(Path(file).resolve()))
    # A package's __main__.py is nothing but its program, and distillab's own defines nothing for workers.
    own = spec.name.partition(".")[0] == __package__
    return None if own or spec.name.rpartition(".")[2] == "__main__" else MainModule(name=spec.name)


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Start processes in this context so that they import no main module before they run.

    Python imports it before anything of the process itself runs, and an error would be printed rather than
    reported. A process imports it by :meth:`MainModule.load` instead.

    Example:
        >>> with without_main():
        ...     pass  # process.start()
    """
    main = sys.modules["__main__"]
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
        isinstance(side, ast.Name) and side.id == "__name__"
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
    )
