"""The figures of docs/answer.md."""

from __future__ import annotations

from collections.abc import Iterator

import answer_table


def fragments() -> Iterator[str]:
    """Yield the lines of the page as its generator writes them, without what is written by hand."""
    text = answer_table.page("<!-- summary -->\n\n<!-- /summary -->\n<!-- rows -->\n\n<!-- /rows -->")
    yield from text.split("\n")
