"""Metrics other than the primary one over draws of test examples: further test sets and groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from distillab.errors import RequestError
from distillab.evidence.contrast import Contributions, ExampleValues, values_of_gap, values_of_strata
from distillab.evidence.effects import SAME_RUNS, compute_effects
from distillab.evidence.gains import PairedDifferences
from distillab.evidence.level_effects import compute_level_effects
from distillab.evidence.pairs import Row
from distillab.evidence.planned_family import planned_tests
from distillab.evidence.results import write_tables
from distillab.evidence.schema import read_rows
from distillab.report import render
from distillab.report.collect import collect_contents
from distillab.study.folder import StudyFolder
from distillab.tasks import Classification
from support.contributions import metrics_over_examples
from support.studies import begin, plan, run_here, spec

TASK = Classification()
SEEDS = 6
SITES = np.repeat([0, 1], [150, 60])
OF_GAP = {"method": "kd", "provenance": "full", "metric": "accuracy_gap.conflicting"}
TESTS = ("aligned", "conflicting", "crossed")
ENDS = ("gain", "ci_low", "ci_high", "ci_low_same_test", "ci_high_same_test", "p_value", "p_verdict")


def study() -> tuple[list[Row], dict[str, ExampleValues]]:
    """Return runs at two levels with their accuracy on all examples and on those of site b."""
    rng = np.random.default_rng(0)
    rows, values = [], {}
    for level in (0.0, 0.4):
        gains = rng.random(len(SITES)) < 0.2 + level
        for seed in range(SEEDS):
            for method in ("ce", "kd"):
                correct = rng.random(len(SITES)) < 0.5
                correct |= gains & (method == "kd")
                run = f"{method} {level} {seed}"
                values[run] = ExampleValues(correct.astype(np.float64), np.arange(len(SITES)))
                row = {"run_id": run, "method": method, "seed": seed, "factor.label_noise": level}
                own = {"accuracy": correct.mean(), "accuracy.b": correct[SITES == 1].mean()}
                rows.append({**row, "status": "done", **{name: float(each) for name, each in own.items()}})
    return rows, values


def of_site(values: ExampleValues) -> ExampleValues:
    return ExampleValues(values.values[SITES == 1], values.ids[SITES == 1])


@pytest.mark.parametrize("compute", [compute_effects, compute_level_effects])
def test_interval_of_a_group_is_that_of_a_study_of_the_group_alone(compute: Callable[..., list[Row]]) -> None:
    rows, values = study()

    def further(metric: str) -> Contributions | None:
        return {"accuracy.b": lambda row: of_site(values[row["run_id"]])}.get(metric)

    def whole(row: Row) -> ExampleValues:
        return values[row["run_id"]]

    both = compute(rows, TASK, contributions=whole, further=further)
    alone = [{**row, "accuracy": row["accuracy.b"]} for row in rows]
    for row in alone:
        del row["accuracy.b"]
    expected = compute(alone, TASK, contributions=lambda row: of_site(values[row["run_id"]]))
    found = [row for row in both if row["metric"] == "accuracy.b"]
    columns = [name for name in (*ENDS, *SAME_RUNS, "shared_examples") if name in expected[0]]
    assert [[row[name] for name in columns] for row in found] == [
        [row[name] for name in columns] for row in expected
    ]
    assert all(row["ci_low"] < row["ci_low_same_test"] for row in found)
    primary = compute(
        [{k: v for k, v in row.items() if k != "accuracy.b"} for row in rows], TASK, contributions=whole
    )
    assert [row for row in both if row["metric"] == "accuracy"] == primary
    fixed = [row for row in compute(rows, TASK, contributions=whole) if row["metric"] == "accuracy.b"]
    assert [row["ci_low_same_test"] for row in fixed] == [row["ci_low_same_test"] for row in found]
    assert all(row["ci_low"] == row["ci_low_same_test"] for row in fixed)


def test_examples_are_drawn_within_groups() -> None:
    rng = np.random.default_rng(1)
    values, groups = rng.random(60), rng.permutation(np.repeat([3, 5, 8], [10, 20, 30]))
    found = values_of_strata(values, groups)
    strata = [values[groups == group] for group in (3, 5, 8)]
    assert found.mean() == pytest.approx(np.mean([each.mean() for each in strata]))
    assert found.var() / 60 == pytest.approx(sum(each.var() / len(each) for each in strata) / 9)
    shifted = values + 5.0 * (groups == 3)
    assert values_of_strata(shifted, groups).var() == pytest.approx(found.var()), "groups are fixed"


def test_interval_of_the_mean_over_groups_is_that_of_a_bootstrap_within_groups() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat([0, 1, 2], [300, 80, 40])
    parts = np.array([0.0, 0.2, 0.5])[groups] + rng.normal(0, 0.5, 420) + rng.normal(0, 0.3, (5, 420))
    table = np.stack([values_of_strata(each, groups) for each in parts])
    differences = PairedDifferences.of(table.mean(1) + 0.5, np.full(5, 0.5), contributions=table)
    mean = parts.mean(0)
    strata = [mean[groups == group] for group in range(3)]
    drawn = [np.mean([rng.choice(each, len(each)).mean() for each in strata]) for _ in range(4000)]
    ends = differences.interval_same_runs(0.95)
    assert ends == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.006)


def test_a_gap_pairs_examples_of_both_test_sets() -> None:
    rng = np.random.default_rng(3)
    far, near = (ExampleValues(rng.random(40), rng.permutation(40)) for _ in range(2))
    found = values_of_gap(far, near)
    by_id = {
        name: dict(zip(each.ids, each.values, strict=True)) for name, each in (("far", far), ("near", near))
    }
    assert found.values == pytest.approx([by_id["far"][i] - by_id["near"][i] for i in found.ids])
    apart = values_of_gap(replace(far, ids=far.ids[:30] + 100, values=far.values[:30]), near)
    assert apart.values.mean() == pytest.approx(far.values[:30].mean() - near.values.mean())
    assert apart.values.var() / 70 == pytest.approx(far.values[:30].var() / 30 + near.values.var() / 40)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study with a spurious cue, which declares the gap."""
    factors = {"spurious": {"levels": [0.3, 0.9], "cue": "frame"}}
    path = tmp_path_factory.mktemp("marked")
    folder = begin(path, factors=factors, teacher={"provenance": "full"}, evidence={"contrasts": [OF_GAP]})
    run_here(folder)
    return folder


def test_study_has_intervals_for_new_examples_on_every_further_test_set(marked: StudyFolder) -> None:
    effects, metrics = read_rows(marked.effects_file), metrics_over_examples(marked)
    further = {f"{column}.{test}" for column in ("accuracy", "accuracy_gap") for test in TESTS}
    assert {"accuracy", *further} <= metrics
    gains = {(row["factor.spurious"], row["metric"]): row["gain"] for row in effects if row["n_pairs"]}
    for level in (0.3, 0.9):
        gap = gains[level, "accuracy.conflicting"] - gains[level, "accuracy"]
        assert gains[level, "accuracy_gap.conflicting"] == pytest.approx(gap)
    for row in effects:
        assert (row["ci_low_same_runs"] is not None) == (row["metric"] in metrics), row["metric"]


def test_report_is_about_the_metric_that_is_declared(marked: StudyFolder) -> None:
    contents = collect_contents(marked, write_tables(marked))
    assert contents.answer.metric == contents.answered.name == "accuracy_gap.conflicting"
    page = render(contents)
    assert "Gains in accuracy gap, conflicting test set, one row per contrast" in page
    assert "Gains in accuracy, one row per contrast" not in page


def test_plan_knows_the_declared_metric_and_its_test_set() -> None:
    keys = {"factors": {"spurious": {"levels": [0.3, 0.9], "cue": "frame"}}}
    declared = spec(**keys, evidence={"contrasts": [OF_GAP, OF_GAP | {"difference": "spurious"}]})
    assert planned_tests(declared, plan(**keys).cells) == 3
    with pytest.raises(RequestError, match=r"contrasts.0.metric: unknown test set 'conflict', did you mean"):
        plan(**keys, evidence={"contrasts": [OF_GAP | {"metric": "accuracy_gap.conflict"}]})
