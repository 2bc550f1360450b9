"""Claims and planted tables, by which their verdicts are known in advance."""

from __future__ import annotations

from typing import Any

from distillab.claims import ClaimSpec, ClaimTables

SEEDS = 10


def claim_of(*rules: dict[str, Any], **values: Any) -> ClaimSpec:
    """Return a claim with some rules on a study of sizes 5 and 20 of digits."""
    given: dict[str, Any] = {
        "id": "planted",
        "version": 1,
        "statement": "Distillation helps.",
        "source": "a test",
        "prediction": "It gains.",
        "falsifier": "It does not.",
        "manipulation_check": "None.",
        "base": "digits",
        "study": {"factors": {"size": [5, 20]}},
        "decision_rule": list(rules),
        "minutes": {"smoke": 0.1, "laptop": 1},
    }
    return ClaimSpec.model_validate({**given, **values})


def runs(
    method: str, mean: float, *, spread: float = 0.002, seeds: int = SEEDS, **columns: Any
) -> list[dict[str, Any]]:
    """Return result rows of a method, whose accuracies alternate around a mean."""
    return [
        {
            "run_id": f"{method} {columns} {seed}",
            "method": method,
            "seed": seed,
            "status": "done",
            "provenance": "full",
            "student": "convnet3",
            "accuracy": mean + spread * (-1) ** seed,
            "n_test": 1000,
            **columns,
        }
        for seed in range(seeds)
    ]


def effect(gain: float, half: float, **columns: Any) -> dict[str, Any]:
    """Return a row of the table of effects."""
    return {
        "method": "kd",
        "baseline": "ce",
        "metric": "accuracy",
        "provenance": "full",
        "student": "convnet3",
        "n_pairs": SEEDS,
        "gain": gain,
        "ci_low": gain - half,
        "ci_high": gain + half,
        "plain_mean": 0.8,
        "teacher_accuracy": 0.9,
        "converged": True,
        **columns,
    }


def level_effect(difference: float, half: float, **columns: Any) -> dict[str, Any]:
    """Return a row of the table of differences between levels."""
    row = effect(difference, half, factor="size", level="20", reference="5")
    return {**row, "difference": difference, **columns}


def tables_with(
    results: list[dict[str, Any]] | None = None,
    effects: list[dict[str, Any]] | None = None,
    level_effects: list[dict[str, Any]] | None = None,
    **values: Any,
) -> ClaimTables:
    """Return tables of a study with a margin of one point."""
    levels = {"size": (5.0, 20.0)}
    return ClaimTables(
        results or [], effects or [], level_effects or [], **{"levels": levels, "margin": 0.01, **values}
    )
