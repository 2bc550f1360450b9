"""The evidence base: paired runs of many contexts, made by one design, that advice and claims rest on."""

from distillab.base.evidence_base import ContextPairs, EvidenceBase, read
from distillab.base.schema import (
    BASE_VERSION,
    PREDICTORS,
    RUN_METRICS,
    RUN_PHASES,
    contexts_schema,
    runs_schema,
)

__all__ = [
    "BASE_VERSION",
    "PREDICTORS",
    "RUN_METRICS",
    "RUN_PHASES",
    "ContextPairs",
    "EvidenceBase",
    "contexts_schema",
    "read",
    "runs_schema",
]
