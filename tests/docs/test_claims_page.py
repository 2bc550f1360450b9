"""The page of claims agrees with the claims of the package and their verdicts."""

from __future__ import annotations

import claims_page

from distillab.claims import published_claims, published_verdicts


def test_page_and_figures_are_up_to_date() -> None:
    assert claims_page.main(["--check"]) == 0


def test_every_claim_has_a_card_with_its_command() -> None:
    text = claims_page.PAGE.read_text()
    for name in published_claims():
        assert f"\n### {name}\n" in text
        assert f"distillab claims run {name} --scale laptop --out claims" in text


def test_every_contradiction_has_a_question() -> None:
    named = {claim.contradiction for claim in published_claims().values() if claim.contradiction}
    assert named == set(claims_page.CONTRADICTIONS)


def test_figures_are_those_of_verdicts() -> None:
    known = {
        claims_page.figure_name(verdict, number)
        for verdict in published_verdicts().values()
        for number in range(1, len(verdict.findings) + 1)
    }
    assert {path.name for path in claims_page.FIGURES.glob("*.svg")} <= known
