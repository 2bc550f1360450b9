"""What a driver and its pilots write to each other, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from distillab.canonical import JsonObject
from distillab.errors import DiskFullError, RequestError
from distillab.integrity import DamagedFileError
from distillab.study.job import StoredJob
from distillab.study.running.executors.remote import JobEnd
from distillab.training.teachers.cache import CacheMissError

Reply = Sequence[JobEnd] | Exception
"""How the jobs of a task ended, or what kept the pilot from running it."""


def jobs_to_text(jobs: Sequence[StoredJob]) -> str:
    """Return the jobs of a task as text."""
    return json.dumps([asdict(job) for job in jobs])


def jobs_from_text(text: str) -> list[StoredJob]:
    """Return the jobs of a task.

    Example:
        >>> job = StoredJob(id="a", kind="student", spec={"steps": 4}, inputs={}, needs=("b",))
        >>> jobs_from_text(jobs_to_text([job])) == [job]
        True
    """
    return [StoredJob(**each | {"needs": tuple(each["needs"])}) for each in json.loads(text)]


def reply_to_text(reply: Reply) -> str:
    """Return the end of a task as text."""
    if isinstance(reply, Exception):
        return json.dumps({"error": _error_facts(reply)})
    ends = [
        {"job": end.job, "seconds": end.seconds, "error": end.error, "damage": _error_facts(end.damage)}
        for end in reply
    ]
    return json.dumps({"ends": ends})


def reply_from_text(text: str) -> Reply:
    """Return the end of a task.

    Example:
        >>> end = JobEnd("a", None, "cannot read", CacheMissError("4 views are not stored"))
        >>> [again] = reply_from_text(reply_to_text([end]))
        >>> again.job, again.error, again.damage
        ('a', 'cannot read', CacheMissError('4 views are not stored'))
        >>> reply_from_text(reply_to_text(RequestError("is missing", where="data")))
        RequestError('is missing')
    """
    facts = json.loads(text)
    if "error" in facts:
        return _error_of(facts["error"]) or RuntimeError()
    return [
        JobEnd(each["job"], each["seconds"], each["error"], _error_of(each["damage"]))
        for each in facts["ends"]
    ]


def _error_facts(error: Exception | None) -> JsonObject | None:
    if error is None:
        return None
    if isinstance(error, DamagedFileError):
        return {"kind": "damaged file", "path": str(error.path), "what": error.what}
    if isinstance(error, RequestError):
        return {"kind": "request", "what": error.what, "where": error.where, "allowed": error.allowed}
    kinds = {CacheMissError: "cache miss", DiskFullError: "disk full"}
    kind = next((name for each, name in kinds.items() if isinstance(error, each)), type(error).__name__)
    return {"kind": kind, "what": str(error)}


def _error_of(facts: JsonObject | None) -> Exception | None:
    if facts is None:
        return None
    what = str(facts["what"])
    match facts["kind"]:
        case "damaged file":
            return DamagedFileError(Path(facts["path"]), what)
        case "request":
            return RequestError(what, where=facts["where"], allowed=facts["allowed"])
        case "cache miss":
            return CacheMissError(what)
        case "disk full":
            return DiskFullError(what)
        case kind:
            return RuntimeError(f"{kind}: {what}")
