"""Environment variables in study files."""

from __future__ import annotations

import os
import re
from typing import Any

from distillab.errors import RequestError

_WORDS = ("study", "notes")  # shown in reports, where no value of a variable belongs


def expand_environment(value: Any, where: str) -> Any:
    """Return the values of a study with environment variables, written ``${NAME}``, replaced in texts.

    They are for paths and names of data and weights: in the name of a study and in its notes they stay as
    they are written. What a variable holds is not expanded again.

    Raises:
        RequestError: A variable is not set.
    """
    if not isinstance(value, dict):
        return _expanded(value, where)
    return {key: item if key in _WORDS else _expanded(item, f"{where}: {key}") for key, item in value.items()}


def _expanded(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, where) for item in value]
    if not isinstance(value, str):
        return value

    def held(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise RequestError(
                f"the environment variable {name} is not set", where=where, allowed=f"export {name}=..."
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", held, value)
