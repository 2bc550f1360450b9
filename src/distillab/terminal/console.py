"""The standard output as the command line prints tables on it."""

from __future__ import annotations

import os

from rich.console import Console

PIPED_WIDTH = 160  # characters per line of tables that are not printed in a terminal


def make_console() -> Console:
    """Return the standard output, wide enough where it is no terminal that lines are not broken early.

    Example:
        >>> make_console().width >= 1
        True
    """
    console = Console(highlight=False, markup=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, markup=False, width=PIPED_WIDTH)
