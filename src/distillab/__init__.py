"""distillab: find out how a dataset decides whether knowledge distillation works, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distillab.errors import RequestError

if TYPE_CHECKING:
    from distillab.api import Finished, Study, profile, report

__all__ = ["Finished", "RequestError", "Study", "profile", "report"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The API imports torch, which takes seconds: what only looks at a study does not wait for it.
    if name in __all__:
        from distillab import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
