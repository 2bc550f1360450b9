"""The answer in words, for each outcome that a study can have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from distillab.evidence.answer import Answer, summarize
from distillab.evidence.curves import Curve, Trend
from distillab.evidence.pairs import Row
from distillab.evidence.power import pairs_needed
from distillab.evidence.wording import amount, describe_gain, describe_level, listed
from distillab.factors import Size
from distillab.printable import counted
from distillab.tasks import Classification

TASK = Classification()


def answer(rows: Sequence[Row], curves: Sequence[Curve] = (), **settings: Any) -> Answer:
    return summarize(rows, TASK, curves, **settings)


def effect(gain: float | None, verdict: str, half: float = 0.01, **other: Any) -> Row:
    """Return an effect row whose interval extends by ``half`` on both sides; one without a pair if None."""
    row: Row = {
        "dataset": "d",
        "factor.size": 25.0,
        "provenance": "full",
        "teacher": "t",
        "student": "s",
        "method": "kd",
        "baseline": "ce",
        "metric": "accuracy",
        "n_pairs": 0,
        "verdict": verdict,
    }
    computed = ("gain", "ci_low", "ci_high", "p_value", "p_adjusted", "gap_closed", "error_ratio")
    row |= dict.fromkeys(computed)
    if gain is not None:
        row |= {"n_pairs": 10, "gain": gain, "ci_low": gain - half, "ci_high": gain + half}
        row |= {"p_value": 0.002, "p_adjusted": 0.01, "gap_closed": 0.5, "error_ratio": 0.9}
    return row | other


def sizes(*rows: Row) -> list[Row]:
    """Return rows at different levels of size."""
    return [row | {"factor.size": size} for row, size in zip(rows, (25.0, 100.0, 400.0, 800.0), strict=False)]


def test_help_at_some_levels_is_counted_and_listed() -> None:
    found = answer(
        sizes(
            effect(0.091, "helps", 0.023),
            effect(0.05, "helps"),
            effect(0.03, "helps"),
            effect(0.004, "undecided", 0.007, n_pairs=6),
        )
    )
    assert found.headline == "Distillation (kd) improves accuracy at 3 of 4 levels of size; 1 is undecided."
    assert found.sentences[0] == (
        "kd helps at 3 of 4 levels of size: +9.1 points [6.8, 11.4] at 25 examples per class, "
        "+5.0 [4.0, 6.0] at 100 examples per class, +3.0 [2.0, 4.0] at 400 examples per class "
        "(10 pairs each); it is undecided at 1: +0.4 points [-0.3, 1.1] at 800 examples per class (6 pairs)."
    )
    assert (found.decided, found.undecided, found.tests) == (3, 1, 4)
    assert "4 tests" in found.caveats[0] and "Holm" in found.caveats[0]
    assert "3 of 3 verdicts of help or harm keep p <= 0.05 after correction." in found.caveats


@pytest.mark.parametrize(
    ("gain", "verdict", "headline", "sentence"),
    [
        (
            0.02,
            "helps",
            "Distillation (kd) improves accuracy.",
            "kd helps: +2.0 points [1.0, 3.0], 10 pairs.",
        ),
        (
            -0.02,
            "harms",
            "Distillation (kd) worsens accuracy.",
            "kd harms: -2.0 points [-3.0, -1.0], 10 pairs.",
        ),
        (
            0.0,
            "equivalent",
            "Distillation (kd) makes no practical difference to accuracy.",
            "kd makes no practical difference: 0.0 points [-1.0, 1.0], 10 pairs.",
        ),
        (
            0.004,
            "undecided",
            "The evidence does not show whether distillation (kd) improves accuracy.",
            "kd is undecided: +0.4 points [-0.6, 1.4], 10 pairs.",
        ),
    ],
)
def test_single_comparison_is_one_sentence(gain: float, verdict: str, headline: str, sentence: str) -> None:
    found = answer([effect(gain, verdict)])
    assert found.headline == headline
    assert found.sentences == (sentence,)
    assert found.decided + found.undecided == 1


def test_headline_of_an_undecided_study() -> None:
    found = answer(sizes(*[effect(0.0, "undecided")] * 3))
    assert found.headline == (
        "The evidence does not show whether distillation (kd) improves accuracy in any of 3 comparisons with "
        "plain training."
    )
    assert found.sentences[0].startswith("kd is undecided at all 3 levels of size:")
    assert (found.decided, found.undecided) == (0, 3)


def test_headline_counts_every_verdict() -> None:
    found = answer(sizes(effect(0.05, "helps"), effect(-0.05, "harms"), effect(0.0, "equivalent")))
    assert found.headline == (
        "Distillation (kd) improves accuracy at 1 of 3 levels of size, worsens it at 1 and makes no "
        "practical difference to it at 1."
    )
    assert "it harms at 1: -5.0 points" in found.sentences[0]


def test_several_methods_are_counted_in_comparisons() -> None:
    found = answer([effect(0.05, "helps"), effect(-0.05, "harms", method="dkd")])
    assert found.headline == (
        "Distillation (kd and dkd) improves accuracy in 1 of 2 comparisons with plain training and worsens "
        "it in 1."
    )
    assert len(found.sentences) == 2


@pytest.mark.parametrize("control", ["random_teacher", "label_smoothing"])
def test_control_that_does_as_well_is_in_the_headline(control: str) -> None:
    found = answer([effect(0.05, "helps"), effect(0.048, "helps", method=control)])
    assert found.headline == (
        "Distillation (kd) improves accuracy, but a control without the teacher's knowledge does as well."
    )
    assert (
        f"{control}, a control without the teacher's knowledge, does as well as kd wherever kd helps, so "
        "that knowledge does not explain the gain there."
    ) in found.sentences
    assert (found.decided, found.undecided) == (1, 0)  # controls are not counted as distillation


def test_control_that_does_worse_is_not_mentioned() -> None:
    found = answer([effect(0.05, "helps"), effect(0.02, "helps", method="random_teacher")])
    assert found.headline == "Distillation (kd) improves accuracy."
    assert not any("without the teacher's knowledge" in sentence for sentence in found.sentences)


@pytest.mark.parametrize(
    ("verdict", "credit"), [("helps", True), ("equivalent", False), ("undecided", False)]
)
def test_direct_comparison_with_a_control_takes_precedence(verdict: str, credit: bool) -> None:
    rows = [
        effect(0.05, "helps"),
        effect(0.05, "helps", method="label_smoothing"),
        effect(0.01, verdict, baseline="label_smoothing"),
    ]
    assert ("does as well" not in answer(rows).headline) == credit


def test_control_in_another_cell_does_not_count() -> None:
    rows = [
        effect(0.05, "helps"),
        effect(0.001, "equivalent", method="random_teacher"),
        effect(0.2, "helps", method="random_teacher", student="other"),
    ]
    assert "does as well" not in answer(rows).headline


def test_control_that_does_as_well_at_some_places_is_not_in_the_headline() -> None:
    rows = sizes(effect(0.05, "helps"), effect(0.05, "helps")) + sizes(
        effect(0.05, "helps", method="random_teacher"), effect(0.0, "equivalent", method="random_teacher")
    )
    found = answer(rows)
    assert "does as well" not in found.headline
    assert any("does as well as kd at 1 of the 2 places where kd helps" in s for s in found.sentences)


def test_weak_teacher_is_named_with_its_place() -> None:
    rows = sizes(effect(0.05, "helps"), effect(0.0, "equivalent", gap_closed=None))
    (weak,) = [caveat for caveat in answer(rows).caveats if "teacher" in caveat]
    assert weak.startswith("The teacher is no better than the plain student at 100 examples per class")


@pytest.mark.parametrize(
    ("teacher", "weak"), [(0.9, False), (0.5, True), (0.504, True), (0.4, True), (None, False)]
)
def test_teacher_is_judged_by_its_accuracy_if_known(teacher: float | None, weak: bool) -> None:
    found = answer([effect(0.0, "equivalent", gap_closed=None, teacher_accuracy=teacher, plain_mean=0.5)])
    assert any("teacher is no better" in caveat for caveat in found.caveats) == weak


def test_few_pairs_cannot_reach_a_small_p_value() -> None:
    found = answer(sizes(*[effect(0.05, "helps", n_pairs=5)] * 2))
    assert (
        "With 5 pairs the smallest p-value of the sign-flip test is 0.062, so after correction for 2 tests "
        "none can reach 0.05: at least 7 pairs are needed. Verdicts rest on corrected t intervals, not on "
        "these p-values."
    ) in found.caveats
    assert not any("sign-flip test" in caveat for caveat in answer([effect(0.05, "helps")]).caveats)


@pytest.mark.parametrize(
    ("family", "remedy"), [(3000, "at least 17 pairs are needed"), (10_000, "more pairs do not help")]
)
def test_sampled_flips_limit_the_smallest_p_value(family: int, remedy: str) -> None:
    """With more than 16 pairs flips are sampled, and no p-value is below one in a hundred thousand."""
    found = answer([effect(0.05, "helps", n_pairs=8, n_tests=family)])
    assert any(remedy in caveat for caveat in found.caveats)


def test_single_pair_has_no_interval() -> None:
    row = effect(0.05, "undecided", n_pairs=1, ci_low=None, ci_high=None)
    found = answer([row])
    assert found.sentences == ("kd is undecided: +5.0 points [no interval], 1 pair.",)
    assert any(caveat.startswith("A single pair does not show") for caveat in found.caveats)


def test_method_whose_name_is_an_english_word_can_be_read() -> None:
    """Attention transfer is called `at`."""
    harms = [effect(-0.03, "harms", method="at"), effect(-0.02, "harms", method="at")]
    assert answer(sizes(*harms)).sentences[0].startswith("at harms at both levels of size: -3.0 points")
    undecided = [effect(0.001, "undecided", method="at"), effect(0.002, "undecided", method="at")]
    assert answer(sizes(*undecided)).sentences[0].startswith("at is undecided at both levels of size")


def test_comparisons_without_a_pair_are_counted() -> None:
    found = answer(sizes(effect(0.05, "helps"), effect(None, "undecided")))
    assert found.caveats[-1].startswith("1 of 2 comparisons has no finished pair: its runs failed")
    assert (found.decided, found.undecided) == (1, 1)
    nothing = answer([effect(None, "undecided")])
    assert nothing.sentences == ("No pair of runs has finished for kd.",)
    assert nothing.tests == 0
    assert "nothing was tested" in nothing.caveats[0]


def test_tests_are_counted_over_metrics_and_families() -> None:
    rows = [effect(0.05, "helps"), effect(-0.2, "helps", metric="nll")]
    assert answer(rows).tests == 2
    assert answer([row | {"n_tests": 7} for row in rows]).tests == 14


def test_metrics_that_distillation_worsens_are_listed() -> None:
    rows = [
        effect(0.05, "helps"),
        effect(-0.05, "harms", metric="worst_class_accuracy"),
        effect(0.3, "harms", metric="teacher_kl"),
    ]
    assert answer(rows).harms == (
        "kd improves accuracy, but harms accuracy of the worst class: -5.0 points [-6.0, -4.0].",
    )


def test_settings_that_vary_are_named() -> None:
    found = answer([effect(0.05, "helps"), effect(0.01, "undecided", provenance="same")])
    assert found.sentences[0].startswith("kd (provenance full) helps: ")
    assert found.sentences[1].startswith("kd (provenance same) is undecided: ")


def test_long_lists_are_cut_to_the_largest_gains() -> None:
    rows = [effect(0.01 * level, "helps", **{"factor.size": 100.0 * level}) for level in range(1, 8)]
    sentence = answer(rows).sentences[0]
    assert sentence.startswith(
        "kd helps at all 7 levels of size: +4.0 points [3.0, 5.0] at 400 examples per class"
    )
    assert sentence.endswith("at 700 examples per class, and 3 more (10 pairs each).")


@pytest.mark.parametrize(
    ("slope", "p", "p_any", "sentence"),
    [
        (
            -0.03,
            0.001,
            0.001,
            "The gain of kd shrinks with size: -3.0 points per tenfold increase (p = 0.001).",
        ),
        (0.03, 0.001, 0.001, "The gain of kd grows with size: +3.0 points per tenfold increase (p = 0.001)."),
        (
            0.0,
            0.6,
            0.001,
            "The gain of kd changes with size, but not steadily in one direction (p = 0.001).",
        ),
        (0.0, 0.6, 0.6, "There is no evidence that the gain of kd depends on size (p = 0.6)."),
    ],
)
def test_trends_are_described(slope: float, p: float, p_any: float, sentence: str) -> None:
    trend = Trend(slope, True, 0.5, p, p_any, 6)
    curve = Curve("size", "d", "full", "t", "s", "kd", "ce", "accuracy", (), (), trend)
    assert sentence in answer(sizes(effect(0.05, "helps"), effect(0.01, "helps")), [curve]).sentences


def test_trend_of_what_level_differences_answer_is_left_out() -> None:
    trend = Trend(0.0, True, 0.5, 0.6, 0.6, 6)
    curve = Curve("size", "d", "full", "t", "s", "kd", "ce", "accuracy", (), (), trend)
    found = answer(
        sizes(effect(0.05, "helps"), effect(0.01, "helps")),
        [curve, replace(curve, method="dkd", factor="steps")],
        level_effects=[difference(0.02, "undecided")],
    )
    assert not any("depends on size" in sentence for sentence in found.sentences)
    assert found.differences == (
        "It is undecided whether the gain of kd differs between 5 and 100 examples per class: 2.0 points "
        "larger at 100 [1.0, 3.0], 10 pairs.",
    )


def difference(value: float, verdict: str, level: float = 100.0, **other: Any) -> Row:
    """Return the row of a difference between the gains at two sizes."""
    row = effect(None, verdict, **{"factor.size": level})
    row |= {"factor": "size", "level": f"{level:g}", "reference": "5", "difference": value}
    row |= {"ci_low": value - 0.01, "ci_high": value + 0.01, "p_value": 0.1, "n_pairs": 10}
    return row | {"verdict_family": verdict} | other


@pytest.mark.parametrize(
    ("value", "verdict", "sentence"),
    [
        (0.0, "undecided", "differs between 5 and 100 examples per class: no difference [-1.0, 1.0], 10"),
        (-0.02, "undecided", "differs between 5 and 100 examples per class: 2.0 points smaller at 100 ["),
        (
            0.02,
            "larger",
            "The gain of kd at 100 examples per class is 2.0 points larger than at 5 [1.0, 3.0]",
        ),
        (0.0, "equivalent", "is practically the same at 100 examples per class as at 5: 0.0 points"),
    ],
)
def test_differences_between_levels_are_described(value: float, verdict: str, sentence: str) -> None:
    [found] = answer([effect(0.0, "undecided")], level_effects=[difference(value, verdict)]).differences
    assert sentence in found


def test_level_between_the_ends_that_differs_is_described_too() -> None:
    rows = [difference(0.08, "larger", 20.0), difference(0.05, "larger", 50.0), difference(0.0, "equivalent")]
    found = answer([effect(0.0, "undecided")], level_effects=rows).differences
    assert [sentence.split(" examples")[0] for sentence in found] == [
        "The gain of kd is practically the same at 100",
        "The gain of kd at 20",
    ]
    monotone = [difference(0.05, "larger", 20.0), difference(0.08, "larger")]
    assert len(answer([effect(0.0, "undecided")], level_effects=monotone).differences) == 1


def test_study_without_a_distilled_student_has_no_comparison() -> None:
    assert answer([]).headline == "No distilled student was compared with plain training."
    only_control = answer([effect(0.05, "helps", method="label_smoothing")])
    assert only_control.headline == "No distilled student was compared with plain training."
    assert only_control.sentences == ("label_smoothing helps: +5.0 points [4.0, 6.0], 10 pairs.",)


def test_numbers_and_lists_are_written_for_people() -> None:
    accuracy, nll = TASK.metrics["accuracy"], TASK.metrics["nll"]
    assert amount(0.0004, accuracy) == "0.0" == amount(-0.0004, accuracy)
    assert amount(-0.123, nll) == "-0.12"
    assert describe_gain(effect(0.1, "helps", metric="nll"), nll) == "+0.10 nats [0.09, 0.11]"
    assert describe_level("factor.size", 25.0) == "25 examples per class"
    assert describe_level("factor.label_noise", 0.4) == "label noise 0.4"
    assert [listed("a"), listed("ab"), listed("abc"), listed("")] == ["a", "a and b", "a, b and c", ""]
    assert [counted(1, "pair"), counted(6, "pair"), counted(2, "class")] == ["1 pair", "6 pairs", "2 classes"]


def test_pairs_needed_follow_from_the_observed_spread() -> None:
    rows = [effect(0.0, "undecided"), effect(0.05, "helps")]
    for row in rows:
        row.update(ci_low=row["gain"] - 0.02, ci_high=row["gain"] + 0.02, n_pairs=6)
    [sentence] = answer(rows).missing
    spread = 0.02 * 6**0.5 / stats.t.ppf(0.975, 5)
    assert f"about {100 * spread:.1f} points" in sentence
    # A gain of 1.0 points exceeds the margin by 0.5, and only that part decides.
    needed = pairs_needed(spread, 0.005)
    assert f"With {needed} pairs, a gain of 1.0 points would be shown to exceed the margin" in sentence
    assert answer(rows[1:]).missing == ()


@pytest.mark.parametrize(("unit", "level"), [("images_per_class", 25), ("fraction", 0.5), ("total", 500)])
def test_levels_are_written_in_the_unit_of_the_study(unit: str, level: float) -> None:
    phrase = Size(level=level, unit=unit).phrase
    rows = [effect(0.05, "helps") | {"factor.size": size} for size in (level, level / 5)]
    found = answer(rows, phrases={"size": phrase})
    assert any(f"at {phrase.format(f'{level:g}')}" in sentence for sentence in found.sentences)
