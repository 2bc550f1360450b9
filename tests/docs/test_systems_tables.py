"""Tables of docs/systems/ by group: what the group alone predicts, and means over groups and seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import systems_groups
import systems_networks
import systems_rows
import systems_table
from systems_groups import by_group, group_rules, write_rules
from systems_rows import over_seeds

from distillab.data.examples import Examples
from distillab.tasks import BalancedClassification

TASK = BalancedClassification()
STUDIES = sorted(path.stem.removesuffix("-groups") for path in systems_rows.TABLES.glob("*-groups.parquet"))


def sites(labels: list[int], groups: list[int]) -> Examples:
    """Return examples of two classes from the sites a, b and c."""
    images = np.zeros((len(labels), 1, 8, 8), np.uint8)
    examples = Examples.of(images, labels, ("no", "yes"))
    return replace(examples, groups=np.array(groups), group_names=("a", "b", "c"))


# Site a is mostly of class 0, site b of class 1; of site c the test set has class 1 alone.
TRAIN = sites([0, 0, 0, 1, 1, 1, 0, 1, 1], [0, 0, 0, 0, 1, 1, 1, 2, 2])
TEST = sites([0, 0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 1, 1, 2])


def test_the_group_alone_is_a_guess_within_each_group() -> None:
    found = {(row["left_out"], row["group"], row["metric"]): row for row in group_rules(TRAIN, TEST, TASK)}
    # Over all: 2 of 3 of class 0 (site a), 3 of 4 of class 1 (sites b and c).
    assert found["", "", "balanced_accuracy"]["score"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert [found["", name, "balanced_accuracy"]["score"] for name in "ab"] == [0.5, 0.5]
    assert math.isnan(found["", "c", "balanced_accuracy"]["score"]), "one class"
    assert [found["", name, "balanced_accuracy"]["n_test"] for name in "abc"] == [3, 3, 1]
    assert found["", "", "group_balanced_accuracy"]["score"] == 0.5, "over the sites a and b"


def test_a_group_that_is_left_out_is_guessed() -> None:
    rows = [row for row in group_rules(TRAIN, TEST, TASK, ["a", "b"]) if row["left_out"]]
    assert [(row["left_out"], row["group"], row["score"]) for row in rows] == [
        ("a", "a", 0.5),
        ("b", "b", 0.5),
    ]


def test_examples_without_groups_have_no_rule() -> None:
    assert group_rules(replace(TRAIN, groups=None), replace(TEST, groups=None), TASK) == []


def test_rules_are_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems_rows, "TABLES", tmp_path)
    write_rules(group_rules(TRAIN, TEST, TASK, ["a"]), tmp_path / "study-group-rule.csv")
    assert systems_groups.of_rule("study", "balanced_accuracy") == "70.8"
    assert systems_groups.of_rule("study", "balanced_accuracy", "a", left_out="a") == "50.0"
    assert systems_groups.of_rule("study", "balanced_accuracy", "c") == "", "undefined"


@pytest.mark.parametrize("study", STUDIES)
def test_tables_of_groups_have_the_rule_beside_their_scores(study: str) -> None:
    assert systems_groups.of_rule(study, systems_rows.primary_of(study))
    if not systems_groups.left_out_of(study):
        assert "| 50.0 |" in by_group(study)


def test_groups_that_lack_a_class_are_left_out_of_the_mean() -> None:
    """Over sites a to f but c, of which the test set has one class, the gain is the mean of the five."""
    rows = systems_rows.rows_of("heart-sounds", "groups")
    scores = {(row["method"], row["group"], row["seed"]): row["score"] for row in rows}
    method = "kd(temperature=7)"
    pairs = [(scores[method, site, seed], scores["ce", site, seed]) for site in "abdef" for seed in range(10)]
    gain = float(np.mean([after - before for after, before in pairs]))
    effects = systems_rows.rows_of("heart-sounds", "effects")
    [row] = [
        each for each in effects if (each["method"], each["metric"]) == (method, "group_balanced_accuracy")
    ]
    assert row["gain"] == pytest.approx(gain) and row["n_pairs"] == 10
    assert all(scores["ce", "c", seed] is None for seed in range(10))


def test_interval_over_seeds_is_students() -> None:
    half = 4.30265273 / 3**0.5  # the quantile of two degrees of freedom
    assert over_seeds([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - half, 2 + half))


@pytest.mark.parametrize("study", ["chinese-text", "lung-histology", "remote-sensing", "chest-xray-teachers"])
def test_one_network_is_chosen_on_val(study: str) -> None:
    text = systems_networks.selection(study)
    assert text.count("| chosen |") == 1
    assert any(text in page for page in systems_table.files().values())


def test_teachers_stand_beside_their_ensemble() -> None:
    lines = systems_networks.teacher_scores("chinese-text").splitlines()[2:]
    assert [line.split(" | ")[0].strip("| `").split("(")[0] for line in lines] == [
        "textcnn",
        "bilstm",
        "bert_2x128",
        "greedy",
    ]
    greedy = systems_rows.rows_of("chinese-text", "teacher-scores")
    against = systems_rows.rows_of("chinese-text", "against-teacher")
    ensemble = [float(row["score"]) for row in greedy if row["in_ensemble"] == "False"]
    assert np.mean(ensemble) == pytest.approx(against[0]["teacher_score"]), "the teacher of the students"
