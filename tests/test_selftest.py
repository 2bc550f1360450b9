"""The selftest: networks are trained, studies are drawn from them, and wrong conclusions are counted."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest

from distillab.cli import execute
from distillab.evidence import Row, compute_effects
from distillab.selftest import Lab, LabSize, Line, SelfTest, measure_lab, selftest, studies, train_lab
from distillab.selftest.lab import Right
from distillab.selftest.selftest import LEAST, size_for
from distillab.tasks import Task

TINY = LabSize(teachers=2, seeds=3, test_images=10, studies=4, test_size=20)
IMAGES = 400


@pytest.fixture(scope="module")
def trained() -> Lab:
    return train_lab(TINY)


def simulated(
    *,
    teacher_sd: float = 0.0,
    example_sd: float = 0.0,
    shift: float = 0.0,
    seeds: int = 40,
    teachers: int = 8,
) -> Lab:
    """Return a laboratory whose gains have the given parts, as probabilities of a right answer."""
    rng = np.random.default_rng(0)
    plain = rng.random((seeds, IMAGES)) < 0.5 + rng.normal(0, 0.03, (seeds, 1))
    other = rng.random((seeds, IMAGES)) < 0.5 + rng.normal(0, 0.03, (seeds, 1)) + shift
    gain = 0.05 + rng.normal(0, teacher_sd, (teachers, 1, 1)) + rng.normal(0, example_sd, IMAGES)
    distilled = rng.random((teachers, seeds, IMAGES)) < 0.5 + rng.normal(0, 0.03, (seeds, 1)) + gain
    right = [each.astype(np.float64) for each in (plain, other, distilled)]
    return Lab(right[0], right[1], right[2], right[2][:, 0])


def test_networks_are_trained_and_differ(trained: Lab) -> None:
    assert trained.distilled.shape == (2, 3, 60)
    assert set(np.unique(trained.distilled)) <= {0.0, 1.0}
    assert trained.teachers.mean() > 0.6  # of six classes
    students = trained.distilled.reshape(6, -1)
    assert len({row.tobytes() for row in students}) == 6
    assert not np.array_equal(trained.plain, trained.other)


def test_the_same_networks_are_trained_each_time(trained: Lab) -> None:
    again = train_lab(TINY, seeds=[2])
    assert np.array_equal(again.plain, trained.plain[2:])
    assert np.array_equal(again.distilled, trained.distilled[:, 2:])


def test_parts_are_joined_in_the_order_of_seeds(trained: Lab) -> None:
    parts = [
        Lab(trained.plain[cut], trained.other[cut], trained.distilled[:, cut], trained.teachers)
        for cut in (slice(0, 1), slice(1, 3))
    ]
    assert np.array_equal(Lab.joined(parts).distilled, trained.distilled)


def test_a_laboratory_is_read_as_it_was_written(trained: Lab, tmp_path: Path) -> None:
    trained.save(tmp_path / "lab.npz")
    again = Lab.read(tmp_path / "lab.npz")
    for name in ("plain", "other", "distilled", "teachers", "true_gains"):
        assert np.array_equal(getattr(again, name), getattr(trained, name))


def shares(lab: Lab, pairs: int, studies: int = 60) -> dict[str, float]:
    lines = measure_lab(lab, LabSize(studies=studies, test_size=150), pairs, reduced=True)
    return {line.teachers: line.share for line in lines}


def test_intervals_cover_where_teachers_and_examples_vary() -> None:
    found = shares(simulated(teacher_sd=0.03, example_sd=0.1), pairs=6)
    assert min(found[teachers] for teachers in ("one", "few", "each")) > 0.88


def test_intervals_that_ignore_draws_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_seeds(rows: list[Row], task: Task, **settings: Any) -> list[Row]:
        """Take teachers and test examples as fixed."""
        without = [row | {"teacher_run": None} for row in rows]
        return compute_effects(without, task, margin=settings["margin"])

    monkeypatch.setattr(studies, "compute_effects", of_seeds)
    lab = simulated(teacher_sd=0.08, example_sd=0.2)
    lines = measure_lab(lab, LabSize(studies=40, test_size=150), 10, reduced=True)
    assert next(line.share for line in lines if line.teachers == "few") < 0.8
    assert not all(line.passed for line in lines)


def test_students_that_differ_by_chance_seldom_get_a_verdict() -> None:
    # One of the two is better for every seed; which one counts as distilled is drawn, so the true gain is 0.
    assert shares(simulated(shift=0.02), pairs=6)["none"] < 0.15


def test_plain_students_of_a_study_are_of_different_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[float]] = []

    def watched(distilled: Right, plain: Right, teachers: None) -> Row:
        seen.append(set(plain.mean(axis=1).tolist()))
        return {"verdict": "undecided"}

    monkeypatch.setattr(studies, "_effect", watched)
    one = np.arange(6.0)[:, None] * np.ones((6, 10))  # students that their mean identifies
    lab = Lab(one, one, one[None], one)
    measure = partial(studies._false_verdict, lab, test_size=5, rng=np.random.default_rng(0))
    assert not measure(pairs=6) and len(seen[-1]) == 6
    assert not measure(pairs=20) and len(seen[-1]) <= 6  # more pairs than seeds: some occur twice


@pytest.mark.parametrize(
    ("share", "least", "most", "tolerance", "passed"),
    [
        (0.93, 0.93, 1.0, 0.0, True),
        (0.929, 0.93, 1.0, 0.0, False),
        (0.90, 0.93, 1.0, 0.04, True),
        (0.081, 0.03, 0.08, 0.0, False),
        (0.029, 0.03, 0.08, 0.0, False),
        (0.05, 0.03, 0.08, 0.0, True),
    ],
)
def test_a_line_passes_within_its_bounds(
    share: float, least: float, most: float, tolerance: float, passed: bool
) -> None:
    line = Line("coverage", 5, "one", 1000, share, least, most, tolerance)
    assert line.passed == passed
    assert SelfTest((line,), TINY, reduced=False).passed == passed


def test_fewer_minutes_make_a_smaller_test() -> None:
    sizes = [size_for(minutes) for minutes in (0.001, 1, 5, 20, 60)]
    assert sizes[0] == LEAST
    assert [size.networks for size in sizes] == sorted(size.networks for size in sizes)
    assert sizes[-1] == sizes[-2] == LabSize()


def test_command_prints_a_table_and_fails_with_a_line(
    trained: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "size_for", lambda minutes: TINY)
    trained.save(tmp_path / "lab-2-3-10.npz")  # is not trained again
    code = execute(["selftest", "--out", str(tmp_path), "--workers", "1", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["networks"] == TINY.networks and printed["reduced"] is True
    assert len(printed["lines"]) == 16
    assert code == (0 if printed["passed"] else 1)
    table = pyarrow.csv.read_csv(tmp_path / "selftest.csv").to_pylist()
    assert [row["share"] for row in table] == pytest.approx([row["share"] for row in printed["lines"]])
    failing = SelfTest((Line("coverage", 5, "one", 1000, 0.5, 0.93),), TINY, reduced=False)
    monkeypatch.setattr("distillab.selftest.run_selftest", lambda *_, **__: failing)
    assert execute(["selftest"]) == 1
    assert "1 of 1 lines fail" in capsys.readouterr().out


def test_wrong_minutes_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["selftest", "--minutes", "-1"]) == 2
    assert capsys.readouterr().err == "distillab: --minutes: -1 is not accepted (allowed: more than 0)\n"
