"""Environment variables in study files."""

from __future__ import annotations

import os
import re
from typing import Any

from distillab.errors import RequestError


def expand_environment(value: Any, where: str) -> Any:
    """Return a value with environment variables, written ``${NAME}``, replaced in all texts.

    Raises:
        RequestError: A variable is not set.
    """
    if isinstance(value, dict):
        return {key: expand_environment(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, list):
        return [expand_environment(item, where) for item in value]
    if not isinstance(value, str):
        return value
    for name in re.findall(r"\$\{(\w+)\}", value):
        if name not in os.environ:
            raise RequestError(
                f"the environment variable {name} is not set", where=where, allowed=f"export {name}=..."
            )
        value = value.replace(f"${{{name}}}", os.environ[name])
    return value
