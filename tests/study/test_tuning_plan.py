"""Tuning: equal numbers of settings for every method, seeds of its own, no test sets, one-line refusals."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.canonical import canonical_json
from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.study.job import OutputsJob, StudentJob, TeacherJob
from distillab.study.planning.plan import Plan
from distillab.study.planning.summary import summarize_plan
from distillab.study.spec.study_yaml import load_study_yaml
from distillab.study.spec.tuning import Designer, TuneSpec, steps_of
from distillab.study.trial import groups_of
from support.studies import CPU, dataset, plan, spec

GRID = {
    "lr": [0.02, 0.1],
    "length": [1, 2],
    "methods": {"kd": {"temperature": [2, 8]}, "dkd": {"beta": [2, 8]}},
}
METHODS = ["ce", "label_smoothing", "kd", "dkd"]
STEPS = 10_000  # of the recipe, so many that different lengths have different numbers of them


def tune(**changes: Any) -> dict[str, Any]:
    return {**GRID, "methods": {"kd": {"temperature": [2, 8]}}, "budget": 4, **changes}


def designed(values: dict[str, Any], methods: list[Any] | None = None) -> dict[str, list[str]]:
    """Return the settings of each method as texts."""
    read = [parse_method(entry, "methods") for entry in methods or METHODS]
    found = Designer(TuneSpec.model_validate(values), read).settings(lr=0.05, weight_decay=5e-4, steps=STEPS)
    return {label: [canonical_json(each.as_dict()) for each in settings] for label, settings in found.items()}


# -- settings ------------------------------------------------------------------------------------------------


positive = st.floats(1e-4, 10, allow_nan=False).map(lambda value: float(f"{value:.2g}"))


@settings(max_examples=40, deadline=None)
@given(
    rates=st.lists(positive, min_size=2, max_size=4, unique=True),
    lengths=st.lists(positive, max_size=3, unique=True),
    temperatures=st.lists(st.sampled_from([1, 2, 4, 8]), max_size=4, unique=True),
    betas=st.lists(st.sampled_from([0.5, 2, 4, 8]), max_size=3, unique=True),
    budget=st.integers(2, 40),
)
def test_every_method_has_as_many_settings_as_any_other(
    rates: list[float], lengths: list[float], temperatures: list[float], betas: list[float], budget: int
) -> None:
    own = {"kd": {"temperature": temperatures}, "dkd": {"beta": betas}}
    methods = {name: keys for name, keys in own.items() if all(keys.values())}
    found = designed({"lr": rates, "length": lengths, "methods": methods, "budget": budget})
    counts = {len(each) for each in found.values()}
    assert len(counts) == 1
    assert 1 <= counts.pop() <= budget
    assert all(len(set(each)) == len(each) for each in found.values())


@pytest.mark.parametrize("method", METHODS)
def test_default_setting_is_tried_first(method: str) -> None:
    first = TuneSpec.model_validate(GRID | {"budget": 6})
    read = [parse_method(entry, "methods") for entry in METHODS]
    setting = Designer(first, read).settings(lr=0.05, weight_decay=5e-4, steps=STEPS)[method][0]
    assert (setting.lr, setting.length, setting.weight_decay) == (0.05, 1.0, 5e-4)
    assert setting.keys == {"kd": {"temperature": 4.0}, "dkd": {"beta": 8.0}}.get(method, {})


@pytest.mark.parametrize("smaller", [2, 3, 4, 5])
def test_settings_of_a_smaller_budget_are_among_those_of_a_larger_one(smaller: int) -> None:
    few, many = (designed(GRID | {"budget": budget}) for budget in (smaller, smaller + 1))
    assert all(few[method] == many[method][:smaller] for method in METHODS)


def test_settings_of_one_method_do_not_depend_on_the_others() -> None:
    alone = designed(GRID | {"methods": {"kd": {"temperature": [2, 8]}}, "budget": 5}, ["ce", "kd"])
    assert designed(GRID | {"budget": 5})["kd"] == alone["kd"]


def test_values_of_every_key_are_tried_about_equally_often() -> None:
    values = TuneSpec.model_validate(
        {"lr": [0.01, 0.02, 0.04, 0.08], "methods": {"kd": {"temperature": [1, 2, 4, 8]}}, "budget": 8}
    )
    found = Designer(values, [parse_method("kd", "methods")]).settings(0.01, 5e-4, STEPS)["kd"]
    for counts in (Counter(each.lr for each in found), Counter(each.keys["temperature"] for each in found)):
        assert max(counts.values()) - min(counts.values()) <= 1


def test_method_with_a_small_grid_gets_values_between_those_that_were_written() -> None:
    values = TuneSpec.model_validate(GRID | {"budget": 9})
    read = [parse_method(entry, "methods") for entry in METHODS]
    found = Designer(values, read).settings(lr=0.05, weight_decay=5e-4, steps=STEPS)
    written = {(0.05, 1.0), (0.02, 1.0), (0.02, 2.0), (0.1, 1.0), (0.1, 2.0)}
    plain = [(each.lr, each.length) for each in found["ce"]]
    assert written < set(plain)
    assert all(0.02 <= lr <= 0.1 and 1 <= length <= 2 for lr, length in plain)
    assert len(set(plain)) == 9 == len(found["kd"])


def test_budget_beyond_every_grid_is_lowered_to_the_largest() -> None:
    found = designed({"lr": [0.02, 0.1], "budget": 100}, ["ce", "kd"])
    assert {method: len(each) for method, each in found.items()} == {"ce": 3, "kd": 3}


def test_keys_of_a_sum_and_of_one_of_two_of_a_name_are_tuned() -> None:
    methods = ["ce", {"kd": {}, "rkd": {"weight": 0.5}}, "kd", {"kd": {"temperature": 2}}]
    own = {"kd+rkd(weight=0.5)": {"rkd.weight": [0.1, 1]}, "kd(temperature=2)": {"ce_weight": [0.5]}}
    found = designed({"lr": [0.02, 0.1], "methods": own, "budget": 4}, methods)
    assert any('"rkd.weight":0.1' in each for each in found["kd+rkd(weight=0.5)"])
    assert any('"ce_weight":0.5' in each for each in found["kd(temperature=2)"])
    assert all('"keys":{}' in each for each in found["kd"])


def test_keys_are_accepted_in_both_spellings_with_one_identity() -> None:
    american, british = (
        spec(
            methods=["cat_kd"], tune={"methods": {"cat_kd": {key: [True, False]}}, "lr": [1, 2], "budget": 2}
        )
        for key in ("normalize", "normalise")
    )
    assert american.identity == british.identity
    assert american.tune == british.tune


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"on": "test"}, "tune.on: settings that are chosen on the test set make gains on it look larger"),
        ({"on": "train"}, "tune.on: 'train' is not accepted (allowed: 'val')"),
        ({"budget": 1}, "tune.budget: 1 is not accepted (allowed: at least 2)"),
        ({"budget": 2.5}, "tune.budget: 2.5 is not accepted (allowed: a whole number)"),
        ({"seeds": 0}, "tune.seeds: 0 is not accepted (allowed: at least 1)"),
        ({"lr": [0.1, -1]}, "tune.lr.1: -1 is not accepted (allowed: greater than 0)"),
        ({"lr": ["fast"]}, "tune.lr.0: 'fast' is not accepted (allowed: a number)"),
        ({"length": [0]}, "tune.length.0: 0 is not accepted (allowed: greater than 0)"),
        ({"weight_decay": [-1]}, "tune.weight_decay.0: -1 is not accepted (allowed: at least 0)"),
        ({"per": "seed"}, "tune.per: 'seed' is not accepted (allowed: 'condition' or 'study')"),
        ({"lrs": [1]}, "unknown key 'lrs', did you mean 'lr'?"),
        (
            {"methods": {"kdd": {"temperature": [2]}}},
            "tune.methods: unknown method 'kdd', did you mean 'kd'?",
        ),
        ({"methods": {"dkd": {"beta": [2]}}}, "tune.methods: unknown method 'dkd'"),
        ({"methods": {"kd": {"temprature": [2]}}}, "tune.methods.kd: unknown key 'temprature', did you mean"),
        ({"methods": {"kd": {"temperature": [-2]}}}, "tune.methods.kd.temperature: -2 is not accepted"),
        ({"methods": {"kd": {"temperature": []}}}, "tune.methods.kd.temperature: no value is given"),
        ({"methods": {"kd": 3}}, "tune.methods.kd: 3 is not accepted"),
        ({"methods": ["kd"]}, "tune.methods: ['kd'] is not accepted"),
    ],
)
def test_wrong_request_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as error:
        spec(tune=tune(**values))
    assert message in str(error.value)
    assert str(error.value).startswith("study.yaml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [{"budget": 2}, {"budget": 2, "seeds": 3}])
def test_tuning_of_nothing_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="nothing to tune"):
        spec(tune=values)


@pytest.mark.parametrize(
    "values",
    [
        {"lr": [0.05]},
        {"length": [1]},
        {"weight_decay": 0.0005},
        {"lr": [0.05], "length": [1.0, 1.1]},  # of 3 steps
        {"methods": {"kd": {"temperature": [4]}}},
        {"lr": [0.05], "per": "study"},
    ],
)
def test_default_setting_alone_is_refused_before_anything_trains(values: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"^study.yaml: tune: no value differs") as error:
        plan(tune={"budget": 2, **values}, recipe={"lr": 0.05, "weight_decay": 0.0005})
    assert "another lr than 0.05" in str(error.value)


def test_condition_with_the_default_setting_alone_has_no_trials() -> None:
    values = {
        "factors": {"size": [5, 100]},
        "recipe": {"batch_size": "auto"},
        "teacher": {"provenance": "same"},
    }
    both = plan(tune=tune(methods={}, length=[]), **values)
    rates = {trial.levels["size"]: trial.setting.lr for trial in both.trials if trial.number == 0}
    assert rates[5.0] != rates[100.0]
    one = plan(tune=tune(methods={}, length=[], lr=[rates[5.0]], budget=2), **values)
    assert {trial.levels["size"] for trial in one.trials} == {100.0}
    assert one.most_tuned is not None
    unchanged = [cell for cell in one.most_tuned.cells if cell.levels["size"] == 5.0 and cell.tuned]
    assert {(cell.tuned or {})["number"] for cell in unchanged} == {0}
    assert {cell.run for cell in unchanged} <= {cell.run for cell in one.cells}


@pytest.mark.parametrize("per", ["condition", "study"])
@pytest.mark.parametrize("lengths", [[1.01, 1.1, 2], [1, 2, 2.1], [0.9, 1.9, 2]])
def test_lengths_of_as_many_steps_are_one_setting(lengths: list[float], per: str) -> None:
    trials = plan(tune={"length": lengths, "budget": 9, "per": per}, recipe={"lr": 0.05}).trials
    for group in groups_of(trials, per_condition=per == "condition").values():
        assert {trial.steps for trial in group} == {3, 6}
        runs = {(trial.run, trial.number) for trial in group}
        assert len(runs) == len({run for run, _ in runs})


@given(steps=st.integers(1, 12), budget=st.integers(2, 20), length=st.floats(1.5, 3))
@settings(max_examples=40, deadline=None)
def test_settings_between_written_ones_are_runs_of_their_own(steps: int, budget: int, length: float) -> None:
    values = {"lr": [0.02, 0.1], "length": [1, length], "methods": GRID["methods"], "budget": budget}
    read = [parse_method(entry, "methods") for entry in METHODS]
    found = Designer(TuneSpec.model_validate(values), read).settings(0.05, 5e-4, steps)
    assert len({len(each) for each in found.values()}) == 1
    for each in found.values():
        runs = {(s.lr, steps_of(s.length, steps), canonical_json(dict(s.keys))) for s in each}
        assert len(runs) == len(each)


def test_unequal_numbers_are_refused_before_anything_trains() -> None:
    values = {"methods": {"kd": {"temperature": [2, 8]}}, "budget": 3}
    with pytest.raises(RequestError, match="ce has 1 settings to try, and another method has 3"):
        plan(tune=values)


def test_one_setting_for_conditions_of_different_learning_rates_is_refused() -> None:
    values = {"factors": {"size": [5, 100]}, "recipe": {"batch_size": "auto"}}
    with pytest.raises(RequestError, match=r"tune.per: one setting cannot be chosen"):
        plan(tune=tune(per="study"), **values)
    plan(tune=tune(per="study"), factors={"size": [5, 100]}, recipe={"batch_size": "auto", "lr": 0.05})


def test_on_is_a_key_in_yaml() -> None:
    assert load_study_yaml("tune: {on: val, lr: [0.1]}") == {"tune": {"on": "val", "lr": [0.1]}}


# -- the plan ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned() -> Plan:
    return plan(tune=tune())


def test_trials_of_all_methods_are_equal_in_number(tuned: Plan) -> None:
    counts = {
        key: len({trial.run for trial in trials})
        for key, trials in groups_of(tuned.trials, per_condition=True).items()
    }
    assert len(counts) == 2 * 2 * 2  # conditions, provenances and methods
    assert set(counts.values()) == {4 * 2}  # settings and seeds


@pytest.mark.parametrize("seeds", [2, [3, 1_000_000], [2_000_005], {"min": 5, "max": 6, "stop": "decided"}])
def test_seeds_of_tuning_are_none_of_the_comparison(seeds: Any) -> None:
    study = spec(seeds=seeds, tune=tune(seeds=3))
    assert study.tune is not None
    found = study.tune.seed_list(study.seed_list)
    assert len(found) == 3
    assert not set(found) & set(study.seed_list)


def test_trials_have_no_test_sets(tuned: Plan) -> None:
    trials = set(tuned.trial_runs)
    students = [job for job in tuned.jobs.values() if isinstance(job, StudentJob)]
    assert all(bool(job.sets.eval) != (job.id in trials) for job in students)
    seeds = {trial.seed for trial in tuned.trials}
    for job in tuned.jobs.values():
        if isinstance(job, OutputsJob) and job.condition.seed in seeds:
            assert job.eval == {}
        if isinstance(job, TeacherJob) and job.condition.seed in seeds and job.inputs.train == "same":
            assert job.sets.eval == {}


def test_runs_at_default_settings_are_those_of_the_study_without_tuning(tuned: Plan) -> None:
    before = plan()
    assert [cell.run for cell in tuned.cells] == [cell.run for cell in before.cells]
    assert {cell.setting for cell in tuned.cells} == {"default"}
    assert before.trials == ()
    assert {cell.setting for cell in before.cells} == {""}
    assert before.at_most is before


def test_default_runs_can_be_left_out() -> None:
    shorter = plan(tune=tune(default_runs=False))
    assert shorter.cells == ()
    assert {job.id for job in shorter.students} == set(shorter.trial_runs)


def test_run_at_a_chosen_setting_is_that_of_a_study_with_these_values() -> None:
    only = {"teacher": {"provenance": "same"}, "factors": {"size": [5]}}
    values = {"lr": [0.3], "length": [2], "methods": {"kd": {"temperature": [2]}}, "budget": 2}
    most = plan(tune=values, **only).most_tuned
    assert most is not None
    runs = {(cell.method, cell.seed): cell.run for cell in most.cells}
    assert {cell.tuned["number"] for cell in most.cells if cell.tuned} == {1}
    written = plan(recipe={"lr": 0.3, "steps": 6}, methods=["ce", {"kd": {"temperature": 2}}], **only).cells
    plain = {cell.seed: cell.run for cell in written if cell.method == "ce"}
    assert {seed: runs["ce", seed] for seed in plain} == plain
    # The teacher has the recipe of the study, which is another one there: only its students differ.
    assert len({*runs.values()}) == 4


def test_one_setting_for_the_study_is_tried_once_under_each_condition() -> None:
    trials = plan(tune=tune(per="study", seeds=2), factors={"size": [5, 10, 20]}, recipe={"lr": 0.05}).trials
    runs: dict[tuple[Any, ...], list[tuple[Any, int]]] = defaultdict(list)
    for trial in trials:
        runs[trial.provenance, trial.method, trial.number].append((trial.levels["size"], trial.seed))
    assert {len(each) for each in runs.values()} == {3}
    for found in runs.values():
        assert {level for level, _ in found} == {5.0, 10.0, 20.0}
        assert {seed for _, seed in found} == {1_000_000, 1_000_001}


def test_one_setting_for_a_study_of_one_condition_is_tried_under_every_seed() -> None:
    trials = plan(tune=tune(per="study", seeds=3), factors={}, recipe={"lr": 0.05}).trials
    seeds = {trial.seed for trial in trials}
    assert len(seeds) == 3
    assert len(trials) == 3 * 4 * 2 * 2  # seeds, settings, methods and provenances


def test_plan_is_the_same_every_time(tuned: Plan) -> None:
    again = plan(tune=tune())
    assert list(again.jobs) == list(tuned.jobs)
    assert again.trials == tuned.trials


def test_summary_counts_trials_and_bounds_the_cost(tuned: Plan) -> None:
    study = spec(tune=tune())
    seen = summarize_plan(study, dataset(), tuned, CPU)
    whole = tuned.at_most
    assert seen.runs["student"] == whole.count("student") > tuned.count("student")
    assert "4 settings for each of ce, kd, chosen on val per condition over 2 seeds" in seen.tuning
    assert f"{len(tuned.trial_runs)} runs of trials" in seen.tuning
    without = summarize_plan(spec(), dataset(), plan(), CPU)
    assert without.tuning == ""
    assert sum(seen.seconds.values()) > sum(without.seconds.values())


def test_identity_has_the_key_only_where_it_is_written() -> None:
    assert "tune" not in spec().canonical()
    assert spec(tune=tune()).identity != spec().identity
    assert spec(tune=tune(budget=5)).identity != spec(tune=tune()).identity
    written = spec(tune=tune()).written()["tune"]
    assert spec(tune=written).identity == spec(tune=tune()).identity
