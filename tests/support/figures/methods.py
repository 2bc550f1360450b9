"""The figures of docs/methods.md."""

from __future__ import annotations

from collections.abc import Iterator

from generated import DOCS, block


def fragments() -> Iterator[str]:
    """Yield the lines of the generated sections, which tests/methods/test_docs.py compares with tables."""
    text = (DOCS / "methods.md").read_text()
    for name in ("registry", "deviations", "gains"):
        yield from block(text, name).split("\n")
