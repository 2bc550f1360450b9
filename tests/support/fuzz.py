"""Changes of files at random, and bounds of what reading them may take."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("DISTILLAB_FUZZ_CASES", "2000"))
"""Number of cases in all; `make soak` has more."""
SECONDS = 5.0  # of processor time per case
HANGING = 120.0  # seconds of wall time after which a case waits for something that never comes
MEMORY = 2**30  # bytes by which the process may grow
TOKENS = (b"", b"\0", b"\n", b",", b"\t", b'"', b"{", b"[" * 200, b"-1", b"1e999", b"9" * 30, b"nan")
TOKENS += (
    b"../" * 20,
    b"\xff\xfe",
    "\u202e\x1b[31m".encode(),
    b"null",
    b"!!python/object:os.system",
    b"<<: *a",
)

Change = tuple[str, float, float, Any]


def fuzzed(share: float) -> settings:
    """Return the settings of a test that has a share of all cases."""
    return settings(
        max_examples=max(20, int(share * CASES)),
        database=None,
        derandomize="DISTILLAB_FUZZ_CASES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )


def changes() -> st.SearchStrategy[list[Change]]:
    """Draw one to four changes of a file: bits that flip, parts that are gone, doubled, moved or replaced."""
    kind = st.sampled_from(["flip", "cut", "remove", "double", "token", "byte"])
    place = st.floats(0, 1, exclude_max=True)
    value = st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=8))
    return st.lists(st.tuples(kind, place, place, value), min_size=1, max_size=4)


def changed(content: bytes, drawn: list[Change]) -> bytes:
    """Return content with changes.

    Example:
        >>> changed(b"abcd", [("cut", 0.5, 0.0, b"")])
        b'ab'
    """
    for kind, first, second, value in drawn:
        start = int(first * len(content))
        length = 1 + int(second * min(64, len(content)))
        if kind == "flip" and content:
            flipped = bytes([content[start] ^ (1 << int(8 * second))])
            content = content[:start] + flipped + content[start + 1 :]
        elif kind == "cut":
            content = content[:start]
        elif kind == "remove":
            content = content[:start] + content[start + length :]
        elif kind == "double":
            content = content[:start] + content[start : start + length] * 2 + content[start + length :]
        elif kind == "token":
            content = content[:start] + value + content[start:]
        else:
            content = content[:start] + value + content[start + len(value) :]
    return content


@contextlib.contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """Give a file other content in the block."""
    kept = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(kept)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raise TimeoutError or MemoryError if the block takes more than a case may."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"a case took too long ({signal.Signals(number).name})")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, SECONDS), signal.SIGALRM: (signal.ITIMER_REAL, HANGING)}
    before = {number: signal.signal(number, stop) for number in timers}
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held)
    if grown > MEMORY:
        raise MemoryError(f"a case took {grown / 2**20:.0f} MiB")
