"""All conclusions over data sets: planted gains, harms and size effects are found, and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from distillab.evidence.across import (
    AcrossSets,
    ContextTable,
    StudiedContext,
    across_as_dict,
    conclude_across,
    contexts_of_results,
    summarize_across,
    terms_of,
)
from distillab.tasks import Classification
from support.base_sets import planted_contexts


def concluded(**planted: Any) -> AcrossSets:
    return conclude_across(planted_contexts(**planted), Classification())


def test_planted_gains_are_found_in_order() -> None:
    found = concluded()
    assert [method.method for method in found.methods] == ["kd", "attention", "random_teacher"]
    verdicts = {method.method: method.verdict for method in found.methods}
    assert verdicts == {"kd": "helps", "attention": "helps", "random_teacher": "equivalent"}
    for method, truth in zip(found.methods, (0.03, 0.015, 0.0), strict=True):
        assert method.gain.ci_low - 0.002 < truth < method.gain.ci_high + 0.002
        assert len(method.by_base_set) == 8
    assert found.ranks is not None
    assert found.ranks.methods[:2] == ("kd", "attention")


def test_control_is_named_as_such() -> None:
    found = concluded()
    assert [method.control for method in found.methods] == [False, False, True]
    sentences = summarize_across(found).sentences
    assert any(each.startswith("random_teacher, a control without") for each in sentences)


@pytest.mark.parametrize("metric", ["worst_class_accuracy", "worst_group_accuracy", "tail_accuracy", "ece"])
def test_harm_behind_the_average_is_in_the_headline_and_first(metric: str) -> None:
    change = 0.06 if metric == "ece" else -0.06
    found = concluded(harms={metric: change})
    answer, label = summarize_across(found), Classification.metrics[metric].label
    assert f"but kd worsens {label}" in answer.headline
    assert answer.harms[0].startswith(f"kd improves accuracy on average, and worsens {label} (")
    assert [each.verdict for each in found.harms if each.method == "attention"] == ["undecided"] or all(
        each.verdict in ("equivalent", "undecided") for each in found.harms if each.method == "attention"
    )


def test_harm_of_some_contexts_is_counted_where_the_mean_has_no_verdict() -> None:
    table = planted_contexts(harms={"ece": 0.0})
    contexts = []
    for number, each in enumerate(table.contexts):
        scores = dict(each.scores)
        if number < 4:  # of one base set
            scores["kd", "ece"] = {seed: value + 0.1 for seed, value in scores["kd", "ece"].items()}
        contexts.append(StudiedContext(each.context, each.base_set, each.levels, scores, each.teacher_score))
    found = conclude_across(ContextTable(tuple(contexts)), Classification())
    [harm] = [each for each in found.harms if each.method == "kd"]
    assert harm.verdict == "undecided"
    assert (harm.contexts_worse, harm.contexts_tested) == (4, 32)
    assert "worsens calibration error in 4 of 32 contexts" in summarize_across(found).harms[0]


def test_few_base_sets_have_no_verdict_and_a_caveat() -> None:
    found = concluded(base_sets=3)
    assert {method.verdict for method in found.methods} == {"undecided"}
    answer = summarize_across(found)
    assert "kd, attention have no verdict" in answer.headline or "kd and attention have" in answer.headline
    assert any("3 base sets are few" in each for each in answer.caveats)


def test_single_context_is_enough_for_a_page_of_reasons() -> None:
    found = concluded(base_sets=1, per_set=1)
    assert found.ranks is None
    assert found.methods[0].gain.verdict == "undecided"
    assert math.isinf(found.methods[0].gain.ci_high)


def test_curves_over_sizes_are_compared_where_all_else_is_held() -> None:
    found = concluded(base_sets=2)
    assert [(curve.base_set, curve.method) for curve in found.curves] == [
        ("set-0", "kd"),
        ("set-1", "kd"),
        ("set-0", "attention"),
        ("set-1", "attention"),
    ]


def test_conclusions_are_json_without_infinities() -> None:
    found = concluded(base_sets=2, harms={"ece": 0.05})
    text = json.dumps(across_as_dict(found, summarize_across(found)), allow_nan=False)
    read = json.loads(text)
    assert read["methods"][0]["method"] == "kd"
    assert read["methods"][0]["verdict"] == "undecided"
    assert {"headline", "harm_sentences", "ranks", "factors", "curves", "harms"} <= read.keys()


def test_levels_that_are_not_known_of_all_contexts_are_left_out() -> None:
    contexts = [
        StudiedContext("a", "s", {"size": 10.0, "label_noise": 0.0}, {}),
        StudiedContext("b", "s", {"size": 20.0}, {}),
    ]
    found = terms_of(contexts)
    assert [term.name for term in found.terms] == ["size from 10 to 20"]
    assert found.notes == ("label noise is not known of 1 of 2 contexts",)


def test_sizes_are_compared_by_their_logarithm() -> None:
    contexts = [StudiedContext(str(n), "s", {"size": float(n)}, {}) for n in (10, 100, 1000)]
    assert terms_of(contexts).terms[0].values == pytest.approx([0.0, 0.5, 1.0])


def test_failed_runs_are_counted_and_in_no_pair() -> None:
    rows = [
        {
            "run_id": f"{m}{s}",
            "dataset": "d",
            "method": m,
            "seed": s,
            "status": "done",
            "accuracy": 0.5 + s / 10,
        }
        for m in ("ce", "kd")
        for s in range(3)
    ]
    rows[4] |= {"status": "failed", "accuracy": None}
    [context] = contexts_of_results(rows, Classification())
    assert context.failed == 1
    assert context.seeds(["ce", "kd"], "accuracy") == [0, 2]
