"""The figures of docs/methods.md."""

from __future__ import annotations

from collections.abc import Iterator

import methods_table


def fragments() -> Iterator[str]:
    """Yield the lines of the generated sections of the page."""
    for text in (
        methods_table.registry_tables(),
        methods_table.deviations_table(),
        methods_table.gains_tables(),
    ):
        yield from text.split("\n")
