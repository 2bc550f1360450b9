"""What distillation harms behind the primary metric: stated first, wherever it was found."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.evidence.comparisons import Comparisons
from distillab.evidence.harms import shows_harm
from distillab.evidence.pairs import Row
from distillab.evidence.verdicts import holm
from distillab.evidence.wording import describe_gain, listed
from distillab.printable import counted
from distillab.tasks import Metric


def harm_sentences(study: Comparisons) -> list[str]:
    """Return what each method harms, one sentence per method; those that help on average come first.

    Harm is a verdict ``harms`` on a metric of the worst class or group, of rare classes or of calibration.
    All verdicts on these metrics, of all distillation methods at all places, are one family: Holm's method on
    their ``p_verdict``. So with a probability of 95 % no harm is stated that is none.

    Example:
        >>> from distillab.evidence.comparisons import compare
        >>> from distillab.tasks import Classification
        >>> row = {"method": "kd", "baseline": "ce", "n_pairs": 6, "gain": 0.03}
        >>> row |= {"ci_low": 0.02, "ci_high": 0.04}
        >>> worse = {"metric": "ece", "verdict": "harms", "p_verdict": 0.001}
        >>> rows = [row | {"metric": "accuracy", "verdict": "helps", "p_verdict": 0.01}, row | worse]
        >>> keys = {"baseline": "ce", "controls": [], "margin": 0.005, "confidence": 0.95}
        >>> print(*harm_sentences(compare(rows, Classification(), **keys)))
        kd improves accuracy, but harms calibration error: +3.0 points [2.0, 4.0].
    """
    methods = list(dict.fromkeys(row["method"] for row in study.main))
    tested = [
        row
        for row in study.effects
        if row["baseline"] == study.baseline
        and row["method"] in methods
        and row["n_pairs"]
        and row["metric"] != study.metric.name
        and shows_harm(study.metrics[row["metric"]])
    ]
    harmed = _harmed(tested, study.alpha)
    helping = {row["method"] for row in study.main if row["verdict"] == "helps"}
    methods.sort(key=lambda method: method not in helping)
    return [_sentence(method, harmed, tested, study) for method in methods if _of(method, harmed)]


def _harmed(tested: Sequence[Row], alpha: float) -> list[Row]:
    """Return the rows of harm that hold together with all verdicts on metrics that show harm."""
    if any(row.get("p_verdict") is None for row in tested):  # a table of an older version
        return [row for row in tested if row["verdict"] == "harms"]
    adjusted = holm([row["p_verdict"] for row in tested])
    return [
        row
        for row, p_value in zip(tested, adjusted, strict=True)
        if _alone(row) == "harms" and p_value <= alpha + 1e-12
    ]


def _alone(row: Row) -> str:
    """Return the verdict of a row before it is corrected within its own metric."""
    return str(row.get("verdict_alone") or row["verdict"])


def _sentence(method: str, harmed: Sequence[Row], tested: Sequence[Row], study: Comparisons) -> str:
    main = [row for row in study.main if row["method"] == method]
    helped = sum(row["verdict"] == "helps" for row in main)
    start = f"{method} harms "
    if helped:
        where = f" in {helped} of {counted(len(main), 'comparison')}" if len(main) > 1 else ""
        start = f"{method} improves {study.metric.label}{where}, but harms "
    parts = []
    for name in dict.fromkeys(row["metric"] for row in _of(method, harmed)):
        rows = [row for row in _of(method, harmed) if row["metric"] == name]
        total = sum(row["metric"] == name for row in _of(method, tested))
        parts.append(_part(rows, total, study.metrics[name], study))
    return f"{start}{listed(parts)}."


def _part(rows: Sequence[Row], total: int, metric: Metric, study: Comparisons) -> str:
    """Return how often one metric is harmed, and where most."""
    worst = max(rows, key=lambda row: abs(float(row["gain"])))
    if total == 1:
        return f"{metric.label}: {describe_gain(worst, metric)}"
    place = study.place(worst)
    at = f" at {place}" if place else ""
    most = "most" if len(rows) > 1 else "there"
    return f"{metric.label} in {len(rows)} of {total} ({most} {describe_gain(worst, metric)}{at})"


def _of(method: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["method"] == method]
