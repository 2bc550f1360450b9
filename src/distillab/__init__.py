"""distillab: find out how a dataset decides whether knowledge distillation works, and what to do about it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from distillab.errors import RequestError

if TYPE_CHECKING:
    from distillab.api import (
        Across,
        Distilled,
        Finished,
        Study,
        across,
        advise,
        compress,
        distill,
        explain,
        load,
        profile,
        repair,
        report,
        ship,
        verify,
    )

__all__ = [
    "Across",
    "Distilled",
    "Finished",
    "RequestError",
    "Study",
    "across",
    "advise",
    "compress",
    "distill",
    "explain",
    "load",
    "profile",
    "repair",
    "report",
    "ship",
    "verify",
]
__version__ = "0.1.0"


class _Package(ModuleType):
    """Keep ``distillab.profile`` and others functions, although packages have these names.

    Importing ``distillab.profile.measure`` would otherwise bind ``distillab.profile`` to the package.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        # The API imports torch, which takes seconds: commands that only read a study do not wait for it.
        if name in __all__:
            from distillab import api

            return getattr(api, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Package
