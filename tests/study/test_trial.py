"""Choosing a setting: by validation scores alone, at equal numbers of runs, ties to the default."""

from __future__ import annotations

import pytest

from distillab.study.trial import Setting, Trial, choose, groups_of

RATES = (0.05, 0.1, 0.2)


def trials(seeds: int = 2, **names: str) -> list[Trial]:
    """Return trials of three settings whose runs are named by setting and seed, such as ``1-0``."""
    given = {"provenance": "full", "teacher": "resnet20", "student": "resnet8", "method": "kd"} | names
    return [
        Trial(
            levels={"size": 5.0},
            number=number,
            setting=Setting(lr, 1.0, 0.0),
            steps=9,
            seed=seed,
            run=f"{number}-{seed}",
            **given,
        )
        for seed in range(seeds)
        for number, lr in enumerate(RATES)
    ]


def scores(*means: float | None) -> dict[str, float | None]:
    return {f"{number}-{seed}": mean for number, mean in enumerate(means) for seed in (0, 1)}


@pytest.mark.parametrize(
    ("means", "number"),
    [
        ((0.5, 0.6, 0.4), 1),
        ((0.6, 0.6, 0.6), 0),
        ((0.5, 0.6, 0.6), 1),
        ((0.5, None, 0.4), 0),
        ((None, 0.1, 0.2), 2),
        ((None, None, None), 0),
        ((-1.5, -0.5, None), 1),
        ((0.5, float("nan"), 0.4), 0),
    ],
)
def test_setting_with_the_best_mean_is_chosen(means: tuple[float | None, ...], number: int) -> None:
    choice = choose(trials(), scores(*means))
    assert choice is not None
    assert (choice.number, choice.setting.lr, choice.trials) == (number, RATES[number], 3)
    assert choice.score == means[number]


def test_mean_over_seeds_decides() -> None:
    found = scores(0.5, 0.5, 0.5) | {"1-0": 0.9, "1-1": 0.2, "2-0": 0.6, "2-1": 0.6}
    choice = choose(trials(), found)
    assert choice is not None
    assert (choice.number, choice.score) == (2, 0.6)


def test_setting_that_diverged_under_one_seed_is_not_chosen() -> None:
    choice = choose(trials(), scores(0.5, 0.9, 0.6) | {"1-1": None})
    assert choice is not None
    assert choice.number == 2


def test_nothing_is_chosen_before_every_run_has_a_score() -> None:
    found = scores(0.5, 0.9, 0.6)
    del found["2-1"]
    assert choose(trials(), found) is None


def test_runs_of_excluded_conditions_do_not_count() -> None:
    excluded = [Trial(**{**vars(trial), "run": None}) if trial.seed == 1 else trial for trial in trials()]
    choice = choose(excluded, {"0-0": 0.1, "1-0": 0.3, "2-0": 0.2})
    assert choice is not None
    assert choice.number == 1


def test_groups_are_conditions_or_the_whole_study() -> None:
    found = [*trials(), *trials(method="ce"), *trials(provenance="same")]
    assert len(groups_of(found, per_condition=True)) == len(groups_of(found, per_condition=False)) == 3
    other = [Trial(**{**vars(trial), "levels": {"size": 9.0}}) for trial in found]
    assert len(groups_of([*found, *other], per_condition=True)) == 6
    assert len(groups_of([*found, *other], per_condition=False)) == 3


def test_trial_is_read_as_it_was_written() -> None:
    trial = trials()[0]
    assert Trial.from_dict(trial.as_dict()) == trial
