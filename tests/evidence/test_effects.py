"""Effect rows: which runs are paired, what counts as a test, and what each column means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.errors import RequestError
from distillab.evidence.effects import compute_effects, computed_columns
from distillab.evidence.gains import grid_floor
from distillab.evidence.pairs import Row
from distillab.evidence.schema import effects_schema, results_schema
from distillab.evidence.verdicts import holm
from distillab.tasks import Classification

TASK = Classification()


def effects(rows: list[Row], **settings: Any) -> list[Row]:
    return compute_effects(rows, TASK, **settings)


def run(method: str, seed: int, accuracy: float | None, **other: Any) -> Row:
    row = {
        "run_id": f"{method}-{seed}-{other.get('provenance', 'full')}-{other.get('factor.size', 25.0)}",
        "study": "s",
        "dataset": "d",
        "factor.size": 25.0,
        "provenance": "full",
        "teacher": "big",
        "student": "small",
        "method": method,
        "seed": seed,
        "status": "done",
        "n_train": 100,
        "n_test": 1000,
        "accuracy": accuracy,
        "teacher_accuracy": 0.9,
    }
    return row | other


def only(table: list[Row], **wanted: Any) -> Row:
    found = [
        row for row in table if all(row[key.replace("__", ".")] == value for key, value in wanted.items())
    ]
    assert len(found) == 1, found
    return found[0]


def two_methods(gains: list[float], **other: Any) -> list[Row]:
    """Return plain and distilled runs with the given gains."""
    plain = [run("ce", s, 0.5 + 0.01 * s, **other) for s in range(len(gains))]
    return plain + [run("kd", s, 0.5 + 0.01 * s + gain, **other) for s, gain in enumerate(gains)]


def test_runs_are_paired_by_seed_in_any_order() -> None:
    rows = two_methods([0.02, 0.03, 0.04, 0.03, 0.03])
    effect = only(effects(rows))
    assert effect["gain"] == pytest.approx(0.03)
    assert effect["n_pairs"] == 5
    assert effect["verdict"] == "helps"
    assert effect["p_value"] == effect["p_adjusted"] == 2 / 32
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert only(effects(shuffled)) == pytest.approx(effect)


def test_only_finished_pairs_count_and_empty_contrasts_are_kept() -> None:
    rows = two_methods([0.02, 0.03, 0.04, 0.05])
    rows[0]["status"] = "failed"  # ce, seed 0
    rows[5]["status"] = "excluded"  # kd, seed 1
    assert only(effects(rows))["n_pairs"] == 2
    for row in rows:
        row["status"] = "failed"
    effect = only(effects(rows))
    assert effect["n_pairs"] == 0
    assert effect["verdict"] == "undecided"
    assert effect["undecided_because"] == "no finished pair"
    filled = ("n_pairs", "verdict", "verdict_family", "undecided_because")
    assert all(effect[name] is None for name in computed_columns(TASK) if name not in filled)


def test_one_pair_decides_nothing() -> None:
    effect = only(effects(two_methods([0.2])))
    assert effect["gain"] == pytest.approx(0.2)
    assert effect["ci_low"] is None and effect["ci_high"] is None
    assert (effect["verdict"], effect["p_value"]) == ("undecided", 1.0)


def test_gap_closed_and_error_ratio() -> None:
    effect = only(effects(two_methods([0.1, 0.1, 0.1])))  # plain 0.51, distilled 0.61, teacher 0.9
    assert effect["gap_closed"] == pytest.approx(0.1 / 0.39)
    assert effect["error_ratio"] == pytest.approx(0.39 / 0.49)
    assert (effect["plain_mean"], effect["distilled_mean"]) == pytest.approx((0.51, 0.61))


@pytest.mark.parametrize("teacher", [0.3, 0.513, None, math.nan])
def test_no_gap_is_closed_without_a_better_teacher(teacher: float | None) -> None:
    effect = only(effects(two_methods([0.1, 0.1, 0.1], teacher_accuracy=teacher)))
    assert effect["gap_closed"] is None


def test_no_error_ratio_without_errors() -> None:
    rows = [run(method, seed, 1.0) for method in ("ce", "kd") for seed in range(3)]
    assert only(effects(rows))["error_ratio"] is None


def test_each_metric_has_its_direction_and_margin() -> None:
    rows = two_methods([0.002, 0.003, 0.002, 0.003, 0.002])
    for row in rows:
        row["nll"] = 1.0 + 0.01 * row["seed"] - (0.1 + 0.001 * row["seed"] if row["method"] == "kd" else 0.0)
    table = effects(rows)
    assert only(table, metric="nll")["gain"] == pytest.approx(-0.102)
    assert only(table, metric="nll")["verdict"] == "helps"
    assert only(table, metric="accuracy")["verdict"] == "equivalent"
    strict = effects(rows, margin=0.0001)
    assert only(strict, metric="accuracy")["verdict"] == "helps"
    assert only(strict, metric="nll") == only(table, metric="nll")


def test_equal_accuracies_on_a_small_test_set_are_undecided() -> None:
    same = [0.0] * 5
    assert only(effects(two_methods(same, n_test=1000)))["verdict"] == "equivalent"
    assert only(effects(two_methods(same, n_test=50)))["verdict"] == "undecided"


def test_further_test_sets_do_not_use_the_step_of_the_primary_one() -> None:
    """Twenty unchanged images are weaker evidence than a thousand."""
    rows = two_methods([0.0] * 5, n_test=1000)
    for row in rows:
        row["accuracy.exposed"] = 0.05 * (10 + row["seed"] % 2)
    found = only(effects(rows), metric="accuracy.exposed")
    assert found["verdict"] == "undecided" and found["gain"] == 0
    assert found["ci_high"] == pytest.approx(grid_floor(5, 0.05))


def test_metrics_that_no_run_has_are_omitted() -> None:
    rows = two_methods([0.1, 0.2])
    for row in rows:
        row |= {"worst_group_accuracy": math.nan, "agreement": None}
    assert [row["metric"] for row in effects(rows)] == ["accuracy"]


def test_baselines_are_compared_with_each_other_once() -> None:
    methods = ["ce", "label_smoothing", "kd"]
    rows = [run(m, s, 0.5 + 0.01 * i + 0.001 * s * i) for i, m in enumerate(methods) for s in range(4)]
    pairs = {(row["method"], row["baseline"]) for row in effects(rows, baselines=("ce", "label_smoothing"))}
    assert pairs == {("kd", "ce"), ("kd", "label_smoothing"), ("label_smoothing", "ce")}
    assert {(row["method"], row["baseline"]) for row in effects(rows)} == {
        ("kd", "ce"),
        ("label_smoothing", "ce"),
    }


def test_cells_are_never_mixed() -> None:
    rows = (
        two_methods([0.1] * 3)
        + two_methods([0.2] * 3, **{"factor.size": 100.0})
        + two_methods([0.3] * 3, student="tiny")
    )
    for index, row in enumerate(rows):
        row["run_id"] = str(index)
    table = effects(rows)
    assert [round(row["gain"], 6) for row in table] == [0.1, 0.2, 0.3]
    assert [row["n_tests"] for row in table] == [3, 3, 3]


def test_p_values_are_corrected_within_metric_and_baseline() -> None:
    gains = [[0.01, 0.02, 0.03, 0.01, 0.02, 0.01], [0.01, -0.02, 0.03, 0.01, 0.02, 0.01], [0.0, 0.01] * 3]
    rows = [row for i, g in enumerate(gains) for row in two_methods(g, **{"factor.size": float(i)})]
    for row in rows:
        row["nll"] = 1 - row["accuracy"]
    table = effects(rows)
    for metric in ("accuracy", "nll"):
        family = [row for row in table if row["metric"] == metric]
        np.testing.assert_allclose([r["p_adjusted"] for r in family], holm([r["p_value"] for r in family]))


def test_same_runs_in_two_provenances_are_one_test() -> None:
    rows = []
    for provenance in ("same", "full"):
        for seed in range(6):
            at = {"provenance": provenance}
            rows += [
                run("ce", seed, 0.5, **at, run_id=f"ce{seed}"),
                run("label_smoothing", seed, 0.51 + 0.001 * seed, **at, run_id=f"ls{seed}"),
                run("kd", seed, 0.55 + 0.001 * seed, **at),
            ]
    table = effects(rows)
    assert len(table) == 4
    assert {row["n_tests"] for row in table} == {3}  # kd twice, label smoothing once
    assert {row["p_adjusted"] for row in table} == {3 * 2 / 64}


def test_fidelity_to_two_teachers_makes_two_tests_of_one_pair() -> None:
    rows = []
    for shift, provenance in enumerate(("same", "full")):
        for seed in range(3):
            for method in ("ce", "label_smoothing"):
                agreement = 0.5 + 0.1 * shift * seed * (method == "ce")
                rows.append(
                    run(
                        method,
                        seed,
                        0.5,
                        provenance=provenance,
                        run_id=f"{method}{seed}",
                        agreement=agreement,
                    )
                )
    table = effects(rows)
    assert {row["n_tests"] for row in table if row["metric"] == "agreement"} == {2}
    assert {row["n_tests"] for row in table if row["metric"] == "accuracy"} == {1}


@given(st.permutations(range(12)), st.integers(1, 6))
def test_effects_do_not_depend_on_the_order_of_rows(order: list[int], seeds: int) -> None:
    rows = two_methods([0.01 * s for s in range(seeds)]) + two_methods([0.02] * seeds, provenance="same")
    shuffled = [rows[i % len(rows)] for i in order]  # may also repeat and drop rows
    shuffled += [row for row in rows if row not in shuffled]
    tables = [sorted(effects(given), key=lambda row: row["provenance"]) for given in (rows, shuffled)]
    assert tables[0] == tables[1]


def test_two_different_runs_of_one_cell_are_an_error() -> None:
    rows = [*two_methods([0.1, 0.1]), run("kd", 1, 0.9, run_id="another")]
    with pytest.raises(ValueError, match=r"two runs of 'kd' with seed 1"):
        effects(rows)


def test_unknown_baseline_is_named() -> None:
    with pytest.raises(RequestError, match="did you mean 'ce'"):
        effects(two_methods([0.1]), baselines=("cee",))


def test_no_rows_give_no_effects() -> None:
    assert effects([]) == []


def test_rows_have_the_columns_of_the_schemas() -> None:
    rows = two_methods([0.1, 0.2])
    assert rows[0].keys() <= set(results_schema(["size"], TASK).names)
    convergence = ["converged", "doubling_plain", "doubling_distilled", "convergence_note"]
    later = [*convergence, "ci_low_same_runs", "ci_high_same_runs"]
    columns = [name for name in effects(rows)[0] if name not in later]
    assert [*columns, *later] == effects_schema(["size"], TASK).names
