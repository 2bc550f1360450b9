"""Conclusions over several data sets in a JSON-able form."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from distillab.canonical import JsonObject
from distillab.evidence.across.base_sets import MeanAcross
from distillab.evidence.across.conclusions_across import AcrossSets, CurveAcross, FactorEffects, MethodAcross
from distillab.evidence.across.size_curves import Refused
from distillab.evidence.across.wording_across import AnswerAcross


def across_as_dict(found: AcrossSets, answer: AnswerAcross) -> JsonObject:
    """Return conclusions as ``distillab across --json`` prints them; what is not finite is null.

    Example:
        >>> from distillab.evidence.across.contexts import ContextTable
        >>> from distillab.tasks import Classification
        >>> nothing = AcrossSets(ContextTable(()), Classification(), "ce", 0.005, 0.95, (), (), None, (), ())
        >>> across_as_dict(nothing, AnswerAcross("Nothing."))["methods"]
        []
    """
    found_as_dict: JsonObject = _finite(
        {
            "headline": answer.headline,
            "harm_sentences": list(answer.harms),
            "sentences": list(answer.sentences),
            "caveats": list(answer.caveats),
            "metric": found.task.primary,
            "baseline": found.baseline,
            "margin": found.margin,
            "confidence": found.confidence,
            "base_sets": found.table.base_sets,
            "contexts": len(found.table.contexts),
            "failed_runs": found.table.failed,
            "left_out": [asdict(each) for each in found.table.left_out],
            "methods": [_method(each) for each in found.methods],
            "harms": [
                {
                    "method": each.method,
                    "metric": each.metric.name,
                    **_mean(each.change, each.verdict),
                    "contexts_worse": each.contexts_worse,
                    "contexts_tested": each.contexts_tested,
                }
                for each in found.harms
            ],
            "ranks": asdict(found.ranks) if found.ranks else None,
            "factors": [_factor(each) for each in found.factors],
            "curves": [_curve(each) for each in found.curves],
        }
    )
    return found_as_dict


def _mean(mean: MeanAcross, verdict: str) -> JsonObject:
    return {
        "gain": mean.mean,
        "ci_low": mean.ci_low,
        "ci_high": mean.ci_high,
        "p_value": mean.p_value,
        "verdict": verdict,
        "verdict_alone": mean.verdict,
        "undecided_because": mean.undecided_because,
        "n_base_sets": mean.n_base_sets,
        "n_contexts": mean.n_contexts,
    }


def _method(method: MethodAcross) -> JsonObject:
    return {
        "method": method.method,
        "control": method.control,
        **_mean(method.gain, method.verdict),
        "probability": asdict(method.signed_rank),
        "interquartile_mean": asdict(method.middle),
        "improvement": asdict(method.improvement),
        "by_base_set": [asdict(each) for each in method.by_base_set],
    }


def _factor(factors: FactorEffects) -> JsonObject:
    return {
        "method": factors.method,
        "effects": [
            {**asdict(each), "p_adjusted": p_value}
            for each, p_value in zip(factors.effects, factors.p_adjusted, strict=True)
        ],
        "with_teacher": [asdict(each) for each in factors.mediated],
        "teacher": asdict(factors.teacher) if factors.teacher else None,
        "mixed_model": asdict(factors.mixed),
        "notes": list(factors.notes),
    }


def _curve(curve: CurveAcross) -> JsonObject:
    place: JsonObject = {"base_set": curve.base_set, "method": curve.method, "held": dict(curve.held)}
    if isinstance(curve.comparison, Refused):
        return {**place, "refused": asdict(curve.comparison)}
    found = curve.comparison
    even = {"refused" if isinstance(found.break_even, Refused) else "break_even": asdict(found.break_even)}
    arms = {"plain": found.plain, "distilled": found.distilled}
    return {
        **place,
        "sizes": found.plain.sizes.tolist(),
        **{arm: each.means.tolist() for arm, each in arms.items()},
        "forms": {
            arm: [
                {
                    "form": each.form.formula,
                    "parameters": each.theta.tolist(),
                    "weight": each.weight,
                    "held_out_error": each.held_out_error,
                }
                for each in curve_of.forms
            ]
            for arm, curve_of in arms.items()
        },
        "monotone": {arm: asdict(each.monotone) for arm, each in arms.items()},
        "multipliers": [asdict(each) for each in found.multipliers],
        **even,
    }


def _finite(value: Any) -> Any:
    """Return a value in which numbers that are not finite are None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
