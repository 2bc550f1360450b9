"""Python code that a study names: it runs only where it was allowed.

A study may name methods (``file.py:Class``), networks (``MODULE:FACTORY``) and networks that were given as
Python objects (``object:NAME``, which are pickles). In Python all of them are allowed: whoever calls the
library runs code already. The command line refuses them unless ``--allow-code`` is given or the user agrees
on a terminal; commands that only read a study never load them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from distillab.errors import RequestError
from distillab.machine import cache_folder

ALLOW_CODE = "--allow-code"
AGREED = "allowed-code.txt"  # in the user's cache: the files that may run, with the digests of their code
_VARIABLE = "DISTILLAB_USER_CODE"  # in the environment, so that the processes of a command inherit the rule


class CodeRule(StrEnum):
    """What happens to Python code that a study names.

    Example:
        >>> CodeRule("never").runs
        False
    """

    ALLOW = "allow"
    """It runs."""
    PROMPT = "prompt"
    """The user is asked on a terminal, for files of that user; elsewhere it is refused."""
    NEVER = "never"
    """It is not loaded; what needs it is refused, and names of methods are shown as they are written."""

    @property
    def runs(self) -> bool:
        """True unless code is never loaded."""
        return self is not CodeRule.NEVER


def code_rule() -> CodeRule:
    """Return the rule of this process and of those that it starts."""
    return CodeRule(os.environ.get(_VARIABLE, CodeRule.ALLOW))


def set_code_rule(rule: CodeRule) -> None:
    """Have a rule hold in this process, which another one started."""
    os.environ[_VARIABLE] = rule


@contextlib.contextmanager
def code_ruled(rule: CodeRule) -> Iterator[None]:
    """Have a rule hold inside the block. A stricter one around it stays.

    Example:
        >>> with code_ruled(CodeRule.NEVER):
        ...     require_code("mine.py:Loss", None)
        Traceback (most recent call last):
        distillab.errors.RequestError: mine.py:Loss is Python code, which this command does not load ...
    """
    before = os.environ.get(_VARIABLE)
    if before != CodeRule.NEVER:
        os.environ[_VARIABLE] = rule
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def require_code(
    what: str, file: Path | None, *, where: str | None = None, confirm: Callable[[str], bool] | None = None
) -> None:
    """Raise RequestError unless code that a study names may run.

    Args:
        what: How the study names it.
        file: The file that would be run, if it is known.
        where: The place of the name.
        confirm: Asks a yes-or-no question; by default on the terminal, if there is one.

    Raises:
        RequestError: It is not allowed.
    """
    rule = code_rule()
    if rule is CodeRule.ALLOW:
        return
    if rule is CodeRule.NEVER:
        raise RequestError(
            f"{what} is Python code, which this command does not load",
            where=where,
            allowed=f"`distillab run` with {ALLOW_CODE}, once you have read the code",
        )
    confirm = confirm or _confirmed_on_terminal
    if file is None or not _is_own(file) or not (_was_agreed(file) or confirm(_question(what, file))):
        raise RequestError(
            f"{what} is Python code, which does not run unless it is allowed",
            where=where,
            allowed=f"{ALLOW_CODE}, once you have read the code",
        )
    _remember(file)


def _question(what: str, file: Path) -> str:
    return f"The study names Python code, {what}, in {file}. Run it, now and until it changes?"


def _confirmed_on_terminal(question: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    import typer

    from distillab.printable import printable

    return typer.confirm(printable(question), err=True)


def _is_own(file: Path) -> bool:
    """Return True if a file belongs to the user of this process, and others cannot write it."""
    try:
        found = file.stat()
    except OSError:
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


def _line(file: Path) -> str:
    return f"{hashlib.sha256(file.read_bytes()).hexdigest()} {os.fsencode(file.resolve()).hex()}"


def _was_agreed(file: Path) -> bool:
    known = cache_folder() / AGREED
    return known.is_file() and _is_own(known) and _line(file) in known.read_text(encoding="ascii").split("\n")


def _remember(file: Path) -> None:
    if _was_agreed(file):
        return
    known = cache_folder() / AGREED
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        with known.open("a", encoding="ascii") as list_of_files:
            list_of_files.write(_line(file) + "\n")
    except OSError as error:  # worker processes could not know the answer
        raise RequestError(
            f"the answer cannot be kept ({error.strerror})", where=str(known), allowed=ALLOW_CODE
        ) from error
