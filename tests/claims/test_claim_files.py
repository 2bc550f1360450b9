"""The published claims: every file is valid, and its rules can be read from its study at every scale."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from distillab.api import Study
from distillab.claims import (
    SCALES,
    ClaimScale,
    find_claim,
    needed_data,
    published_claims,
    published_verdicts,
    read_claim,
    require_data,
    study_owner,
)
from distillab.claims.library import claims_of
from distillab.claims.scales import override_keys, study_at, study_bases
from distillab.errors import RequestError
from support.claims import claim_of

CLAIMS = published_claims()
WITHOUT_DATA = [
    name for name in CLAIMS if study_owner(CLAIMS[name]) == name and not needed_data(CLAIMS[name], "laptop")
]
GOOD: dict[str, Any] = {
    "id": "demo",
    "version": 1,
    "statement": "Distillation helps.",
    "source": "a test",
    "prediction": "It gains.",
    "falsifier": "It does not.",
    "manipulation_check": "None.",
    "base": "digits",
    "decision_rule": [{"rule": "gain", "method": "kd", "expect": "positive"}],
    "minutes": {"smoke": 0.1, "laptop": 2, "full": 60},
}


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", CLAIMS)
def test_rules_can_be_read_from_the_study(name: str, scale: ClaimScale) -> None:
    spec = CLAIMS[name].study_spec(scale)
    assert spec.study == f"claim-{study_owner(CLAIMS[name])}"
    assert scale == "smoke" or len(spec.seed_list) >= 10
    assert scale == "full" or CLAIMS[name].minutes[scale] > 0


def test_there_are_claims_enough_on_the_questions_of_the_field() -> None:
    assert len(CLAIMS) >= 40
    sides = Counter(claim.contradiction for claim in CLAIMS.values() if claim.contradiction)
    assert len(sides) >= 4
    assert min(sides.values()) >= 2
    text = " ".join(claim.source for claim in CLAIMS.values())
    for number in ("2604.18811", "2606.25488", "2510.15516", "2411.12817", "2605.31191", "2604.25779"):
        assert number in text


@pytest.mark.parametrize("name", CLAIMS)
def test_smoke_needs_no_data_and_few_seeds(name: str) -> None:
    assert needed_data(CLAIMS[name], "smoke") == ()
    assert len(CLAIMS[name].study_spec("smoke").seed_list) == 2


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_claim_that_needs_no_data_can_be_planned_at_laptop_scale(name: str) -> None:
    _, planned = Study.of(CLAIMS[name].study_spec("laptop")).plan(device="cpu")
    assert planned.at_most.jobs


def test_bases_have_every_scale() -> None:
    for base in study_bases().values():
        assert set(base) == set(SCALES)


def test_verdicts_are_those_of_current_claims() -> None:
    for (name, scale), verdict in published_verdicts().items():
        assert verdict.version <= CLAIMS[name].version
        assert scale != "smoke"
        assert verdict.findings


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"verson": 1}, "demo.yaml: unknown key 'verson', did you mean 'version'?"),
        ({"version": 0}, "demo.yaml: version: 0 is not accepted (allowed: at least 1)"),
        ({"id": "Demo 1"}, "demo.yaml: id: 'Demo 1' is not accepted"),
        ({"statement": "  "}, "demo.yaml: statement: "),
        ({"base": "minst"}, "demo.yaml: base: unknown base 'minst', did you mean 'mnist'?"),
        ({"base": ""}, "demo.yaml: key 'base' is missing (or 'study_of'"),
        ({"study_of": "size-full"}, "demo.yaml: study_of takes the place of base, minutes"),
        ({"hypothesis": "C2"}, "demo.yaml: hypothesis: unknown statement 'C2'"),
        ({"decision_rule": []}, "demo.yaml: decision_rule: [] is not accepted (allowed: at least 1 entries)"),
        ({"decision_rule": [{"rule": "gian"}]}, "demo.yaml: decision_rule.0: "),
        ({"scales": {"huge": {}}}, "demo.yaml: scales.huge"),
        ({"minutes": {"laptop": -1}}, "demo.yaml: minutes.laptop: -1 is not accepted (allowed: at least 0)"),
        ({"study": {"study": "mine"}}, "demo.yaml: study.study: the claim names its study"),
    ],
    ids=str,
)
def test_mistake_in_a_file_is_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_claim(yaml.safe_dump({**GOOD, **changes}), "demo.yaml")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "nothing"])
def test_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"demo\.yaml"):
        read_claim(text, "demo.yaml")


def test_file_is_named_after_its_id_and_shares_a_known_study() -> None:
    text = yaml.safe_dump(GOOD)
    with pytest.raises(RequestError, match=r"other\.yaml: id: the file is not named after its id 'demo'"):
        claims_of({"other.yaml": text})
    shared = {key: value for key, value in GOOD.items() if key not in ("base", "minutes")}
    second = yaml.safe_dump({**shared, "id": "second", "study_of": "demo"})
    claims = claims_of({"demo.yaml": text, "second.yaml": second})
    assert claims["second"].study_values("laptop") == claims["demo"].study_values("laptop")
    with pytest.raises(RequestError, match=r"second\.yaml: study_of: unknown claim 'demo'"):
        claims_of({"second.yaml": second})


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"method": "kdd"}, "decision_rule.0: unknown method 'kdd', did you mean 'kd'?"),
        ({"at": {"sise": 5}}, "decision_rule.0: unknown factor 'sise', did you mean 'size'?"),
        ({"at": {"size": 7}}, "decision_rule.0: at: size has no level 7 (allowed: 5, 20, first, last)"),
        ({"at": {}}, "decision_rule.0: at: a level of size is missing"),
        ({"baseline": "kd"}, "decision_rule.0: unknown baseline 'kd'"),
        ({"provenance": "same"}, "decision_rule.0: unknown provenance 'same'"),
        ({"student": "resnet8"}, "decision_rule.0: unknown student 'resnet8'"),
        ({"rule": "gain_difference", "factor": "size", "level": "trend", "at": {}}, "needs three levels"),
        ({"rule": "gain_difference", "factor": "noise", "at": {}}, "decision_rule.0: "),
    ],
    ids=str,
)
def test_rule_that_the_study_cannot_answer_is_refused(rule: dict[str, Any], line: str) -> None:
    good = {"rule": "gain", "method": "kd", "at": {"size": "first"}, "expect": "positive"}
    claim = claim_of({**good, **rule})
    with pytest.raises(RequestError) as caught:
        claim.study_spec("laptop")
    assert line in str(caught.value)
    assert str(caught.value).startswith("claim planted at scale laptop: ")


def test_unknown_claim_lists_those_with_a_near_id() -> None:
    with pytest.raises(RequestError) as caught:
        find_claim("size-ful")
    assert "unknown claim 'size-ful', did you mean 'size-full'" in str(caught.value)
    with pytest.raises(RequestError) as caught:
        find_claim("budget")
    assert "budget-five-classes" in str(caught.value)
    with pytest.raises(RequestError, match="claims list"):
        find_claim("qqqqq")


def test_missing_data_name_the_claims_that_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [find_claim("noise-gain"), find_claim("small-gains"), find_claim("size-full")]
    require_data(claims, "smoke")
    with pytest.raises(RequestError) as caught:
        require_data(claims, "laptop")
    assert "corn_leaf for noise-gain; eurosat for small-gains" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "corn_leaf").mkdir()
    (tmp_path / "eurosat").mkdir()
    require_data(claims, "laptop")
    monkeypatch.delenv("DISTILLAB_DATA")
    with pytest.raises(RequestError, match="DISTILLAB_DATA is not set"):
        require_data(claims, "laptop")


def test_overrides_merge_mappings_and_replace_the_rest() -> None:
    base = {
        "data": {"source": "digits", "val": 0.2},
        "recipe": {"steps": 9, "lr": 0.1},
        "seeds": 10,
        "tune": {},
    }
    changes = {"data": {"source": "mnist5k"}, "recipe": {"steps": 4}, "seeds": 2, "tune": None}
    assert override_keys(base, changes) == {
        "data": {"source": "mnist5k"},
        "recipe": {"steps": 4, "lr": 0.1},
        "seeds": 2,
    }
    assert base["seeds"] == 10
    with pytest.raises(RequestError, match="unknown base 'mnits', did you mean 'mnist'"):
        study_at("mnits", {}, {}, "smoke")
