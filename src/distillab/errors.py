"""The errors that reach a person: one line each, saying what is wrong, where, and what is allowed."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class RequestError(ValueError):
    """What was asked cannot be done as written. The command line prints it as one line and exits with 2.

    Args:
        what: what is wrong, in plain words.
        where: the file and key that hold the mistake, such as ``study.yaml: factors.size``.
        allowed: what would be accepted instead.
    """

    def __init__(self, what: str, *, where: str | None = None, allowed: str | None = None) -> None:
        self.what, self.where, self.allowed = what, where, allowed
        super().__init__(what)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.allowed:
            line += f" (allowed: {self.allowed})"
        return " ".join(line.split())

    def within(self, where: str) -> RequestError:
        """The same error with its place completed from outside, e.g. ``data.path`` inside ``study.yaml``."""
        place = f"{where}: {self.where}" if self.where else where
        return RequestError(self.what, where=place, allowed=self.allowed)


class DiskFullError(RuntimeError):
    """No space left on a disk. What was finished stays; the job that met it is put back into the queue."""


def unknown_name(noun: str, name: str, known: Iterable[str], *, where: str | None = None) -> RequestError:
    """A RequestError for a name that is not known, with the nearest known name as a suggestion."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return RequestError(f"unknown {noun} {name!r}{hint}", where=where, allowed=", ".join(names))


def validation_error(error: ValidationError, where: str, known: Iterable[str] = ()) -> RequestError:
    """One RequestError for what pydantic found, naming the key, what is wrong and what is allowed.

    An unknown key is reported before anything else, because a misspelt key often also shows up as a missing
    one. The branches of a union are reported together: each says one thing that would be accepted.

    Args:
        error: what ``model_validate`` raised.
        where: the place of the validated mapping, such as ``study.yaml: data``.
        known: the keys that are allowed; keys of nested mappings are written with dots (``recipe.epochs``).
    """
    details = error.errors(include_url=False)
    first = next((d for d in details if d["type"] == "extra_forbidden"), details[0])
    keys = _key_path(first)
    *parents, key = keys or ("",)
    if first["type"] == "extra_forbidden":
        inside = "".join(f"{parent}." for parent in parents)
        siblings = [n.removeprefix(inside) for n in known if n.startswith(inside)]
        unknown = unknown_name("key", key, [n for n in siblings if "." not in n])
        return RequestError(unknown.what, where=_place(where, parents), allowed=unknown.allowed or None)
    if first["type"] == "missing":
        return RequestError(f"key {key!r} is missing", where=_place(where, parents))
    same_place = [d for d in details if _key_path(d) == keys]
    if isinstance(cause := first.get("ctx", {}).get("error"), RequestError):
        return cause.within(_place(where, keys))
    if first["type"] in ("value_error", "assertion_error"):
        return RequestError(str(cause), where=_place(where, keys))
    allowed = dict.fromkeys(_requirement(d["type"], d.get("ctx", {}), d["msg"]) for d in same_place)
    given = reprlib.repr(first["input"])
    return RequestError(f"{given} is not accepted", where=_place(where, keys), allowed=", or ".join(allowed))


# What pydantic writes between the keys of a place to say which branch of a union it tried.
_UNION_BRANCH = re.compile(r"int|float|str|bool|none|path|[A-Z]\w*|.*\[.*\].*")
_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "path": "a path",
    "none": "nothing",
}
_BOUND_WORDS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}


def _key_path(detail: ErrorDetails) -> tuple[str, ...]:
    """The keys a person wrote on the way to an error, without the union branches that pydantic tried.

    A branch never comes first, nor last if a key itself is missing or unknown.
    """
    loc = [str(part) for part in detail["loc"]]
    sure = {0, len(loc) - 1} if detail["type"] in ("missing", "extra_forbidden") else {0}
    return tuple(part for i, part in enumerate(loc) if i in sure or not _UNION_BRANCH.fullmatch(part))


def _place(where: str, keys: Iterable[str]) -> str:
    return ".".join([*([where] if where else []), *keys])


def _requirement(kind: str, context: dict[str, Any], message: str) -> str:
    """What pydantic would have accepted, in plain words."""
    if "expected" in context:
        return str(context["expected"])
    for name, words in _BOUND_WORDS.items():
        if name in context:
            return f"{words} {str(context[name]).removesuffix('.0')}"
    if kind == "too_short":
        return f"at least {context['min_length']} entries"
    return _TYPE_WORDS.get(kind.split("_")[0], message)
