"""Published statements as studies: what they predict, how a study decides them, and the verdicts so far."""

from distillab.claims.folder import judge_claim
from distillab.claims.judging import ClaimTables, failed_check, findings_of
from distillab.claims.library import (
    find_claim,
    needed_data,
    published_claims,
    require_data,
    study_owner,
)
from distillab.claims.record import (
    VERDICTS_FILE,
    merged_verdicts,
    published_verdicts,
    read_verdicts,
    write_verdicts,
)
from distillab.claims.scales import SCALES, ClaimScale
from distillab.claims.spec import ClaimSpec, read_claim, scale_named
from distillab.claims.verdict import ClaimVerdict, RuleFinding

__all__ = [
    "SCALES",
    "VERDICTS_FILE",
    "ClaimScale",
    "ClaimSpec",
    "ClaimTables",
    "ClaimVerdict",
    "RuleFinding",
    "failed_check",
    "find_claim",
    "findings_of",
    "judge_claim",
    "merged_verdicts",
    "needed_data",
    "published_claims",
    "published_verdicts",
    "read_claim",
    "read_verdicts",
    "require_data",
    "scale_named",
    "study_owner",
    "write_verdicts",
]
