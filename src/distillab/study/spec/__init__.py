"""The specification of a study: its file, parsed and validated."""

from distillab.study.spec.evidence import EvidenceSpec
from distillab.study.spec.references import check_readable, check_references
from distillab.study.spec.seeds import SeedRange
from distillab.study.spec.storage_budget import StoredOutputs
from distillab.study.spec.student import StudentEntry
from distillab.study.spec.study import StudySpec, parse_study, read_study
from distillab.study.spec.teacher import ExternalStatistics, TeacherSpec

__all__ = [
    "EvidenceSpec",
    "ExternalStatistics",
    "SeedRange",
    "StoredOutputs",
    "StudentEntry",
    "StudySpec",
    "TeacherSpec",
    "check_readable",
    "check_references",
    "parse_study",
    "read_study",
]
