"""Conclusions over several data sets: gains by base set, ranks, harms, effects of factors, curves over sizes.

Every function takes plain arrays, so that each can be used alone; :func:`conclude_across` puts them together.
"""

from distillab.evidence.across.aggregates import (
    Aggregate,
    interquartile_mean,
    probability_of_improvement,
)
from distillab.evidence.across.base_sets import BaseSetMeans, MeanAcross
from distillab.evidence.across.conclusions_across import (
    AcrossSets,
    BaseSetGain,
    CurveAcross,
    FactorEffects,
    MethodAcross,
    conclude_across,
)
from distillab.evidence.across.contexts import (
    ContextTable,
    LeftOut,
    PairedContexts,
    StudiedContext,
    contexts_of_results,
    paired_contexts,
)
from distillab.evidence.across.harms_across import HarmAcross, harms_across
from distillab.evidence.across.json_across import across_as_dict
from distillab.evidence.across.mediation import Mediated, mediate
from distillab.evidence.across.mixed_model import MixedEffect, MixedModel, fit_mixed_model
from distillab.evidence.across.monotone import MonotoneCheck, check_monotone
from distillab.evidence.across.multiplier import (
    BreakEven,
    DataMultiplier,
    SizeComparison,
    compare_over_sizes,
)
from distillab.evidence.across.ranks import CriticalDifference, RankedPair, critical_difference
from distillab.evidence.across.regression import Coefficient, Term, WithinDesign, regress
from distillab.evidence.across.signed_rank import SignedRank, bayesian_signed_rank
from distillab.evidence.across.size_curves import FittedForm, Refused, SizeCurve, fit_size_curve
from distillab.evidence.across.terms import INTERACTIONS, DesignedTerms, Interaction, terms_of
from distillab.evidence.across.two_models import TwoModels, compare_models, mcnemar_p
from distillab.evidence.across.wording_across import AnswerAcross, describe_mean, summarize_across

__all__ = [
    "INTERACTIONS",
    "AcrossSets",
    "Aggregate",
    "AnswerAcross",
    "BaseSetGain",
    "BaseSetMeans",
    "BreakEven",
    "Coefficient",
    "ContextTable",
    "CriticalDifference",
    "CurveAcross",
    "DataMultiplier",
    "DesignedTerms",
    "FactorEffects",
    "FittedForm",
    "HarmAcross",
    "Interaction",
    "LeftOut",
    "MeanAcross",
    "Mediated",
    "MethodAcross",
    "MixedEffect",
    "MixedModel",
    "MonotoneCheck",
    "PairedContexts",
    "RankedPair",
    "Refused",
    "SignedRank",
    "SizeComparison",
    "SizeCurve",
    "StudiedContext",
    "Term",
    "TwoModels",
    "WithinDesign",
    "across_as_dict",
    "bayesian_signed_rank",
    "check_monotone",
    "compare_models",
    "compare_over_sizes",
    "conclude_across",
    "contexts_of_results",
    "critical_difference",
    "describe_mean",
    "fit_mixed_model",
    "fit_size_curve",
    "harms_across",
    "interquartile_mean",
    "mcnemar_p",
    "mediate",
    "paired_contexts",
    "probability_of_improvement",
    "regress",
    "summarize_across",
    "terms_of",
]
