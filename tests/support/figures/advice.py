"""The figures of docs/advice.md and of the data card of the evidence base."""

from __future__ import annotations

from collections.abc import Iterator

import advice_table
from generated import block

from distillab.base import read


def fragments() -> Iterator[str]:
    """Yield the lines of the table of the replay."""
    text = next(iter(text for page, text in advice_table.page_text().items() if page == advice_table.PAGE))
    yield from block(text, advice_table.BLOCK).split("\n")


def data_card() -> Iterator[str]:
    """Yield the lines about what has been made."""
    yield from advice_table.made_text(read()).split("\n")
