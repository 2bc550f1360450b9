"""Studies: their specification, plan, ledger, store and workers.

``StudyFolder`` holds all of one study. Names are imported on first use, since most of them need torch, for
which a command that only reads a ledger does not wait.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distillab.study.folder import StudyFolder
    from distillab.study.status import StudyStatus, study_status
    from distillab.study.store import Store
    from distillab.study.usage import TeacherUsage, teacher_usage

__all__ = [
    "Store",
    "StudyFolder",
    "StudyStatus",
    "TeacherUsage",
    "study_status",
    "teacher_usage",
]

_MODULES = {
    "Store": "store",
    "StudyFolder": "folder",
    "StudyStatus": "status",
    "TeacherUsage": "usage",
    "study_status": "status",
    "teacher_usage": "usage",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
