"""The verbs as functions, for Python and for the command line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distillab.api.advice import advise
from distillab.api.distillation import Distilled, distill
from distillab.api.profiles import profile
from distillab.api.reports import report
from distillab.api.shipping import ship
from distillab.api.stored_files import repair, verify
from distillab.api.studies import Finished, Study, conclude

if TYPE_CHECKING:
    from distillab.api.across_sets import Across, across
    from distillab.api.claims import run_claims
    from distillab.api.compression import compress
    from distillab.api.explanations import explain
    from distillab.api.models import load

__all__ = [
    "Across",
    "Distilled",
    "Finished",
    "Study",
    "across",
    "advise",
    "compress",
    "conclude",
    "distill",
    "explain",
    "load",
    "profile",
    "repair",
    "report",
    "run_claims",
    "ship",
    "verify",
]

# These import evidence and profile, which take seconds that no study should wait for.
_IMPORTED_LATE = {
    "Across": "distillab.api.across_sets",
    "across": "distillab.api.across_sets",
    "compress": "distillab.api.compression",
    "explain": "distillab.api.explanations",
    "load": "distillab.api.models",
    "run_claims": "distillab.api.claims",
}


def __getattr__(name: str) -> Any:
    if name in _IMPORTED_LATE:
        return getattr(import_module(_IMPORTED_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
