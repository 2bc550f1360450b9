"""All conclusions of a study together: gains, their differences between levels, and the families of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from distillab.evidence.contrast import Contributions, FurtherContributions
from distillab.evidence.effects import contrast_rows
from distillab.evidence.families import adjust
from distillab.evidence.judging import Judging
from distillab.evidence.level_effects import level_rows
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.sequential import Look
from distillab.factors import Factor, Level, reference_level
from distillab.study.spec.evidence import ContrastSpec, EvidenceSpec
from distillab.tasks import Task


@dataclass(frozen=True)
class Conclusions:
    """The conclusions of a study.

    Attributes:
        effects: Rows of ``effects.parquet``.
        level_effects: Rows of ``level_effects.parquet``.

    Example:
        >>> Conclusions([{"method": "kd", "gain": 0.02}]).level_effects
        []
    """

    effects: list[Row]
    level_effects: list[Row] = field(default_factory=list)


def compute_conclusions(
    rows: Sequence[Row],
    task: Task,
    evidence: EvidenceSpec,
    *,
    looks: Sequence[Look] = (),
    contributions: Contributions | None = None,
    further: FurtherContributions | None = None,
    references: Mapping[str, Level] | None = None,
) -> Conclusions:
    """Return the gains of a study and their differences between levels.

    Verdicts are corrected together within a family: all gains with the same metric and baseline, or all
    differences; if the study declares contrasts, those of both that it declares.

    Args:
        rows: Result rows; see :func:`distillab.evidence.schema.results_schema`.
        task: The task of the study.
        evidence: How conclusions are drawn.
        looks: The looks of a study with sequential stopping.
        contributions: What test examples add to the primary metric.
        further: What they add to other metrics.
        references: The reference level by factor.

    Raises:
        RequestError: No run used one of the baselines.
        ValueError: A cell holds two different runs of one method and seed.

    Example:
        >>> from distillab.tasks import Classification
        >>> rows = [{"method": m, "seed": 0, "status": "done", "accuracy": 0.5} for m in ("ce", "kd")]
        >>> rows = [row | {"run_id": row["method"]} for row in rows]
        >>> [row["method"] for row in compute_conclusions(rows, Classification(), EvidenceSpec()).effects]
        ['kd']
    """
    judging = Judging(
        task, evidence.baselines, evidence.margin, evidence.confidence, looks, contributions, further
    )
    effects, gains = contrast_rows(rows, judging)
    level_effects, differences = level_rows(rows, judging, references or {})
    alpha = 1.0 - evidence.confidence
    if evidence.contrasts:
        adjust([*gains, *differences], alpha, lambda row: _declares(evidence.contrasts, row))
    else:
        adjust(gains, alpha)
        adjust(differences, alpha)
    return Conclusions(effects, level_effects)


def reference_levels(factors: Sequence[Sequence[Factor]]) -> dict[str, Level]:
    """Return the reference level of each factor; see :func:`distillab.factors.reference_level`.

    Args:
        factors: For each factor one instance per level.

    Example:
        >>> from distillab.factors import parse_factors
        >>> reference_levels(parse_factors({"label_noise": [0.4, 0.0], "size": [25, 100]}, "factors"))
        {'label_noise': 0.0, 'size': 25.0}
    """
    return {levels[0].name: reference_level(levels) for levels in factors}


def _declares(contrasts: Sequence[ContrastSpec], row: Row) -> bool:
    """Return True if one of the declared contrasts is that of a row, of gains or of differences."""
    return any(
        entry.method == row["method"]
        and entry.difference == row.get("factor")
        and entry.provenance in (None, row.get("provenance"))
        and entry.student in (None, row.get("student"))
        and entry.metric in (None, row["metric"])
        and all(row.get(f"{FACTOR}{name}") == level for name, level in entry.at.items())
        for entry in contrasts
    )
