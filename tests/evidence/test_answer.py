"""The answer says what the effect rows say, in each situation a study can end in."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from distillab.evidence.answer import answer
from distillab.evidence.curves import Curve, Trend
from distillab.evidence.power import pairs_needed
from distillab.evidence.wording import amount, describe_gain, describe_level, listed
from distillab.factors import Size


def effect(gain: float | None, verdict: str, half: float = 0.01, **other: Any) -> dict[str, Any]:
    known = gain is not None
    row = {
        "dataset": "d",
        "factor.size": 25.0,
        "provenance": "full",
        "teacher": "t",
        "student": "s",
        "method": "kd",
        "baseline": "ce",
        "metric": "accuracy",
        "n_pairs": 10 if known else 0,
        "gain": gain,
        "ci_low": gain - half if known else None,
        "ci_high": gain + half if known else None,
        "p_value": 0.002 if known else None,
        "p_adjusted": 0.01 if known else None,
        "verdict": verdict,
        "gap_closed": 0.5 if known else None,
        "error_ratio": 0.9 if known else None,
    }
    return row | other


def sizes(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [row | {"factor.size": size} for row, size in zip(rows, (25.0, 100.0, 400.0, 800.0), strict=False)]


def test_help_at_some_levels():
    found = answer(
        sizes(
            effect(0.091, "helps", 0.023),
            effect(0.05, "helps"),
            effect(0.03, "helps"),
            effect(0.004, "undecided", 0.007, n_pairs=6),
        )
    )
    assert (
        found.headline
        == "Distillation (kd) helps at 3 of 4 levels of size; at 1 the evidence does not decide."
    )
    assert found.sentences[0] == (
        "kd helps at 3 of 4 levels of size: +9.1 points [6.8, 11.4] at 25 images a class, "
        "+5.0 [4.0, 6.0] at 100 images a class, +3.0 [2.0, 4.0] at 400 images a class (10 pairs each); "
        "at 1 of 4 the evidence does not decide: +0.4 points [-0.3, 1.1] at 800 images a class (6 pairs)."
    )
    assert (found.decided, found.undecided, found.tests) == (3, 1, 4)
    assert "4 tests" in found.caveats[0] and "Holm" in found.caveats[0]
    assert "3 of the 3 verdicts of help or harm keep p <= 0.05 after correction." in found.caveats


@pytest.mark.parametrize(
    ("gain", "verdict", "headline", "sentence"),
    [
        (0.02, "helps", "Distillation (kd) helps.", "kd helps: +2.0 points [1.0, 3.0], 10 pairs."),
        (-0.02, "harms", "Distillation (kd) harms.", "kd harms: -2.0 points [-3.0, -1.0], 10 pairs."),
        (
            0.0,
            "equivalent",
            "Distillation (kd) makes no practical difference.",
            "kd makes no practical difference: 0.0 points [-1.0, 1.0], 10 pairs.",
        ),
        (
            0.004,
            "undecided",
            "The evidence does not decide whether distillation (kd) helps.",
            "For kd the evidence does not decide: +0.4 points [-0.6, 1.4], 10 pairs.",
        ),
    ],
)
def test_one_comparison(gain, verdict, headline, sentence):
    found = answer([effect(gain, verdict)])
    assert found.headline == headline
    assert found.sentences == [sentence]
    assert found.decided + found.undecided == 1


def test_nothing_decided_anywhere():
    found = answer(sizes(*[effect(0.0, "undecided")] * 3))
    assert found.headline == (
        "The evidence does not decide whether distillation (kd) helps in any of 3 comparisons "
        "with plain training."
    )
    assert found.sentences[0].startswith("For kd, at 3 of 3 the evidence does not decide:")
    assert (found.decided, found.undecided) == (0, 3)


def test_help_and_harm_stand_side_by_side():
    found = answer(sizes(effect(0.05, "helps"), effect(-0.05, "harms"), effect(0.0, "equivalent")))
    assert found.headline == (
        "Distillation (kd) helps at 1 of 3 levels of size, harms at 1 and makes no practical difference at 1."
    )
    assert "it harms at 1: -5.0 points" in found.sentences[0]


def test_several_methods_are_counted_in_comparisons():
    found = answer([effect(0.05, "helps"), effect(-0.05, "harms", method="dkd")])
    assert found.headline == (
        "Distillation (kd and dkd) helps in 1 of 2 comparisons with plain training and harms in 1."
    )
    assert len(found.sentences) == 2


@pytest.mark.parametrize("control", ["random_teacher", "label_smoothing"])
def test_a_control_that_does_as_well_takes_the_credit(control):
    found = answer([effect(0.05, "helps"), effect(0.048, "helps", method=control)])
    assert found.headline == (
        "Distillation (kd) helps, but a control without the teacher's knowledge does as well."
    )
    assert any(
        sentence.startswith(f"{control}, a control that knows nothing") for sentence in found.sentences
    )
    assert (found.decided, found.undecided) == (1, 0)  # controls are not counted as distillation


def test_a_control_that_does_worse_takes_nothing():
    found = answer([effect(0.05, "helps"), effect(0.02, "helps", method="random_teacher")])
    assert found.headline == "Distillation (kd) helps."
    assert not any("knows nothing" in sentence for sentence in found.sentences)


@pytest.mark.parametrize(
    ("verdict", "credit"), [("helps", True), ("equivalent", False), ("undecided", False)]
)
def test_a_direct_comparison_with_the_control_decides_if_it_can(verdict, credit):
    rows = [
        effect(0.05, "helps"),
        effect(0.05, "helps", method="label_smoothing"),
        effect(0.01, verdict, baseline="label_smoothing"),
    ]
    assert ("does as well" not in answer(rows).headline) == credit


def test_a_control_in_another_cell_does_not_count():
    rows = [
        effect(0.05, "helps"),
        effect(0.001, "equivalent", method="random_teacher"),
        effect(0.2, "helps", method="random_teacher", student="other"),
    ]
    assert "does as well" not in answer(rows).headline


def test_credit_is_taken_only_where_the_control_does_as_well():
    rows = sizes(effect(0.05, "helps"), effect(0.05, "helps")) + sizes(
        effect(0.05, "helps", method="random_teacher"), effect(0.0, "equivalent", method="random_teacher")
    )
    found = answer(rows)
    assert "does as well" not in found.headline
    assert any("does as well as kd in 1 of the 2 places where it helps" in s for s in found.sentences)


def test_a_weak_teacher_is_named_with_its_place():
    rows = sizes(effect(0.05, "helps"), effect(0.0, "equivalent", gap_closed=None))
    (weak,) = [caveat for caveat in answer(rows).caveats if "teacher" in caveat]
    assert weak.startswith("The teacher is not better than the plain student at 100 images a class")


@pytest.mark.parametrize(
    ("teacher", "said"), [(0.9, False), (0.5, True), (0.504, True), (0.4, True), (None, False)]
)
def test_the_teacher_is_judged_by_its_accuracy_if_that_is_known(teacher, said):
    found = answer([effect(0.0, "equivalent", gap_closed=None, teacher_accuracy=teacher, plain_mean=0.5)])
    assert any("teacher is not better" in caveat for caveat in found.caveats) == said


def test_few_pairs_are_said_to_prove_nothing_by_p_values():
    found = answer(sizes(*[effect(0.05, "helps", n_pairs=5)] * 2))
    assert (
        "With 5 pairs the smallest possible p-value is 0.062; corrected for 2 tests, none can reach 0.05. "
        "That would take 7 pairs; until then the intervals are the evidence."
    ) in found.caveats
    assert not any("smallest possible" in caveat for caveat in answer([effect(0.05, "helps")]).caveats)


@pytest.mark.parametrize(
    ("family", "would"), [(3000, "That would take 17 pairs"), (10_000, "More pairs would")]
)
def test_p_values_of_drawn_flips_end_somewhere(family: int, would: str) -> None:
    """Beyond 16 pairs flips are drawn, and no p-value is below one in a hundred thousand."""
    found = answer([effect(0.05, "helps", n_pairs=8, n_tests=family)])
    assert any(would in caveat for caveat in found.caveats)


def test_a_single_pair():
    row = effect(0.05, "undecided", n_pairs=1, ci_low=None, ci_high=None)
    found = answer([row])
    assert found.sentences == ["For kd the evidence does not decide: +5.0 points [no interval], 1 pair."]
    assert any("One pair says nothing" in caveat for caveat in found.caveats)


def test_a_method_whose_name_is_a_word_is_named_once():
    """`at`, attention transfer."""
    harms = [effect(-0.03, "harms", method="at"), effect(-0.02, "harms", method="at")]
    assert answer(sizes(*harms)).sentences[0].startswith("at harms at all 2 levels of size: -3.0 points")
    open_ = [effect(0.001, "undecided", method="at"), effect(0.002, "undecided", method="at")]
    assert answer(sizes(*open_)).sentences[0].startswith("For at, at 2 of 2 the evidence does not decide")


def test_missing_pairs_are_told():
    found = answer(sizes(effect(0.05, "helps"), effect(None, "undecided")))
    assert "1 of 2 comparisons rest on no finished pair" in found.caveats[-1]
    assert (found.decided, found.undecided) == (1, 1)
    nothing = answer([effect(None, "undecided")])
    assert nothing.sentences == ["For kd no pair of runs has finished."]
    assert nothing.tests == 0
    assert "nothing was tested" in nothing.caveats[0]


def test_tests_are_counted_over_all_metrics_and_by_family_where_sizes_are_known():
    rows = [effect(0.05, "helps"), effect(-0.2, "helps", metric="nll")]
    assert answer(rows).tests == 2
    assert answer([row | {"n_tests": 7} for row in rows]).tests == 14


def test_averages_do_not_stand_alone():
    rows = [
        effect(0.05, "helps"),
        effect(-0.05, "harms", metric="worst_class_accuracy"),
        effect(0.3, "harms", metric="teacher_kl"),
    ]
    assert answer(rows).sentences[-1] == (
        "Distillation makes worse: accuracy of the worst class in 1 of 1 comparison."
    )


def test_settings_that_vary_are_named():
    found = answer([effect(0.05, "helps"), effect(0.01, "undecided", provenance="same")])
    assert found.sentences[0].startswith("kd (provenance full) helps: ")
    assert found.sentences[1].startswith("For kd (provenance same) the evidence does not decide: ")


def test_long_lists_are_cut_to_the_largest_gains():
    rows = [effect(0.01 * level, "helps", **{"factor.size": 100.0 * level}) for level in range(1, 8)]
    sentence = answer(rows).sentences[0]
    assert sentence.startswith(
        "kd helps at all 7 levels of size: +4.0 points [3.0, 5.0] at 400 images a class"
    )
    assert sentence.endswith("at 700 images a class, and 3 more (10 pairs each).")


@pytest.mark.parametrize(
    ("slope", "p", "p_any", "words"),
    [
        (-0.03, 0.001, 0.001, "The gain of kd shrinks with size: -3.0 points a tenfold (p = 0.001)."),
        (0.03, 0.001, 0.001, "The gain of kd grows with size: +3.0 points a tenfold (p = 0.001)."),
        (0.0, 0.6, 0.001, "The gain of kd changes with size, though not steadily up or down (p = 0.001)."),
        (0.0, 0.6, 0.6, "Whether the gain of kd depends on size is not shown (p = 0.6)."),
    ],
)
def test_trends_are_told(slope, p, p_any, words):
    trend = Trend(slope, True, 0.5, p, p_any, 6)
    curve = Curve("size", "d", "full", "t", "s", "kd", "ce", "accuracy", (), (), trend)
    assert words in answer(sizes(effect(0.05, "helps"), effect(0.01, "helps")), [curve]).sentences


def test_nothing_to_compare():
    assert answer([]).headline == "No distilled student was compared with plain training."
    only_control = answer([effect(0.05, "helps", method="label_smoothing")])
    assert only_control.headline == "No distilled student was compared with plain training."
    assert only_control.sentences == ["label_smoothing helps: +5.0 points [4.0, 6.0], 10 pairs."]


def test_wording():
    assert amount(0.0004, "accuracy") == "0.0" == amount(-0.0004, "accuracy")
    assert amount(-0.123, "nll") == "-0.12"
    assert describe_gain(effect(0.1, "helps", metric="nll")) == "+0.10 nats [0.09, 0.11]"
    assert describe_level("factor.size", 25.0) == "25 images a class"
    assert describe_level("factor.label_noise", 0.4) == "label noise 0.4"
    assert [listed("a"), listed("ab"), listed("abc"), listed("")] == ["a", "a and b", "a, b and c", ""]


def test_what_would_decide_follows_from_the_spread_that_was_seen() -> None:
    rows = [effect(0.0, "undecided"), effect(0.05, "helps")]
    for row in rows:
        row.update(ci_low=row["gain"] - 0.02, ci_high=row["gain"] + 0.02, n_pairs=6)
    [sentence] = answer(rows).missing
    spread = 0.02 * 6**0.5 / stats.t.ppf(0.975, 5)
    assert f"about {100 * spread:.1f} points" in sentence
    # A gain of 1.0 points is 0.5 beyond the margin, and only that decides.
    needed = pairs_needed(spread, 0.005)
    assert f"{needed} pairs would show that a gain of 1.0 points is beyond the margin" in sentence
    assert answer(rows[1:]).missing == []


@pytest.mark.parametrize(
    ("unit", "level", "words"),
    [
        ("images_per_class", 25, "25 images a class"),
        ("fraction", 0.5, "0.5 of the images"),
        ("total", 500, "500 images"),
    ],
)
def test_levels_are_called_by_the_unit_that_the_study_set(unit: str, level: float, words: str) -> None:
    phrases = {"size": Size(level=level, unit=unit).phrase}
    rows = [effect(0.05, "helps") | {"factor.size": size} for size in (level, level / 5)]
    found = answer(rows, phrases=phrases)
    assert any(f"at {words}" in sentence for sentence in found.sentences)
