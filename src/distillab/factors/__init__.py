"""What a study varies about a dataset: one property per file, and how studies write it down."""

from distillab.factors.chain import (
    ApplyFactor,
    apply_chain,
    apply_factor,
    generator,
    parse_factors,
    reference_level,
)
from distillab.factors.factor import (
    Factor,
    FactorContext,
    Level,
    Manipulation,
    Role,
    factor,
    factors,
    level_text,
)
from distillab.factors.initialisation import Initialisation
from distillab.factors.inputs import Redundancy, Resolution, Shift, Spurious
from distillab.factors.label_budget import LabelBudget
from distillab.factors.label_quality import describe_label_quality
from distillab.factors.steps import Steps
from distillab.factors.targets import (
    Classes,
    Granularity,
    Groups,
    Imbalance,
    LabelNoise,
    Selection,
    Similarity,
    Size,
    Unlabelled,
)
from distillab.factors.teacher_age import TeacherAge
from distillab.factors.teacher_capacity import TeacherCapacity

__all__ = [
    "ApplyFactor",
    "Classes",
    "Factor",
    "FactorContext",
    "Granularity",
    "Groups",
    "Imbalance",
    "Initialisation",
    "LabelBudget",
    "LabelNoise",
    "Level",
    "Manipulation",
    "Redundancy",
    "Resolution",
    "Role",
    "Selection",
    "Shift",
    "Similarity",
    "Size",
    "Spurious",
    "Steps",
    "TeacherAge",
    "TeacherCapacity",
    "Unlabelled",
    "apply_chain",
    "apply_factor",
    "describe_label_quality",
    "factor",
    "factors",
    "generator",
    "level_text",
    "parse_factors",
    "reference_level",
]
