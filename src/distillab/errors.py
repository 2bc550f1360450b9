"""Errors for users: one line that says what is wrong, where, and what is allowed."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from distillab.printable import printable
from distillab.spelling import american

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

LISTED_NAMES = 100  # that a message lists as allowed
LONGEST_MESSAGE = 4000  # characters; names in damaged files can be as long as the file

T = TypeVar("T")
Written = TypeVar("Written")


class RequestError(ValueError):
    """A request that cannot be fulfilled as written. The command line prints one line and exits with 2.

    Args:
        what: What is wrong, in plain language.
        where: The file and key that hold the mistake, such as ``study.yaml: factors.size``.
        allowed: What would be accepted instead.

    Example:
        >>> print(RequestError("0 is not accepted", where="study.yaml: seeds", allowed="at least 1"))
        study.yaml: seeds: 0 is not accepted (allowed: at least 1)
    """

    def __init__(self, what: str, *, where: str | None = None, allowed: str | None = None) -> None:
        self.what, self.where, self.allowed = what, where, allowed
        super().__init__(what)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.allowed:
            line += f" (allowed: {self.allowed})"
        shown = printable(" ".join(line.split()))
        half = LONGEST_MESSAGE // 2
        return shown if len(shown) <= LONGEST_MESSAGE else f"{shown[:half]} ... {shown[-half:]}"

    def within(self, where: str) -> RequestError:
        """Return the same error with a prefix to its place, as for ``data.path`` inside ``study.yaml``."""
        place = f"{where}: {self.where}" if self.where else where
        return RequestError(self.what, where=place, allowed=self.allowed)

    def under(self, *keys: str) -> RequestError:
        """Return the same error with the keys that lead to its place, as for ``at`` in ``contrasts.0``.

        Example:
            >>> print(RequestError("5 is not accepted", where="at").under("contrasts", "0"))
            contrasts.0.at: 5 is not accepted
        """
        place = _place("", [*keys, self.where] if self.where else keys)
        return RequestError(self.what, where=place or None, allowed=self.allowed)


LESS_MEMORY = "fewer --workers, or a smaller batch_size or resolution, need less"
"""What to do where memory does not suffice."""


class DiskFullError(RuntimeError):
    """No space left on a disk. What was finished is kept; the interrupted job is put back into the queue."""


class WorkerStartError(RuntimeError):
    """Worker processes fail in the same way each time they start. What was finished is kept.

    Args:
        what: The error of the last of them, in one line.
        worker_traceback: Its traceback in the worker, if it raised an error.
    """

    def __init__(self, what: str, worker_traceback: str = "") -> None:
        self.worker_traceback = worker_traceback
        super().__init__(what)


def unknown_name(noun: str, name: str, known: Iterable[str], *, where: str | None = None) -> RequestError:
    """Return a RequestError for an unknown name, with the nearest known name as a suggestion.

    Args:
        noun: What the name stands for.
        name: The unknown name.
        known: The names that are allowed.
        where: The place of the name.

    Example:
        >>> print(unknown_name("method", "kdd", ["ce", "kd"]))
        unknown method 'kdd', did you mean 'kd'? (allowed: ce, kd)
    """
    names = sorted(known)
    listed = ", ".join(names[:LISTED_NAMES])
    more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return RequestError(f"unknown {noun} {name!r}{hint}", where=where, allowed=listed + more)


def validation_error(error: ValidationError, where: str, known: Iterable[str] = ()) -> RequestError:
    """Return one RequestError for the errors that pydantic found.

    It names the key, what is wrong and what is allowed. An unknown key is reported before anything else,
    because a misspelt key often shows up as a missing one too. The branches of a union are reported together:
    each is one thing that would be accepted.

    Args:
        error: What ``model_validate`` raised.
        where: The place of the validated mapping, such as ``study.yaml: data``.
        known: The keys that are allowed; keys of nested mappings are written with dots (``recipe.epochs``).

    Example:
        >>> from pydantic import BaseModel, ValidationError
        >>> class Recipe(BaseModel):
        ...     epochs: int
        >>> try:
        ...     Recipe.model_validate({"epochs": "many"})
        ... except ValidationError as error:
        ...     print(validation_error(error, "study.yaml: recipe"))
        study.yaml: recipe.epochs: 'many' is not accepted (allowed: a whole number)
    """
    details = error.errors(include_url=False)
    first = next((d for d in details if d["type"] == "extra_forbidden"), details[0])
    keys = _key_path(first)
    *parents, key = keys or ("",)
    if first["type"] == "extra_forbidden":
        inside = "".join(f"{parent}." for parent in parents)
        siblings = [american(n.removeprefix(inside)) for n in known if n.startswith(inside)]
        unknown = unknown_name("key", key, [n for n in siblings if "." not in n])
        return RequestError(unknown.what, where=_place(where, parents), allowed=unknown.allowed or None)
    if first["type"] == "missing":
        return RequestError(f"key {key!r} is missing", where=_place(where, parents))
    same_place = [d for d in details if _key_path(d) == keys]
    if isinstance(cause := first.get("ctx", {}).get("error"), RequestError):
        return cause.under(*([where] if where else []), *keys)
    if first["type"] in ("value_error", "assertion_error"):
        return RequestError(str(cause), where=_place(where, keys))
    allowed = dict.fromkeys(_requirement(d["type"], d.get("ctx", {}), d["msg"]) for d in same_place)
    given = reprlib.repr(first["input"])
    return RequestError(f"{given} is not accepted", where=_place(where, keys), allowed=", or ".join(allowed))


def read_each(values: Iterable[Written], read: Callable[[Written], T]) -> list[T]:
    """Return what ``read`` makes of each entry of a list. Its RequestErrors get the place of the entry.

    Example:
        >>> def read(value):
        ...     if value < 0:
        ...         raise RequestError(f"{value} is not accepted", allowed="at least 0")
        ...     return value
        >>> try:
        ...     read_each([3, -1], read)
        ... except RequestError as error:
        ...     print(error)
        1: -1 is not accepted (allowed: at least 0)
    """
    found = []
    for place, value in enumerate(values):
        try:
            found.append(read(value))
        except RequestError as error:
            raise error.under(str(place)) from error
    return found


# What pydantic inserts between the keys of a place to name the branch of a union that it tried.
_UNION_BRANCH = re.compile(r"int|float|str|bool|none|path|constrained-\w+|[A-Z]\w*|.*\[.*\].*")
_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "path": "a path",
    "none": "nothing",
}
_BOUNDS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}


def _key_path(detail: ErrorDetails) -> tuple[str, ...]:
    """Return the keys on the way to an error, without the union branches that pydantic tried.

    A branch never comes first, nor last if a key itself is missing or unknown.
    """
    loc = [str(part) for part in detail["loc"]]
    sure = {0, len(loc) - 1} if detail["type"] in ("missing", "extra_forbidden") else {0}
    return tuple(part for i, part in enumerate(loc) if i in sure or not _UNION_BRANCH.fullmatch(part))


def _place(where: str, keys: Iterable[str]) -> str:
    return ".".join([*([where] if where else []), *map(american, keys)])


def _requirement(kind: str, context: Mapping[str, object], message: str) -> str:
    """Return what pydantic would have accepted, in plain language."""
    if "expected" in context:
        return str(context["expected"])
    for name, bound in _BOUNDS.items():
        if name in context:
            return f"{bound} {str(context[name]).removesuffix('.0')}"
    if kind == "too_short":
        return f"at least {context['min_length']} entries"
    return _TYPE_NAMES.get(kind.split("_")[0], message)
