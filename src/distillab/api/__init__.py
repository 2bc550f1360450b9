"""The verbs as functions, for Python and for the command line."""

from distillab.api.across_sets import Across, across
from distillab.api.advice import advise
from distillab.api.claims import run_claims
from distillab.api.distillation import Distilled, distill
from distillab.api.profiles import profile
from distillab.api.studies import Finished, Study, conclude, report

__all__ = [
    "Across",
    "Distilled",
    "Finished",
    "Study",
    "across",
    "advise",
    "conclude",
    "distill",
    "profile",
    "report",
    "run_claims",
]
