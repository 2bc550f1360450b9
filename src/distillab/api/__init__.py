"""The verbs as functions, for Python and for the command line."""

from distillab.api.advice import advise
from distillab.api.claims import run_claims
from distillab.api.distillation import Distilled, distill
from distillab.api.profiles import profile
from distillab.api.studies import Finished, Study, conclude, report

__all__ = [
    "Distilled",
    "Finished",
    "Study",
    "advise",
    "conclude",
    "distill",
    "profile",
    "report",
    "run_claims",
]
