"""Harm behind an average stands first, with the verdict corrected over all metrics that show harm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distillab.evidence import Row, compute_effects, summarize
from distillab.evidence.harms import harm_metrics, shows_harm
from distillab.tasks import Classification, MultiLabel

HARMFUL = ("worst_class_accuracy", "worst_group_accuracy", "tail_accuracy", "nll", "brier", "ece")


def rows(
    changes: dict[str, float], *, seeds: int = 8, spread: float = 0.002, random_seed: int = 0
) -> list[Row]:
    """Return runs of plain and distilled students, whose metrics differ by ``changes``."""
    rng = np.random.default_rng(random_seed)
    found: list[Row] = []
    for seed in range(seeds):
        for method in ("ce", "kd"):
            row: Row = {"run_id": f"{method}-{seed}", "method": method, "seed": seed, "status": "done"}
            for metric, change in changes.items():
                row[metric] = 0.5 + (change if method == "kd" else 0.0) + float(rng.normal(0, spread))
            found.append(row)
    return found


def harms(changes: dict[str, float], **settings: Any) -> tuple[str, ...]:
    return summarize(compute_effects(rows(changes, **settings), Classification()), Classification()).harms


@pytest.mark.parametrize("metric", HARMFUL)
def test_method_that_helps_on_average_and_harms_is_called_so(metric: str) -> None:
    lower = metric in ("nll", "brier", "ece")
    label = Classification.metrics[metric].label
    [sentence] = harms({"accuracy": 0.03, metric: 0.06 if lower else -0.06})
    assert sentence.startswith(f"kd improves accuracy, but harms {label}: ")


@pytest.mark.parametrize("metric", HARMFUL)
def test_improvement_is_no_harm(metric: str) -> None:
    lower = metric in ("nll", "brier", "ece")
    assert harms({"accuracy": 0.03, metric: -0.06 if lower else 0.06}) == ()


def test_method_that_does_not_help_can_harm_as_well() -> None:
    [sentence] = harms({"accuracy": 0.0, "ece": 0.05})
    assert sentence.startswith("kd harms calibration error: +5.0 points")


def test_fewer_than_five_pairs_show_no_harm() -> None:
    assert harms({"accuracy": 0.03, "ece": 0.05}, seeds=4) == ()


def test_fidelity_is_no_harm() -> None:
    assert harms({"accuracy": 0.03, "teacher_kl": 0.5}) == ()


def test_harm_is_rarely_stated_where_there_is_none() -> None:
    nothing = dict.fromkeys(("accuracy", *HARMFUL), 0.0)
    stated = [bool(harms(nothing, seeds=5, spread=0.02, random_seed=number)) for number in range(40)]
    assert np.mean(stated) <= 0.08


def test_correction_counts_all_metrics_that_show_harm() -> None:
    effect: Row = {
        "method": "kd",
        "baseline": "ce",
        "n_pairs": 6,
        "gain": 0.03,
        "ci_low": 0.02,
        "ci_high": 0.04,
    }
    effect |= {"p_value": 0.03, "p_adjusted": 0.03, "gap_closed": 0.5}
    helps = effect | {"metric": "accuracy", "verdict": "helps", "p_verdict": 0.001}
    worse = effect | {"metric": "ece", "verdict": "harms", "p_verdict": 0.03}
    other = effect | {"metric": "nll", "verdict": "undecided", "p_verdict": 0.9}
    assert summarize([helps, worse], Classification()).harms
    assert not summarize([helps, worse, other], Classification()).harms
    before = [{key: value for key, value in row.items() if key != "p_verdict"} for row in (helps, worse)]
    assert summarize(before, Classification()).harms  # tables of an older version


def test_most_harmed_place_is_named() -> None:
    found: list[Row] = []
    for size, change in ((25.0, 0.03), (100.0, 0.08)):
        of_size = rows({"accuracy": 0.03, "ece": change}, random_seed=int(size))
        found += [row | {"factor.size": size, "run_id": f"{row['run_id']}-{size}"} for row in of_size]
    [sentence] = summarize(compute_effects(found, Classification()), Classification()).harms
    assert "improves accuracy in 2 of 2 comparisons, but harms calibration error in 2 of 2" in sentence
    assert "at 100 examples per class" in sentence


def test_harm_metrics_of_both_tasks() -> None:
    assert {metric.name for metric in harm_metrics(Classification())} == set(HARMFUL)
    assert {"worst_label_auc", "worst_group_auc", "tail_auc", "ece"} <= {
        metric.name for metric in harm_metrics(MultiLabel())
    }
    assert shows_harm(Classification.metrics["worst_group_accuracy.low_light"])
