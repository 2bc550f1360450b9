"""Write the cards of docs/claims.md and their figures, from the claims of the package and their verdicts.

python docs/claims_page.py [--check]

What stands between ``<!-- cards -->`` and ``<!-- /cards -->`` is replaced; the verdicts are those of
``src/distillab/claims/claims.csv``, which ``distillab claims run ID --scale laptop --out DIR`` wrote as
``DIR/claims.csv``. Figures are written to docs/images/claims/. With ``--check`` nothing is written, and 1 is
returned if something would change.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from generated import DOCS, replace_block, table, write_or_check

from distillab.claims import ClaimVerdict, needed_data, published_claims, published_verdicts, study_owner
from distillab.report.page.claims import ClaimCard, claim_cards, finding_figure

PAGE = DOCS / "claims.md"
FIGURES = DOCS / "images" / "claims"
CONTRADICTIONS = {
    "gain-and-size": "Does the gain grow as data shrink, with a teacher of all data or of the same?",
    "random-or-selected": "Does it matter which images are chosen, if labels are soft?",
    "surrogate-sets": "Can images from elsewhere replace the task's own?",
    "which-teacher": "A large and full-grown teacher, or a small and young one?",
}


def files() -> dict[Path, str]:
    """Return the page and the figures of its cards."""
    cards = claim_cards(published_claims().values(), published_verdicts().values())
    text = replace_block(PAGE.read_text(), "cards", "\n".join(lines(cards)), PAGE)
    return {PAGE: text} | {
        FIGURES / figure_name(verdict, number): f"{finding_figure(finding)}\n"
        for card in cards
        for verdict in card.verdicts
        for number, finding in enumerate(verdict.findings, 1)
        if finding.estimate is not None
    }


def lines(cards: Sequence[ClaimCard]) -> Iterator[str]:
    """Yield the generated lines of the page."""
    counts = Counter(card.state for card in cards)
    states = ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
    yield f"{len(cards)} claims at laptop scale: {states}."
    yield ""
    yield "## Contradictions"
    yield ""
    rows = [
        (CONTRADICTIONS[name], f"[{card.claim.id}](#{card.claim.id}): {card.claim.statement}", card.state)
        for name in CONTRADICTIONS
        for card in cards
        if card.claim.contradiction == name
    ]
    yield table(("question", "claim", "verdict"), rows)
    yield ""
    yield "## The cards"
    for card in cards:
        yield ""
        yield from card_lines(card)


def card_lines(card: ClaimCard) -> Iterator[str]:
    """Yield the lines of the card of a claim."""
    claim = card.claim
    yield f"### {claim.id}"
    yield ""
    yield from _wrapped(f"**{claim.statement}**")
    yield ""
    hypothesis = f" Hypothesis {claim.hypothesis} of profiles." if claim.hypothesis else ""
    yield from _wrapped(f"Source: {claim.source}.{hypothesis}", "- ")
    yield from _wrapped(f"Prediction: {claim.prediction}", "- ")
    yield from _wrapped(f"Falsifier: {claim.falsifier}", "- ")
    yield from _wrapped(f"Checked first: {claim.manipulation_check}", "- ")
    for verdict in card.verdicts:
        runs = f"{verdict.dataset}, {verdict.runs} runs, {verdict.failed} failed"
        yield from _wrapped(
            f"**{_capital(verdict.verdict)}** at scale {verdict.scale} ({runs}). {verdict.because}", "- "
        )
    if not card.verdicts:
        yield "- Not run yet at laptop scale."
    yield from _wrapped(_command(card), "- ")
    for verdict in card.verdicts:
        for number, finding in enumerate(verdict.findings, 1):
            if finding.estimate is not None:
                yield ""
                yield f"![{finding.rule}: {finding.answer}](images/claims/{figure_name(verdict, number)})"


def figure_name(verdict: ClaimVerdict, number: int) -> str:
    """Return the file of the figure of a finding."""
    return f"{verdict.claim}-{verdict.scale}-{number}.svg"


def _command(card: ClaimCard) -> str:
    claim = card.claim
    minutes = math.ceil(claim.minutes["laptop"])
    text = f"`distillab claims run {claim.id} --scale laptop --out claims`, about {minutes} minutes planned"
    if claim.study_of:
        text += f", none after [{study_owner(claim)}](#{study_owner(claim)}), whose study it shares"
    data = needed_data(claim, "laptop")
    return f"{text}; data: {', '.join(data)}." if data else f"{text}; no data needed."


def _wrapped(text: str, bullet: str = "") -> list[str]:
    indent = " " * len(bullet)
    return textwrap.wrap(
        text,
        118,
        initial_indent=bullet,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and its figures, or check them."""
    return write_or_check(__doc__, files, arguments)


if __name__ == "__main__":
    sys.exit(main())
