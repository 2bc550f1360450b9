"""Declared contrasts: the family of a study's verdicts is what it declares, gains and differences alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.errors import RequestError
from distillab.evidence.answer import Answer, summarize
from distillab.evidence.conclusions import Conclusions, compute_conclusions, reference_levels
from distillab.evidence.families import EXPLORATORY
from distillab.evidence.pairs import Row
from distillab.factors import factors, parse_factors
from distillab.study.spec.evidence import EvidenceSpec
from distillab.study.spec.study import StudySpec, parse_study
from distillab.tasks import Classification

TASK = Classification()
GAINS = {"kd": {0.0: 0.03, 0.4: 0.12}, "dkd": {0.0: 0.02, 0.4: 0.02}}


def rows(**gains: dict[float, float]) -> list[Row]:
    rng = np.random.default_rng(0)
    found = []
    for level in (0.0, 0.4):
        for method, gain in {"ce": {0.0: 0.0, 0.4: 0.0}, **(gains or GAINS)}.items():
            for seed in range(8):
                row = {"run_id": f"{method} {level} {seed}", "method": method, "seed": seed}
                row |= {"factor.label_noise": level, "status": "done", "provenance": "full", "student": "s"}
                found.append(row | {"accuracy": 0.6 + gain[level] + rng.normal(0, 0.004)})
    return found


def concluded(*contrasts: Any, of: list[Row] | None = None) -> Conclusions:
    return compute_conclusions(of or rows(), TASK, EvidenceSpec(contrasts=list(contrasts)))


def families(found: Conclusions) -> dict[str, list[tuple[str, Any]]]:
    """Return the (method, level) of the rows in a family and of those outside, by table."""
    names: dict[str, list[tuple[str, Any]]] = {"gains": [], "differences": [], "exploratory": []}
    for kind, table in (("gains", found.effects), ("differences", found.level_effects)):
        for row in table:
            exploratory = row["undecided_because"] == EXPLORATORY
            names["exploratory" if exploratory else kind].append((row["method"], row["factor.label_noise"]))
    return names


def test_without_declaration_gains_and_differences_are_two_families() -> None:
    found = concluded()
    assert {row["n_tests"] for row in found.effects} == {4}
    assert {row["n_tests"] for row in found.level_effects} == {2}
    assert families(found)["exploratory"] == []


@pytest.mark.parametrize(
    ("contrast", "gains", "differences"),
    [
        ("kd", [("kd", 0.0), ("kd", 0.4)], []),
        ({"method": "kd", "at": {"label_noise": 0.4}}, [("kd", 0.4)], []),
        ({"method": "kd", "difference": "label_noise"}, [], [("kd", 0.4)]),
        ({"method": "kd", "difference": "label_noise", "at": {"label_noise": 0.4}}, [], [("kd", 0.4)]),
        ({"method": "kd", "provenance": "full", "student": "s"}, [("kd", 0.0), ("kd", 0.4)], []),
        ({"method": "kd", "provenance": "same"}, [], []),
    ],
)
def test_a_contrast_declares_gains_or_differences(
    contrast: Any, gains: list[tuple[str, float]], differences: list[tuple[str, float]]
) -> None:
    found = concluded(contrast)
    named = families(found)
    assert (named["gains"], named["differences"]) == (gains, differences)
    for row in [*found.effects, *found.level_effects]:
        if row["undecided_because"] == EXPLORATORY:
            assert (row["verdict_family"], row["p_adjusted"], row["n_tests"]) == ("undecided", None, None)
            assert row["p_value"] is not None
        else:
            assert row["n_tests"] == len(gains) + len(differences)


def test_declared_gains_and_differences_are_corrected_together() -> None:
    found = concluded("kd", {"method": "kd", "difference": "label_noise"})
    declared = [row for row in [*found.effects, *found.level_effects] if row["n_tests"]]
    assert [row["n_tests"] for row in declared] == [3, 3, 3]
    assert [row["verdict_family"] for row in declared] == ["helps", "helps", "larger"]


def answer(found: Conclusions, *, declared: bool = False) -> Answer:
    return summarize(found.effects, TASK, level_effects=found.level_effects, declared=declared)


def test_headline_counts_declared_gains_alone() -> None:
    found = answer(concluded("kd"))
    assert (found.decided, found.undecided) == (2, 0)
    assert "dkd" not in found.headline
    assert any("2 gains are exploratory" in sentence for sentence in found.caveats)


def test_headline_is_the_difference_if_only_differences_are_declared() -> None:
    found = answer(concluded({"method": "kd", "difference": "label_noise"}))
    assert found.headline == found.differences[0]
    assert found.headline.startswith("The gain of kd at label noise 0.4 is 9")
    assert "points larger than at 0 [" in found.headline


def test_headline_is_about_the_metric_that_is_declared() -> None:
    of = rows()
    for row in of:
        row["accuracy_gap.conflicting"] = row["accuracy"] - 0.9 - 0.1 * (row["method"] == "kd")
    entries = [{"method": "kd", "metric": "accuracy_gap.conflicting"}]
    evidence = EvidenceSpec(contrasts=entries)
    assert evidence.declared_metric == "accuracy_gap.conflicting"
    assert EvidenceSpec(contrasts=[*entries, "dkd"]).declared_metric is None
    found = concluded(*entries, of=of)
    counted = [(row["metric"], row["n_tests"]) for row in found.effects if row["n_tests"]]
    assert counted == [("accuracy_gap.conflicting", 2)] * 2
    answered = summarize(found.effects, TASK, declared=True, metric=evidence.declared_metric)
    assert answered.metric == "accuracy_gap.conflicting"
    assert answered.headline.startswith(
        "Distillation (kd) improves accuracy gap, conflicting test set at 1 of 2"
    )
    assert "worsens it at 1" in answered.headline
    assert (answered.decided, answered.undecided) == (2, 0)


def test_declared_difference_of_early_training_is_marked() -> None:
    found = concluded({"method": "kd", "difference": "label_noise"})
    for row in found.effects:
        row["converged"] = False
        row["doubling_plain"] = row["doubling_distilled"] = 0.04
    headline = answer(found, declared=True).headline
    assert headline.startswith("Early training: the gain of kd at label noise 0.4 is 9")


@pytest.mark.parametrize(
    ("contrasts", "tests"),
    [([], 6), (["kd"], 2), (["kd", {"method": "dkd", "difference": "label_noise"}], 3)],
)
def test_tests_of_gains_and_of_differences_are_counted(contrasts: list[Any], tests: int) -> None:
    found = answer(concluded(*contrasts), declared=bool(contrasts))
    assert found.tests == tests
    assert any(sentence.startswith(f"{tests} tests made in total") for sentence in found.caveats)


def test_first_screen_has_one_sentence_per_method() -> None:
    found = answer(concluded())
    assert [sentence.split(":")[0].split(" at ")[0] for sentence in found.differences] == [
        "The gain of kd",
        "It is undecided whether the gain of dkd differs between label noise 0 and 0.4",
    ]


# --- the study file ---------------------------------------------------------------------------------------


def study(contrasts: Any, **other: Any) -> StudySpec:
    values = {"study": "tiny", "data": {"source": "digits"}, "teacher": {"model": "resnet8"}}
    values |= {"students": "resnet8", "methods": ["kd"], "factors": {"size": [10, 50]}}
    evidence = {} if contrasts is None else {"contrasts": contrasts}
    return parse_study(values | {"evidence": evidence} | other, Path(), "study.yaml")


@pytest.mark.parametrize(
    ("contrasts", "message"),
    [
        (["dkd"], "evidence.contrasts.0: unknown method 'dkd', did you mean 'kd'? (allowed: kd)"),
        (["kd", "ce"], "evidence.contrasts.1: unknown method 'ce'"),
        ([{"method": "kd", "at": {"size": 11}}], "evidence.contrasts.0.at.size: size has no level 11"),
        ([{"method": "kd", "at": {"sise": 10}}], "evidence.contrasts.0.at: unknown factor 'sise'"),
        (
            [{"method": "kd", "difference": "noise"}],
            "evidence.contrasts.0.difference: unknown factor 'noise'",
        ),
        (
            [{"method": "kd", "difference": "size", "at": {"size": 10}}],
            "evidence.contrasts.0.at.size: 10 is the level that the others are compared with (allowed: 50)",
        ),
        (["kd", {"method": "kd", "at": 5}], "evidence.contrasts.1.at: 5 is not accepted (allowed: a mapping"),
        ([{"method": "kd", "provenance": "external"}], "unknown provenance 'external'"),
        ([{"method": "kd", "student": "resnet20"}], "unknown student 'resnet20'"),
        ([{"method": "kd", "metric": "acuracy"}], "evidence.contrasts.0.metric: unknown metric 'acuracy'"),
        ([{"method": "kd", "metric": "ece.far"}], "evidence.contrasts.0.metric: unknown metric 'ece.far'"),
        ([{"at": {"size": 10}}], "evidence.contrasts.0: key 'method' is missing"),
        ([{"method": "kd", "level": 10}], "evidence.contrasts.0: unknown key 'level'"),
        (3, "evidence.contrasts: contrasts are a list of methods"),
        ([3], "evidence.contrasts.0: 3 is no contrast"),
    ],
)
def test_unknown_contrasts_are_refused(contrasts: Any, message: str) -> None:
    with pytest.raises(RequestError) as error:
        study(contrasts)
    assert message in str(error.value)
    assert str(error.value).startswith("study.yaml: ")


def test_factor_with_one_level_has_no_difference() -> None:
    with pytest.raises(RequestError, match="unknown factor 'size'"):
        study([{"method": "kd", "difference": "size"}], factors={"size": [10]})


def test_contrasts_are_written_out_and_read_again() -> None:
    entries = ["kd", {"method": "kd", "at": {"size": 50}, "difference": "size"}]
    entries.append({"method": "kd", "metric": "accuracy"})
    written = study(entries).canonical()["evidence"]["contrasts"]
    assert written[:2] == [{"method": "kd"}, {"method": "kd", "at": {"size": 50.0}, "difference": "size"}]
    assert written[2] == {"method": "kd", "metric": "accuracy"}
    assert study(written).evidence == study(entries).evidence


def selection(name: str) -> dict[str, Any]:
    return {"levels": ["random", name], "budget": 9}


@pytest.mark.parametrize(
    ("factors", "at", "level"),
    [
        ({"steps": ["x1", "x2"]}, {"steps": "x2"}, 2.0),
        ({"steps": ["x1", "x2"]}, {"steps": 2}, 2.0),
        ({"steps": {"levels": [1, 2], "unit": "multiple"}}, {"steps": "x2"}, 2.0),
        (
            {"selection": {"levels": ["random", "k_center"], "budget": 9}},
            {"selection": "k_center"},
            "k_centre",
        ),
        (
            {"selection": {"levels": ["random", "k_centre"], "budget": 9}},
            {"selection": "k_center"},
            "k_centre",
        ),
    ],
)
def test_levels_of_a_contrast_are_written_as_those_of_the_factor(
    factors: dict[str, Any], at: dict[str, Any], level: float | str
) -> None:
    entries = [{"method": "kd", "at": at, "difference": next(iter(factors))}]
    [contrast] = study(entries, factors=factors).evidence.contrasts
    assert list(contrast.at.values()) == [level]
    again = study(study(entries, factors=factors).written()["evidence"]["contrasts"], factors=factors)
    assert again.evidence.contrasts == (contrast,)


def test_names_of_a_contrast_have_both_spellings() -> None:
    factors = {"initialization": ["scratch", "pretrained"]}
    entry = {"method": "kd", "at": {"initialization": "pretrained"}, "difference": "initialization"}
    [contrast] = study([entry], factors=factors).evidence.contrasts
    assert (dict(contrast.at), contrast.difference) == ({"initialisation": "pretrained"}, "initialisation")


def test_studies_without_contrasts_are_written_as_before() -> None:
    assert "contrasts" not in study(None).canonical()["evidence"]
    assert study(None).identity == study(["kd"]).identity


# --- reference levels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"label_noise": [0.4, 0.0]}, 0.0),
        ({"label_noise": [0.4, 0.2]}, 0.4),
        ({"imbalance": [10, 1]}, 1.0),
        ({"size": [100, 25]}, 100.0),
        ({"granularity": ["coarse", "fine"]}, "fine"),
        ({"initialisation": ["pretrained", "scratch"]}, "scratch"),
        ({"shift": {"levels": [3, 0], "corruption": "fog"}}, 0.0),
        ({"selection": {"levels": ["hardest", "random"], "budget": 5}}, "random"),
        ({"unlabelled": ["noise", "none"]}, "none"),
        ({"redundancy": [0.5, 0.0]}, 0.0),
        ({"similarity": {"levels": [1.0, 0.0], "classes": 3}}, 0.0),
    ],
)
def test_reference_is_the_level_without_the_manipulation(
    entry: dict[str, Any], expected: float | str
) -> None:
    assert reference_levels(parse_factors(entry, "factors")) == {next(iter(entry)): expected}


@pytest.mark.parametrize("name", [name for name in factors if factors[name].references])
def test_reference_levels_are_levels(name: str) -> None:
    kind = factors[name]
    settings = next(dict(each) for each in kind.examples)
    for level in kind.references:
        own = {} if name in ("shift", "unlabelled") else settings
        extra = {"corruption": "fog"} if name == "shift" else {}
        assert kind.model_validate({**own, **extra, "level": level}).level == level
