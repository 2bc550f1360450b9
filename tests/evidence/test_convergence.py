"""The convergence gate: closed-form curves, probes with known noise, and what is written of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from distillab.evidence.convergence import (
    Arm,
    Convergence,
    Doubling,
    judge_convergence,
    late_slope,
    tolerated_change,
    training_noise,
)
from distillab.evidence.lengths import (
    add_convergence,
    confounded_with_epochs,
    early_training,
    length_caveats,
    long_enough,
    qualified,
)
from distillab.tasks import Classification

METRIC = Classification.metrics["accuracy"]
SHARES = tuple((point + 1) / 8 for point in range(8))


def curves(course: Callable[[float], float], noise: float = 0.0, seeds: int = 6) -> dict[int, Any]:
    """Return validation curves at eight points that follow a course, with normal noise."""
    rng = np.random.default_rng(0)
    return {
        seed: [(share, course(share) + noise * rng.standard_normal()) for share in SHARES]
        for seed in range(seeds)
    }


def rising(share: float) -> float:
    """Three points more with each doubling."""
    return 0.8 + 0.03 * math.log2(share)


def saturating(share: float) -> float:
    """Close to its limit: the last doubling adds 0.2 points."""
    return 0.9 - 0.002 / share


def annealed(share: float) -> float:
    """Flat, then a rise of four points while the learning rate falls, as a cosine has it."""
    return 0.84 + 0.04 * (1 - math.cos(math.pi * share)) / 2


def falling(share: float) -> float:
    return 0.8 - 0.04 * math.log2(share)


def judged(arm: Arm) -> Convergence:
    return judge_convergence({"ce": arm}, "ce")


@pytest.mark.parametrize(
    ("course", "noise", "anneals", "judgment"),
    [
        (rising, 0.0, False, "not converged"),
        (rising, 0.005, False, "not converged"),
        (saturating, 0.003, False, "converged"),
        (saturating, 0.03, False, "cannot judge"),
        (falling, 0.003, False, "not converged"),
        (lambda share: 0.7, 0.0, False, "converged"),
        (rising, 0.0, True, "cannot judge"),
        (annealed, 0.0, True, "cannot judge"),
        (annealed, 0.005, True, "cannot judge"),
        (saturating, 0.0, True, "cannot judge"),
        (lambda share: 0.7, 0.0, True, "cannot judge"),
    ],
)
def test_curves_are_judged(
    course: Callable[[float], float], noise: float, anneals: bool, judgment: str
) -> None:
    found = curves(course, noise)
    arm = Arm({seed: curve[-1][1] for seed, curve in found.items()}, curves=found, annealed=anneals)
    assert judged(arm).judgment == judgment
    assert judged(arm).by == "curve"


@pytest.mark.parametrize("points", [0, 1, 2, 3, 8])
def test_late_slope_of_a_logarithmic_course_is_exact(points: int) -> None:
    shares = [(point + 1) / points for point in range(points)]
    found = late_slope([(share, rising(share)) for share in shares])
    assert found is None if points < 2 else found == pytest.approx(0.03)


def table(
    effects: Sequence[float], noise: float, seeds: int, rng: np.random.Generator
) -> list[dict[int, float]]:
    """Return scores of methods with these means: each seed has an effect of its own on all of them."""
    of_seeds = 0.05 * rng.standard_normal(seeds)
    return [
        {seed: mean + of_seeds[seed] + noise * rng.standard_normal() for seed in range(seeds)}
        for mean in effects
    ]


def test_noise_between_trainings_leaves_out_what_seeds_and_methods_share() -> None:
    rng = np.random.default_rng(1)
    found = [training_noise(table([0.6, 0.8, 0.7], 0.01, 10, rng)) for _ in range(100)]
    assert math.sqrt(np.mean([spread**2 for spread, _ in found])) == pytest.approx(0.01, rel=0.08)
    assert {degrees for _, degrees in found} == {18}


@pytest.mark.parametrize("scores", [[], [{0: 0.5, 1: 0.6}], [{0: 0.5}, {0: 0.6}], [{0: 0.5}, {1: 0.6}]])
def test_noise_of_one_seed_or_one_method_is_not_known(scores: list[dict[int, float]]) -> None:
    assert training_noise(scores) == (0.0, 0)


@pytest.mark.parametrize(
    ("change", "noise", "probes", "judgment"),
    [
        (0.20, 0.01, 1, "not converged"),
        (-0.20, 0.01, 1, "not converged"),
        (0.0, 0.003, 1, "converged"),
        (0.01, 0.01, 1, "cannot judge"),
        (0.01, 0.01, 10, "cannot judge"),
        (0.0, 0.01, 10, "converged"),
        (0.03, 0.01, 10, "not converged"),
    ],
)
def test_probes_are_judged_by_the_noise_between_trainings(
    change: float, noise: float, probes: int, judgment: str
) -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(20):
        plain, kd, other, longer = table([0.6, 0.8, 0.7, 0.6 + change], noise, 10, rng)
        probed = {seed: longer[seed] for seed in range(probes)}
        arms = {"ce": Arm(plain, probed), "kd": Arm(kd), "other": Arm(other)}
        found.append(judge_convergence(arms, "ce").judgment)
    assert max(set(found), key=found.count) == judgment


def test_false_judgments_are_as_rare_as_their_certainty_states() -> None:
    rng, wrong = np.random.default_rng(3), {0.0: 0, 0.03: 0}
    for change in wrong:
        for _ in range(150):
            plain, kd, longer = table([0.6, 0.8, 0.6 + change], 0.008, 6, rng)
            judgment = judge_convergence({"ce": Arm(plain, {0: longer[0]}), "kd": Arm(kd)}, "ce").judgment
            wrong[change] += judgment == ("not converged" if change == 0 else "converged")
    assert all(count <= 0.2 * 150 for count in wrong.values())


def test_several_probes_are_judged_by_their_own_spread() -> None:
    # The subsets of the seeds differ for one method alone: the table of scores has a large residual.
    plain = {seed: 0.6 + 0.05 * seed for seed in range(5)}
    kd = dict.fromkeys(range(5), 0.9)
    longer = {seed: plain[seed] + change for seed, change in enumerate((0.002, 0.004, 0.003))}
    arms = {"ce": Arm(plain, longer), "kd": Arm(kd, {0: 0.901, 1: 0.903, 2: 0.902})}
    found = judge_convergence(arms, "ce")
    assert found.judgment == "converged" and found.change is not None
    assert found.change.degrees == 4 and found.change.mean == pytest.approx(0.003)
    assert found.change.error == pytest.approx(0.001 / math.sqrt(3))
    alone = {"ce": Arm(plain, {0: longer[0]}), "kd": Arm(kd)}
    assert judge_convergence(alone, "ce").judgment == "cannot judge"


def test_a_probe_without_known_noise_is_not_judged() -> None:
    found = judge_convergence({"ce": Arm({0: 0.6}, {0: 0.9})}, "ce")
    assert found.judgment == "cannot judge" and found.converged is None
    assert found.reason == "the noise between trainings is not known: one finished seed or one method"


def test_an_undecided_probe_states_how_many_would_decide() -> None:
    scores = {seed: 0.8 + 0.01 * (-1) ** seed for seed in range(6)}
    arms = {"ce": Arm(scores, {0: scores[0] + 0.004}), "kd": Arm(dict.fromkeys(range(6), 0.9))}
    found = judge_convergence(arms, "ce")
    assert found.judgment == "cannot judge" and found.reason.endswith("probes would decide")
    needed = int(found.reason.split()[0])
    noise, degrees = training_noise([arm.scores for arm in arms.values()])
    few, enough = (Doubling(0.004, noise * math.sqrt(2 / k), degrees) for k in (needed - 1, needed))
    assert (few.judgment, enough.judgment) == ("cannot judge", "converged")


def test_curves_do_not_overrule_probes() -> None:
    scores = {seed: 0.8 + 0.01 * (-1) ** seed for seed in range(6)}
    arms = {"kd": Arm(dict.fromkeys(range(6), 0.9))}
    for course in (saturating, rising):
        for change, judgment in ((0.004, "cannot judge"), (0.3, "not converged")):
            found = curves(course, 0.001)
            arms["ce"] = Arm(scores, {0: scores[0] + change}, found, annealed=False)
            assert judge_convergence(arms, "ce").judgment == judgment


def rows_of(plain_change: float | None) -> list[dict[str, Any]]:
    """Return rows of two methods; the plain one has a probe."""
    rows = []
    for method, level in (("ce", 0.6), ("kd", 0.8)):
        for seed in range(6):
            score = level + 0.01 * seed
            row = {"run_id": f"{method}{seed}", "dataset": "d", "provenance": "full", "teacher": "t"}
            row |= {"student": "s", "method": method, "seed": seed, "status": "done", "val_score": score}
            change = plain_change if method == "ce" else 0.001
            row["val_score_doubled"] = score + change if change is not None and seed == 0 else None
            rows.append(row)
    return rows


@pytest.mark.parametrize(
    ("change", "converged", "note"),
    [
        (0.2, False, "ce: +20.0 points (1 probe, certainty 99 %)"),
        (0.002, True, "ce: +0.2 points (1 probe, certainty 99 %); kd: +0.1 points (1 probe, certainty 99 %)"),
        (None, None, "ce: there is neither a probe nor a curve"),
    ],
)
def test_effects_state_whether_both_arms_are_trained_to_the_end(
    change: float | None, converged: bool | None, note: str
) -> None:
    place = {"dataset": "d", "provenance": "full", "teacher": "t", "student": "s"}
    effect: dict[str, Any] = {**place, "method": "kd", "baseline": "ce"}
    add_convergence([effect], rows_of(change), METRIC, curve=lambda run: [], annealed=True, margin=0.005)
    assert effect["converged"] is converged
    assert effect["convergence_note"] == note
    assert effect["doubling_plain"] == (None if change is None else pytest.approx(change))
    assert effect["doubling_distilled"] == pytest.approx(0.001)


def test_tables_without_validation_scores_are_not_judged() -> None:
    effect: dict[str, Any] = {"method": "kd", "baseline": "ce"}
    add_convergence([effect], [], METRIC, curve=lambda run: [], annealed=True, margin=0.005)
    assert effect["converged"] is None and effect["convergence_note"] is None


@pytest.mark.parametrize(
    ("marks", "headline"),
    [
        ([True, True], "Distillation (kd) improves accuracy."),
        ([None, None], "Distillation (kd) improves accuracy."),
        ([False, False], "Early training: distillation (kd) improves accuracy."),
        ([False, True], "Distillation (kd) improves accuracy; 1 of 2 comparisons is of early training."),
        (
            [False, False, None],
            "Distillation (kd) improves accuracy; 2 of 3 comparisons are of early training.",
        ),
    ],
)
def test_headline_states_early_training(marks: list[bool | None], headline: str) -> None:
    rows = [{"converged": mark} for mark in marks]
    assert qualified("Distillation (kd) improves accuracy.", rows) == headline


@pytest.mark.parametrize(
    ("marks", "sentence"),
    [
        (
            [True],
            "Training is long enough: twice the steps change accuracy on val by less than 1 point in both "
            "arms, and the gain by -0.3 points.",
        ),
        (
            [True, True],
            "Training is long enough in both comparisons: twice the steps change accuracy on val by less "
            "than 1 point in both arms, and the gains by -0.3 to +0.7 points.",
        ),
        ([True, None], ""),
        ([True, False], ""),
        ([], ""),
    ],
)
def test_length_is_stated_if_all_comparisons_are_long_enough(marks: list[bool | None], sentence: str) -> None:
    rows = [
        {"converged": mark, "doubling_plain": 0.002, "doubling_distilled": 0.01 * place - 0.001}
        for place, mark in enumerate(marks)
    ]
    assert long_enough(rows, METRIC, margin=0.005) == sentence
    unknown = [{"converged": mark} for mark in marks]
    assert long_enough(unknown, METRIC, margin=0.002) == (
        sentence and f"{sentence.split('1 point')[0]}0.4 points in both arms."
    )


@pytest.mark.parametrize(
    ("margin", "tolerated"), [(0.0, 0.01), (0.001, 0.002), (0.002, 0.004), (0.005, 0.01), (0.1, 0.01)]
)
def test_tolerated_change_follows_small_margins(margin: float, tolerated: float) -> None:
    assert tolerated_change(margin) == pytest.approx(tolerated)


@pytest.mark.parametrize(("margin", "converged"), [(0.005, True), (0.002, False)])
def test_change_that_a_small_margin_resolves_is_early_training(margin: float, converged: bool) -> None:
    place = {"dataset": "d", "provenance": "full", "teacher": "t", "student": "s"}
    effect: dict[str, Any] = {**place, "method": "kd", "baseline": "ce"}
    rows = rows_of(0.007)
    add_convergence([effect], rows, METRIC, curve=lambda run: [], annealed=True, margin=margin)
    assert effect["converged"] is converged
    stated = early_training([effect], METRIC, margin)
    assert stated.endswith("change accuracy on val by 0.4 points or more.") == (not converged)
    assert bool(stated) == (not converged)


def test_caveats_name_what_is_starved_and_what_cannot_be_judged() -> None:
    starved = {"method": "kd", "baseline": "ce", "converged": False, "doubling_plain": 0.12}
    starved |= {"doubling_distilled": None, "convergence_note": "ce: +12.0 points"}
    unknown = {"converged": None, "convergence_note": "ce: +0.5 points (1 probe), 4 probes would decide"}
    old = {"converged": None}
    assert length_caveats([starved, unknown, old], lambda row: "5 examples per class", METRIC) == [
        "Early training (5 examples per class, kd): twice the steps change accuracy on val by +12.0 points "
        "(ce), so this gain may not survive longer training.",
        "Whether training was long enough cannot be judged in 1 of 3 comparisons "
        "(ce: +0.5 points (1 probe), 4 probes would decide).",
    ]


def length_rows(*lengths: tuple[int, int, int]) -> list[dict[str, Any]]:
    return [
        {"factor.size": n // 10, "n_train": n, "steps": steps, "epochs": epochs}
        for n, steps, epochs in lengths
    ]


@pytest.mark.parametrize(
    ("lengths", "sentences"),
    [
        (
            [(250, 300, 20), (2000, 300, 3)],
            ["Epochs fall from 20 to 3 as size grows, at 300 steps: their effects are not separated."],
        ),
        ([(250, 300, 20), (2000, 2400, 20)], []),
        ([(250, 300, 20), (250, 600, 40)], []),
        ([(250, 300, 20), (300, 300, 17)], []),
        ([], []),
    ],
)
def test_size_and_epochs_are_kept_apart(lengths: list[tuple[int, int, int]], sentences: list[str]) -> None:
    assert confounded_with_epochs(length_rows(*lengths)) == sentences


def test_epochs_are_compared_at_equal_levels_of_the_other_factors() -> None:
    rows = [
        {"factor.size": n, "factor.steps": steps, "n_train": n, "steps": steps, "epochs": steps * 8 // n}
        for n in (8, 80)
        for steps in (100, 400)
    ]
    [sentence] = confounded_with_epochs(rows)
    assert sentence.startswith("Epochs fall from 100 to 10 as size grows, at 100 steps")


def test_networks_that_learned_nothing_are_not_trained_long_enough() -> None:
    nothing = Arm(scores={0: 0.0, 1: 0.0}, doubled={0: 0.0, 1: 0.0})
    found = judge_convergence({"ce": nothing, "kd": nothing}, "kd")
    assert found.converged is None and "nothing is learned yet" in found.reason
