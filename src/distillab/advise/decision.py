"""The decision: distil, train plainly, or undecided, from an expected gain with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from distillab.advise.posterior import Posterior
from distillab.evidence.verdicts import Verdict

AdviceVerdict = Literal["distil", "plain", "undecided"]
ADVICE_CONFIDENCE = 0.8  # coverage of the interval of an advice


@dataclass(frozen=True)
class Decision:
    """A verdict with the gain that it rests on.

    Attributes:
        verdict: ``distil``, ``plain`` (train the student on labels alone) or ``undecided``.
        region: Where the gain is expected to lie relative to the margin: ``helps``, ``equivalent`` or
            ``harms``; ``undecided`` with the verdict.
        method: The method with the largest expected gain; empty if there is no estimate.
        gain: Its expected gain, as a fraction; NaN if there is no estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
        reasons: Why it is undecided, one sentence each; empty otherwise.
        posterior: What the estimate rests on; None if there is none.

    Example:
        >>> decide({}, margin=0.005).verdict
        'undecided'
    """

    verdict: AdviceVerdict
    region: Verdict
    method: str
    gain: float
    low: float
    high: float
    reasons: tuple[str, ...] = ()
    posterior: Posterior | None = None


def decide(
    candidates: Mapping[str, Posterior],
    *,
    margin: float,
    scale: float | None = None,
    failed_checks: Sequence[str] = (),
) -> Decision:
    """Decide on the method with the largest expected gain.

    ``distil`` if the interval lies above the margin of practical equivalence, ``plain`` if it lies below it:
    the gain is then too small to pay for, or negative. It is undecided if the interval contains the margin,
    if there is no estimate, or if a check failed.

    Args:
        candidates: The posterior of each method.
        margin: Half width of the region of practical equivalence, as a fraction.
        scale: Half width of the interval in standard deviations, from the errors on held-out base sets
            (:func:`distillab.advise.conformal.group_quantile`); by default the quantile of Student's t.
        failed_checks: One sentence per check that failed.

    Example:
        >>> from distillab.advise.posterior import GainEstimate, combine
        >>> from distillab.evidence.draws import Variance
        >>> kd = combine(None, GainEstimate(0.03, Variance(1e-5)))
        >>> found = decide({"kd": kd}, margin=0.005)
        >>> found.verdict, round(found.low, 3), round(found.high, 3)
        ('distil', 0.026, 0.034)
    """
    if not candidates:
        reasons = (*failed_checks, "There is no estimate of the gain.")
        return Decision("undecided", "undecided", "", math.nan, -math.inf, math.inf, reasons)
    method = max(candidates, key=lambda name: candidates[name].estimate.mean)
    posterior = candidates[method]
    gain = posterior.estimate.mean
    if scale is None:
        low, high = posterior.estimate.interval(ADVICE_CONFIDENCE)
    else:
        half = scale * posterior.estimate.deviation
        low, high = gain - half, gain + half
    verdict: AdviceVerdict = "distil" if low > margin else "plain" if high <= margin else "undecided"
    reasons = tuple(failed_checks)
    if verdict == "undecided" or reasons:
        if verdict == "undecided":
            reasons += (
                f"The {100 * ADVICE_CONFIDENCE:.0f} % interval contains {100 * margin:g} points, the margin "
                "of practical equivalence.",
            )
        return Decision("undecided", "undecided", method, gain, low, high, reasons, posterior)
    return Decision(verdict, region_of(gain, margin), method, gain, low, high, (), posterior)


def region_of(gain: float, margin: float) -> Verdict:
    """Return where a gain lies relative to the margin.

    Example:
        >>> region_of(0.02, 0.005), region_of(0.001, 0.005), region_of(-0.02, 0.005)
        ('helps', 'equivalent', 'harms')
    """
    return "helps" if gain > margin else "harms" if gain < -margin else "equivalent"
