"""From result and effect rows to the contents of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from distillab.evidence import class_harms
from distillab.report.collect import rows
from distillab.report.collect.doses import dose_panels
from distillab.report.collect.harms import class_panel
from distillab.report.contents import Effect, LevelView, Place, Run
from support.report_sample import TASK, Scale, table_rows

SCALE = Scale(sizes=(10.0, 100.0), noises=(0.0, 0.4), methods=("label_smoothing", "kd"), seeds=4)


@pytest.fixture(scope="module")
def tables() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return table_rows(SCALE)


def test_runs_and_effects_keep_every_number(
    tables: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    results, effect_rows = tables
    runs, effects = rows.runs_of(results, TASK), rows.effects_of(effect_rows)
    names = {"run_id", "study", "dataset", "provenance", "teacher", "student", "method", "seed", "status"}
    for run, row in zip(runs, results, strict=True):
        assert run.place.levels == (
            LevelView("size", row["factor.size"]),
            LevelView("label_noise", row["factor.label_noise"]),
        )
        assert (run.place.dataset, run.place.teacher, run.place.student) == ("digits", "resnet20", "resnet8")
        numbers = {key: value for key, value in row.items() if value is not None and "factor." not in key}
        assert dict(run.measures) == {key: numbers[key] for key in numbers.keys() - names}
    columns = ("gain", "ci_low", "ci_high", "p_value", "p_adjusted", "verdict", "gap_closed", "n_pairs")
    for effect, row in zip(effects, effect_rows, strict=True):
        assert {name: getattr(effect, name) for name in columns} == {name: row[name] for name in columns}


def test_qualities_are_means_over_finished_runs() -> None:
    place = Place("d", "t", "s")
    values = [0.5, 0.7, 0.9]
    runs = [Run(str(i), place, "kd", i, "done", {"accuracy": v}) for i, v in enumerate(values)]
    runs += [Run("x", place, "kd", 9, "failed"), Run("y", place, "kd", 8, "excluded", {"nll": 0.0})]
    (quality,) = rows.qualities(runs)
    assert quality.n == 3
    assert quality.measures["accuracy"] == pytest.approx((0.7, 0.2))
    assert quality.measures["nll"] == (None, None)
    (single,) = rows.qualities(runs[:1])
    assert single.measures["accuracy"] == (0.5, None)


def test_dose_panels_hold_everything_else_fixed(
    tables: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    runs, effects = rows.runs_of(tables[0], TASK), rows.effects_of(tables[1])
    panels = dose_panels(effects, runs, TASK)
    assert [(p.factor, p.held) for p in panels] == [
        ("size", "label noise 0"),
        ("size", "label noise 0.4"),
        ("label_noise", "10 examples per class"),
        ("label_noise", "100 examples per class"),
    ]
    kd = next(curve for curve in panels[1].gains if curve.name == "kd")
    wanted = {
        e.place.value("size"): (e.gain, e.ci_low, e.ci_high)
        for e in effects
        if e.metric == "accuracy" and e.method == "kd" and e.place.value("label_noise") == 0.4
    }
    assert {p.level: (p.value, p.low, p.high) for p in kd.points} == wanted
    assert [p.level for p in kd.points] == [10.0, 100.0]
    assert [(curve.name, curve.role) for curve in panels[0].scores] == [
        ("teacher", "teacher"),
        ("ce", "plain"),
        ("label_smoothing", "distilled"),
        ("kd", "distilled"),
    ]
    accuracies = [
        float(run.measures["accuracy"] or 0.0)
        for run in runs
        if run.method == "ce" and run.place.value("size") == 10.0 and run.place.value("label_noise") == 0.0
    ]
    point = panels[0].scores[1].points[0]
    low, high = stats.t.interval(0.95, 3, np.mean(accuracies), stats.sem(accuracies))
    assert (point.value, point.low, point.high, point.n) == pytest.approx((np.mean(accuracies), low, high, 4))


def test_dose_panels_separate_teachers_and_share_methods_without_one() -> None:
    def effect(method: str, provenance: str, size: float, gain: float) -> Effect:
        teacher = "t" if provenance else ""
        place = Place("d", teacher, "s", provenance, (LevelView("size", size),))
        return Effect(place, method, "ce", "accuracy", 5, gain, gain, gain)

    effects = [effect("kd", "same", size, 0.1) for size in (10.0, 20.0)]
    effects += [effect("kd", "full", size, 0.2) for size in (10.0, 20.0)]
    effects += [effect("label_smoothing", "", size, 0.0) for size in (10.0, 20.0)]
    panels = dose_panels(effects, [], TASK)
    assert len(panels) == 2
    for panel, gain in zip(panels, (0.1, 0.2), strict=True):
        gains = {curve.name: curve.points[0].value for curve in panel.gains}
        assert gains == {"kd": gain, "label_smoothing": 0.0}


def test_single_levels_and_other_baselines_have_no_dose_panel() -> None:
    place = Place("d", "t", "s", "full", (LevelView("size", 10.0),))
    here = Effect(place, "kd", "ce", "accuracy", 5, 0.1, 0.0, 0.2)
    other = Place("d", "t", "s", "full", (LevelView("size", 20.0),))
    there = Effect(other, "kd", "other", "accuracy", 5, 0.1, 0.0, 0.2)
    assert dose_panels([here], [], TASK) == ()
    assert dose_panels([here, there], [], TASK) == ()


def test_method_costs_are_ratios_to_plain_training() -> None:
    place = Place("d", "t", "s")
    runs = [
        Run(f"{method}{seed}", place, method, seed, "done", {"train_seconds": seconds})
        for method, seconds in (("ce", 2.0), ("kd", 5.0))
        for seed in range(2)
    ]
    costs = {cost.method: cost for cost in rows.method_costs(runs, "ce")}
    assert (costs["kd"].seconds_per_run, costs["kd"].times_plain, costs["kd"].runs) == (5.0, 2.5, 2)
    assert costs["ce"].times_plain == 1.0
    assert {cost.times_plain for cost in rows.method_costs(runs[2:], "ce")} == {None}


def test_class_harms_become_verdicts() -> None:
    rng = np.random.default_rng(0)
    plain = np.full((8, 3), 0.8) + rng.normal(0, 0.002, (8, 3))
    distilled = plain + np.array([-0.1, 0.0, 0.1]) + rng.normal(0, 0.01, (8, 3))
    harms = class_harms(distilled, plain, ["lost", "same", "won"])
    panel = class_panel(Place("d", "t", "s"), "kd", harms, {"lost": 12})
    assert [(c.name, c.verdict, c.n_train) for c in panel.classes] == [
        ("lost", "harms", 12),
        ("same", "undecided", None),
        ("won", "helps", None),
    ]
    assert panel.classes[0].gain == harms[0].gain and panel.classes[0].p_adjusted == harms[0].p_adjusted
