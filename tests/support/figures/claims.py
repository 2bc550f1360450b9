"""The figures of the cards of docs/claims.md, which follow from the claims and their table of verdicts."""

from __future__ import annotations

from collections.abc import Iterator

import claims_page
from generated import block

from distillab.claims import published_claims, published_verdicts


def fragments() -> Iterator[str]:
    """Yield the generated paragraphs of the page."""
    cards = claims_page.claim_cards(published_claims().values(), published_verdicts().values())
    generated = "\n".join(claims_page.lines(cards))
    assert generated.strip() == block(claims_page.PAGE.read_text(), "cards").strip()
    yield from (part for part in generated.replace("\n- ", "\n\n- ").split("\n\n"))
