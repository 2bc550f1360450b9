"""The race: its rungs, its deadline, what it reuses, and what is judged on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from distillab.advise import Advice, Adviser
from distillab.advise.case import Case
from distillab.advise.half_data import halved
from distillab.advise.pilot_data import PilotData
from distillab.advise.race import Costs, Race, RacePlan, plan_race
from distillab.advise.race_plan import FIRST_PAIRS, MOST_RACED_PAIRS, Rung, first_rung, next_rung, reached
from distillab.advise.race_study import RaceSetting, RungResult, run_rung
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source
from distillab.sources.python_data import entry_of
from distillab.study.folder import StudyFolder
from support.advice import TickingClock, request
from support.planted import gratings

NEVER = 1e9


def never(results: Sequence[RungResult]) -> bool:
    return False


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> RaceSetting:
    folder = tmp_path_factory.mktemp("race")
    case = Case.read(request(folder))
    keys = case.request.keys(case.pilot.dataset)
    keys["recipe"] = {"precision": "fp32", "batch_size": 16, "lr": 0.025}
    keys["teacher"] = {**keys["teacher"], "recipe": {"steps": 12}}
    return RaceSetting(case.pilot.dataset, keys, folder / "race", 24, 0.005, "cpu", 1, "inline")


@pytest.fixture(scope="module")
def raced(setting: RaceSetting) -> RungResult:
    return run_rung(setting, Rung(3, 0.25), ["kd"], deadline=NEVER, on_share=lambda share: None)


def test_arms_share_seeds_and_steps(raced: RungResult) -> None:
    folder = StudyFolder.open(raced.folder)
    assert folder.spec.recipe.steps == 6 and folder.spec.seed_list == (0, 1, 2)
    assert raced.complete and raced.arms["kd"].pairs == 3 and len(raced.arms["kd"].runs) == 6


def test_judged_examples_are_those_of_the_pilot(raced: RungResult, setting: RaceSetting) -> None:
    dataset = StudyFolder.open(raced.folder).dataset
    assert dataset.eval["test"].digest == setting.dataset.eval["test"].digest


def test_runs_of_an_earlier_rung_are_not_trained_again(raced: RungResult, setting: RaceSetting) -> None:
    again = run_rung(setting, Rung(4, 0.25), ["kd"], deadline=NEVER, on_share=lambda share: None)
    assert again.arms["kd"].pairs == 4
    assert set(raced.arms["kd"].runs) < set(again.arms["kd"].runs)
    first, second = (StudyFolder.open(each.folder) for each in (raced, again))
    for run in raced.arms["kd"].runs:
        weights = [each.store.folder("student", run) / "weights.safetensors" for each in (first, second)]
        assert weights[0].stat().st_ino == weights[1].stat().st_ino, "the file is linked, not trained anew"


def test_a_passed_deadline_keeps_what_is_finished(setting: RaceSetting) -> None:
    clock = TickingClock(1.0)
    cut = run_rung(setting, Rung(5, 0.5), ["kd"], deadline=6.0, on_share=lambda share: None, clock=clock)
    assert not cut.complete and cut.pairs < 5
    whole = run_rung(setting, Rung(5, 0.5), ["kd"], deadline=NEVER, on_share=lambda share: None)
    assert whole.complete and whole.pairs == 5 and whole.folder == cut.folder


def test_tuning_tries_the_same_rates_for_the_plain_student(setting: RaceSetting) -> None:
    tuned = RaceSetting(**{**setting.__dict__, "rates": (0.025, 0.05)})
    found = run_rung(tuned, Rung(2, 0.25), ["kd"], deadline=NEVER, on_share=lambda share: None)
    assert found.settings.keys() == {"ce", "kd"} and set(found.settings.values()) <= {0.025, 0.05}
    trials = StudyFolder.open(found.folder).tuning
    assert trials is not None
    by_method = [trial.method for trial in trials.trials]
    assert by_method.count("ce") == by_method.count("kd") == 2


def test_a_race_drops_what_is_overtaken_and_goes_on(setting: RaceSetting) -> None:
    race = Race(
        setting, RacePlan(12, Rung(3, 0.25), False), ("kd", "random_teacher"), Costs(1e-4, 1e-4, 0, 2)
    )
    seen: list[tuple[str, ...]] = []

    def decided(results: Sequence[RungResult]) -> bool:
        seen.append(tuple(results[-1].arms))
        return len(results) == 2

    race.run(race.clock() + 600, decided, lambda stage, share: None)
    assert [result.rung for result in race.results] == [Rung(3, 0.25), Rung(6, 0.25)]
    assert set(seen[1]) == set(seen[0]) - race.dropped.keys()


@pytest.mark.parametrize("seconds", [0.0, 1.0, 30.0, 100.0, 1e3, 1e5])
@pytest.mark.parametrize("run_seconds", [0.5, 8.0, 300.0])
def test_rungs_stay_within_the_time(seconds: float, run_seconds: float) -> None:
    rung = first_rung(seconds, run_seconds, 3)
    spent, count = 0.0, 0
    while rung is not None:
        spent += rung.cost(run_seconds, 3)  # at most: what is reused costs nothing
        assert rung.pairs >= FIRST_PAIRS and rung.pairs <= MOST_RACED_PAIRS and rung.share <= 1.0
        following = next_rung(rung, seconds, run_seconds, 3)
        assert following != rung
        rung, count = following, count + 1
        assert count < 40, "a race ends"
    if run_seconds * 3 * 3 / 32 > seconds:
        assert spent == 0.0


@pytest.mark.parametrize(
    ("seconds", "rung"), [(1.0, None), (20.0, Rung(3, 0.25)), (1e5, Rung(MOST_RACED_PAIRS, 1.0))]
)
def test_more_time_reaches_further(seconds: float, rung: Rung | None) -> None:
    assert reached(seconds, 8.0, [3, 2]) == rung


def test_training_teachers_takes_at_most_its_share() -> None:
    costs = Costs(student=0.01, teacher=0.1, batch=0.02, teachers=2)
    short = plan_race(60.0, costs, 800, 3, 2, 3)
    long = plan_race(20_000.0, costs, 800, 3, 2, 3)
    assert short is not None and long is not None
    assert short.teacher_steps < long.teacher_steps == 800
    assert long.tuned and not short.tuned


def test_half_of_the_data_are_judged_alike(setting: RaceSetting) -> None:
    half = halved(setting.dataset)
    assert half.eval["test"] is setting.dataset.eval["test"]
    kept = set(half.train.ids) | set(half.val.ids)
    assert kept < set(setting.dataset.train.ids) | set(setting.dataset.val.ids)
    assert (half.train.counts > 0).all()


@pytest.fixture(scope="module")
def advised(tmp_path_factory: pytest.TempPathFactory) -> Advice:
    folder = tmp_path_factory.mktemp("advice")
    return Adviser(request(folder, budget=100.0), lambda stage, share, left: None, TickingClock(1.0)).advise()


def test_an_advice_rests_on_its_race_and_states_that(advised: Advice) -> None:
    texts = " ".join(item.text for item in advised.evidence)
    assert advised.rungs and advised.verdict in ("distil", "plain", "undecided")
    assert "no measured evidence base" in texts and "rests on the race alone" in texts
    assert any(item.kind == "pilot" and item.runs for item in advised.evidence)
    assert "were not used" in texts and advised.base == {}
    assert advised.low <= advised.gain <= advised.high
    json.dumps(advised.as_dict(), allow_nan=False)


def test_test_examples_are_in_no_study_of_the_race(advised: Advice) -> None:
    read = Case.read(request(advised.folder))
    pilot = read.pilot.dataset
    known = set(pilot.train.ids) | set(pilot.val.ids) | set(pilot.eval["test"].ids)
    tested = set(load_dataset(read.request.source).eval["test"].ids)
    assert tested.isdisjoint(known)
    for rung in advised.rungs:
        dataset = StudyFolder.open(Path(rung.study)).dataset
        used = [dataset.train.ids, dataset.val.ids, dataset.eval["test"].ids]
        assert tested.isdisjoint(np.concatenate(used))


def test_a_second_advice_continues_the_first(advised: Advice) -> None:
    before = set((advised.folder / "race").iterdir())
    again = Adviser(
        request(advised.folder, budget=100.0), lambda stage, share, left: None, TickingClock(1.0)
    ).advise()
    assert before <= set((advised.folder / "race").iterdir())
    first = [(rung.method, rung.pairs, rung.steps, rung.gain) for rung in advised.rungs[:2]]
    assert [(rung.method, rung.pairs, rung.steps, rung.gain) for rung in again.rungs[:2]] == first


def test_val_of_the_source_is_what_students_are_judged_on() -> None:
    parts = {}
    for seed, name in enumerate(("train", "val", "test")):
        images, labels = gratings(80, classes=2, seed=seed, side=16)
        parts[name] = (images, labels)
    entry, held = entry_of(parts, "data")
    source = parse_source(entry, Path(), "data")
    read = load_dataset(source)
    pilot = PilotData.of(read, source)
    assert pilot.judged_on == "val" and pilot.dataset.eval["test"] is read.val
    assert set(pilot.dataset.train.ids) | set(pilot.dataset.val.ids) == set(read.train.ids)
    del held
