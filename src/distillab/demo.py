"""The quickstart study, which comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

QUICKSTART: Final = "quickstart.yaml"


def quickstart_file() -> Path:
    """Return the study file: in the installed package, or in the source tree of an editable installation.

    Example:
        >>> quickstart_file().name
        'quickstart.yaml'
    """
    packaged = Path(__file__).with_name(QUICKSTART)
    return packaged if packaged.exists() else Path(__file__).parents[2] / "studies" / QUICKSTART
