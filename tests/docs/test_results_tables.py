"""Committed tables agree with each other, and generated pages with the tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import answer_rows
import answer_table
import factors_table
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import systems_table
from answer_rows import Difference, Point, Series
from generated import RESULTS, Record, read_csv

from distillab.evidence import Row
from distillab.evidence.effects import compute_effects
from distillab.evidence.level_effects import compute_level_effects
from distillab.evidence.schema import read_rows
from distillab.evidence.verdicts import holm
from distillab.study.spec.study_yaml import read_study_yaml
from distillab.tasks import Classification
from support.source_tree import ROOT

ALPHA = 0.05


ANSWERS = sorted(path.stem.removesuffix("-results") for path in answer_rows.ANSWERS.glob("*-results.parquet"))


@pytest.mark.parametrize("study", ["corn-leaf-noise", "cifar100-size"])
@pytest.mark.parametrize(
    ("kind", "compute"), [("effects", compute_effects), ("level-effects", compute_level_effects)]
)
def test_effects_follow_from_results(study: str, kind: str, compute: Callable[..., list[Row]]) -> None:
    committed = read_rows(RESULTS / f"{study}-{kind}.parquet")
    computed = compute(read_rows(RESULTS / f"{study}-results.parquet"), Classification())
    assert len(committed) == len(computed)
    for before, now in zip(committed, computed, strict=True):
        # Tables of an earlier version lack the columns that came later.
        assert all(before[name] == pytest.approx(now[name]) for name in now if name in before), before
        assert len(before) > 20


def families(name: str) -> dict[Any, list[Record]]:
    """Return the rows of a table with a gain, by study and measure."""
    found: dict[Any, list[Record]] = defaultdict(list)
    for row in read_csv(RESULTS / f"{name}.csv"):
        if row["gain"]:
            found[row.get("study"), row.get("metric")].append(row)
    return found


@pytest.mark.parametrize("name", ["factors", "methods-cnn", "methods-vit"])
def test_corrected_verdicts_are_holms(name: str) -> None:
    for rows in families(name).values():
        adjusted = holm([float(row["p_verdict"]) for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            assert int(row["n_tests"]) == len(rows)
            assert row["verdict_family"] == (row["verdict"] if p <= ALPHA else "undecided"), row


@pytest.mark.parametrize("name", ["factors", "methods-cnn", "methods-vit"])
def test_verdicts_agree_with_their_intervals(name: str) -> None:
    margin, rounded = 0.5, 0.005
    for row in (row for rows in families(name).values() for row in rows):
        low, high = float(row["ci_low"]), float(row["ci_high"])
        if min(abs(abs(end) - margin) for end in (low, high)) <= rounded:
            continue  # the table rounds the end to the margin
        beyond = "helps" if low > margin else "harms" if high < -margin else "undecided"
        expected = "equivalent" if -margin <= low and high <= margin else beyond
        enough = int(row.get("n_pairs") or row["seeds"]) >= 5
        assert row["verdict"] == (expected if enough else "undecided"), row
        assert (float(row["p_verdict"]) <= ALPHA) == (row["verdict"] != "undecided"), row


def test_pages_of_factors_are_up_to_date() -> None:
    for path, text in factors_table.pages().items():
        assert path.read_text() == text, f"{path.name}: run make tables"


def test_tables_of_systems_are_up_to_date() -> None:
    for path, text in systems_table.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run make tables"


def test_every_table_of_a_system_is_on_a_page() -> None:
    shown = {
        f"{study}-{systems_table.KINDS[kind][0]}"
        for page in systems_table.PAGES
        for study, kind in systems_table.PLACE.findall(page.read_text(encoding="utf-8"))
    }
    kept = {path.stem for path in systems_table.TABLES.glob("*-effects.parquet")}
    assert {name for name in kept if not name.endswith("level-effects")} <= shown


def gains_of(effect: Row, runs: list[Row]) -> dict[int, float]:
    """Return the differences of the pairs of an effect by seed, from the rows of results."""
    metric = effect["metric"]
    places = [
        name for name in ("provenance", "teacher", "student", "setting") if effect.get(name) is not None
    ]
    places += [name for name in effect if name.startswith("factor.")]
    mine = [row for row in runs if row["status"] == "done" and row[metric] is not None]
    mine = [row for row in mine if all(row[name] == effect[name] for name in places)]
    by_seed = {
        method: {row["seed"]: row[metric] for row in mine if row["method"] == method}
        for method in (effect["method"], effect["baseline"])
    }
    after, before = by_seed[effect["method"]], by_seed[effect["baseline"]]
    return {seed: after[seed] - before[seed] for seed in after if seed in before}


@pytest.mark.parametrize(
    "path", sorted(systems_table.TABLES.glob("*-results.parquet")), ids=lambda path: path.stem
)
def test_gains_of_systems_follow_from_their_runs(path: Path) -> None:
    """The mean difference of the pairs is the gain of the table of effects, for every method and place."""
    study, runs = path.stem.removesuffix("-results"), read_rows(path)
    metric = systems_table.primary_of(study)
    for effect in systems_table.rows_of(study, "effects"):
        if effect["metric"] == metric:
            gains = gains_of(effect, runs)
            assert len(gains) == effect["n_pairs"]
            assert np.mean(list(gains.values())) == pytest.approx(effect["gain"], abs=1e-9)


@pytest.mark.parametrize("study", ANSWERS)
def test_gains_of_answers_follow_from_their_runs(study: str) -> None:
    """So they do in the studies of docs/answer.md, on every metric."""
    runs = read_rows(answer_rows.ANSWERS / f"{study}-results.parquet")
    effects = read_rows(answer_rows.ANSWERS / f"{study}-effects.parquet")
    assert effects
    for effect in effects:
        gains = gains_of(effect, runs)
        assert len(gains) == effect["n_pairs"]
        if gains:
            assert np.mean(list(gains.values())) == pytest.approx(effect["gain"], abs=1e-9), effect["metric"]
            assert effect["ci_low"] <= effect["ci_low_same_test"] <= effect["gain"]


@pytest.mark.parametrize("study", ANSWERS)
def test_differences_of_answers_follow_from_their_runs(study: str) -> None:
    runs = read_rows(answer_rows.ANSWERS / f"{study}-results.parquet")
    rows = read_rows(answer_rows.ANSWERS / f"{study}-level-effects.parquet")
    compared = [row for row in rows if row["level"] != "trend" and row["n_pairs"]]
    assert compared
    for row in compared:
        column = f"factor.{row['factor']}"
        here = gains_of(row, runs)
        there = gains_of(row | {column: float(row["reference"])}, runs)
        together = sorted(here.keys() & there.keys())
        assert len(together) == row["n_pairs"]
        difference = np.mean([here[seed] - there[seed] for seed in together])
        assert difference == pytest.approx(row["difference"], abs=1e-9), row["metric"]


@pytest.mark.parametrize("study", ANSWERS)
def test_verdicts_of_answers_are_corrected_together(study: str) -> None:
    """The declared gains and differences on one metric are one family, whose verdicts are Holm's."""
    tables = [
        read_rows(answer_rows.ANSWERS / f"{study}-{kind}.parquet") for kind in ("effects", "level-effects")
    ]
    families: dict[str, list[Row]] = defaultdict(list)
    for row in (row for rows in tables for row in rows if row["p_adjusted"] is not None):
        families[row["metric"]].append(row)
    declared = read_study_yaml(ROOT / "studies" / "answer" / f"{study}.yaml")["evidence"]["contrasts"]
    metrics = {entry.get("metric", "accuracy") for entry in declared if isinstance(entry, dict)} or {
        "accuracy"
    }
    assert metrics <= families.keys()
    for rows in families.values():
        adjusted = holm([row["p_verdict"] for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            assert row["n_tests"] == len(rows)
            assert row["verdict_family"] == (row["verdict"] if p <= ALPHA else "undecided")


def test_answers_and_their_figures_are_up_to_date() -> None:
    for path, text in answer_table.files().items():
        assert path.read_text() == text, f"{path.name}: run make tables"
    drawn = {path.name for path in answer_table.FIGURES.glob("*.svg")}
    assert drawn == {path.name for path in answer_table.files() if path.suffix == ".svg"}


def series(corrected: str | None, data: str = "set", between: tuple[Difference, ...] = ()) -> Series:
    change = Difference("400", "25", 1.0, 0.5, 1.5, corrected, 6) if corrected else None
    points = (Point(25.0, 0.0, -1.0, 1.0, 12, "undecided", 6), Point(400.0, 1.0, 0.0, 2.0, 12, "helps", 6))
    return Series("study", data, points, change, between, "full", 12, "4000", True, True)


@pytest.mark.parametrize(
    ("corrected", "direction"),
    [
        (["larger"], "grows"),
        (["smaller", "smaller"], "shrinks"),
        (["equivalent"], "stays the same"),
        (["undecided"], "undecided"),
        (["larger", "undecided"], "undecided"),
        (["larger", "smaller"], "differs between base sets"),
        ([None], "not tested"),
        (["larger", None], "grows"),
    ],
)
def test_direction_is_that_of_corrected_differences(corrected: list[str | None], direction: str) -> None:
    assert answer_table.direction([series(each) for each in corrected]) == direction


@pytest.mark.parametrize(
    ("ends", "middle", "direction"),
    [
        ("undecided", ["larger"], "largest in between"),
        ("equivalent", ["smaller"], "stays the same"),
        ("undecided", ["smaller", "smaller"], "smallest in between"),
        ("undecided", ["smaller", "larger"], "undecided"),
        ("larger", ["larger"], "grows"),
    ],
)
def test_a_peak_between_the_ends_is_a_direction_where_the_ends_have_none(
    ends: str, middle: list[str], direction: str
) -> None:
    between = tuple(Difference("100", "25", 3.0, 2.0, 4.0, corrected, 6) for corrected in middle)
    assert answer_table.direction([series(ends, between=between)]) == direction


@pytest.mark.parametrize(
    ("expected", "found", "ends"),
    [
        (-1, "shrinks", "; agrees"),
        (-1, "grows", "; disagrees"),
        (1, "stays the same", "; disagrees"),
        (-1, "largest in between", "; not monotonic here"),
        (1, "not tested", "; not decided here"),
        (0, "grows", "the statement"),
    ],
)
def test_literature_agrees_only_with_a_tested_direction(expected: int, found: str, ends: str) -> None:
    question = answer_rows.Question(
        "n", "size", "text", "size", literature="the statement", claim="C1", expected=expected
    )
    assert answer_table.literature(question, found).endswith(ends)


def test_a_study_of_the_page_replaces_early_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(tmp_path, "size-length")
    monkeypatch.setattr(answer_rows, "ANSWERS", tmp_path)
    question = answer_rows.Question("n", "size", "t", "size", studies=("size-length",), early="size")
    [found] = question.series()
    assert [(point.level, point.gain) for point in found.points] == [(25.0, 2.0), (400.0, 2.0)]
    assert found.converged and found.tuned
    assert (found.steps, found.teachers, found.margin) == ("4000", 12, 1.0)
    assert found.difference and found.difference.corrected == "smaller"
    assert found.difference.value == pytest.approx(-2.0)
    assert (found.difference.reference, found.difference.level) == ("25", "400")


def write_study(folder: Path, name: str) -> None:
    """Write the tables of a study of size and length, whose level effects refer to the largest size."""
    contrast = {
        "dataset": "set",
        "provenance": "full",
        "method": "kd",
        "baseline": "ce",
        "metric": "accuracy",
    }
    interval = {
        "ci_low": 0.01,
        "ci_high": 0.03,
        "n_pairs": 12,
        "n_tests": 6,
        "n_teachers": 12,
        "converged": True,
    }
    rows = [
        contrast
        | interval
        | {"factor.size": size, "factor.steps": steps, "gain": gain, "verdict_family": "helps"}
        | {"setting": setting}
        for setting, gain in (("default", 0.07), ("tuned", 0.02))
        for size, steps in (
            (25.0, 1000.0),
            (25.0, 4000.0),
            (400.0, 1000.0),
            (400.0, 4000.0),
            (400.0, 16000.0),
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}-effects.parquet")
    change: dict[str, Any] = {
        "factor": "size",
        "level": "25",
        "reference": "400",
        "difference": 0.02,
        "verdict_family": "larger",
    }
    change |= {"factor.size": 25.0, "factor.steps": 4000.0}
    levels = [
        contrast | interval | change | {"setting": "default", "difference": 0.07},
        contrast | interval | change | {"setting": "tuned"},
    ]
    pq.write_table(pa.Table.from_pylist(levels), folder / f"{name}-level-effects.parquet")
    (folder / f"{name}.yaml").write_text("tune: {budget: 6}\nevidence: {margin: 0.01}\n")
