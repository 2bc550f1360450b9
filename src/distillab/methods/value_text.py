"""The values of hyper-parameters as text, in names of methods and in tables."""

from __future__ import annotations

from typing import Any


def written(value: Any) -> str:
    """Return a value in its shortest exact form, as in YAML: 2.0 is 2, and tuples are lists without quotes.

    Example:
        >>> written(2.0), written(("masks", "towers"))
        ('2', '[masks, towers]')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(written, value))}]"
    return str(value)
