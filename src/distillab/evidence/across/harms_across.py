"""What distillation worsens across base sets, behind the average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from distillab.evidence.across.base_sets import BaseSetMeans, MeanAcross
from distillab.evidence.across.contexts import StudiedContext, paired_contexts
from distillab.evidence.gains import NO_DIFFERENCE
from distillab.evidence.harms import harm_metrics
from distillab.evidence.verdicts import Verdict, benjamini_hochberg, holm
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.tasks import Metric, Task


@dataclass(frozen=True)
class HarmAcross:
    """The change of one metric that shows harm, by one method, across base sets.

    Attributes:
        method: The method.
        metric: The metric, such as the accuracy of the worst class.
        change: Mean change over base sets, in the direction of the metric.
        verdict: Its verdict, which holds together with those on all harms of all methods (Holm).
        contexts_worse: Contexts that are worse, at a false discovery rate of 1 - confidence.
        contexts_tested: Contexts with at least 5 pairs.

    Example:
        >>> from distillab.tasks import Classification
        >>> mean = MeanAcross(0.03, 0.02, 0.04, 0.01, 0.01, "harms", 8, 40)
        >>> HarmAcross("kd", Classification.metrics["ece"], mean, "harms", 12, 40).metric.label
        'calibration error'
    """

    method: str
    metric: Metric
    change: MeanAcross
    verdict: Verdict
    contexts_worse: int
    contexts_tested: int


def harms_across(
    contexts: Sequence[StudiedContext],
    methods: Sequence[str],
    task: Task,
    *,
    baseline: str = "ce",
    margin: float = 0.005,
    confidence: float = 0.95,
) -> list[HarmAcross]:
    """Return the changes of all metrics that show harm, by method.

    The verdicts are one family over methods and metrics (Holm). A mean may hide contexts that are harmed: in
    each, the one-sided paired t test across seeds is made against the margin of the metric, corrected over
    the contexts of a method and metric (Benjamini and Hochberg).

    Args:
        contexts: The contexts.
        methods: The methods.
        task: The task, for its metrics.
        baseline: What they are compared with.
        margin: The margin of metrics that use that of a study.
        confidence: Of intervals and families.

    Example:
        >>> from distillab.tasks import Classification
        >>> plain = {seed: 0.1 + seed / 1000 for seed in range(5)}
        >>> arms = {("ce", "ece"): plain, ("kd", "ece"): dict.fromkeys(range(5), 0.2)}
        >>> [found] = harms_across([StudiedContext("a", "usps", {}, arms)], ["kd"], Classification())
        >>> found.contexts_worse, found.verdict
        (1, 'undecided')
    """
    found = []
    for method in methods:
        for metric in harm_metrics(task):
            paired = paired_contexts(contexts, method, baseline, metric.name)
            if not paired.contexts:
                continue
            limit = metric.margin_for(margin)
            change = BaseSetMeans.of(paired.gains, paired.base_sets).summary(
                limit, higher_is_better=metric.higher_is_better, confidence=confidence
            )
            sign = 1.0 if metric.higher_is_better else -1.0
            p_values = [
                _p_worse(sign * values, limit) for values in paired.differences if len(values) >= LEAST_PAIRS
            ]
            worse = int((benjamini_hochberg(p_values) <= 1.0 - confidence).sum()) if p_values else 0
            found.append(HarmAcross(method, metric, change, change.verdict, worse, len(p_values)))
    adjusted = holm([each.change.p_verdict for each in found])
    return [
        replace(each, verdict=each.change.verdict if p <= 1.0 - confidence + 1e-12 else "undecided")
        for each, p in zip(found, adjusted, strict=True)
    ]


def _p_worse(gains: np.ndarray, margin: float) -> float:
    """Return the p-value that a mean gain, larger being better, is not below -margin."""
    if np.ptp(gains) < NO_DIFFERENCE:
        return 1.0  # without a spread, nothing is known of other seeds
    return float(stats.ttest_1samp(gains, -margin, alternative="less").pvalue)
