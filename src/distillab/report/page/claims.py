"""The page of claims: a card for each, with its verdicts, and its figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from markupsafe import Markup, escape

from distillab.claims import SCALES, ClaimSpec, ClaimVerdict, RuleFinding
from distillab.printable import printable
from distillab.report.page.assets import asset, shared_environment, write_page
from distillab.report.page.figures import script_json
from distillab.report.page.palette import SHADES, dark_shades

WIDTH, HEIGHT, PAD = 420, 64, 14
_COLORS = {"supported": "#2a7a4b", "refuted": "#b3402a", "undecided": "#6b6b6b"}


@dataclass(frozen=True)
class ClaimCard:
    """A claim with its verdicts, the largest scale first, smoke left out.

    Attributes:
        claim: The claim.
        verdicts: Its verdicts.
    """

    claim: ClaimSpec
    verdicts: tuple[ClaimVerdict, ...]

    @property
    def state(self) -> str:
        """The verdict at the largest scale, or ``not run``."""
        return self.verdicts[0].verdict if self.verdicts else "not run"


def claim_cards(claims: Iterable[ClaimSpec], verdicts: Iterable[ClaimVerdict]) -> list[ClaimCard]:
    """Return the cards of claims: those of a contradiction together, then the others by id.

    Verdicts on other versions of a claim are left out.
    """
    by_claim: dict[str, list[ClaimVerdict]] = {}
    for verdict in sorted(verdicts, key=lambda each: -SCALES.index(each.scale)):
        by_claim.setdefault(verdict.claim, []).append(verdict)
    cards = [
        ClaimCard(
            claim,
            tuple(
                each
                for each in by_claim.get(claim.id, [])
                if each.scale != "smoke" and each.version == claim.version
            ),
        )
        for claim in claims
    ]
    return sorted(cards, key=lambda card: (card.claim.contradiction or "~", card.claim.id))


def render_claims(claims: Sequence[ClaimSpec], verdicts: Iterable[ClaimVerdict]) -> str:
    """Return the claims as one HTML document that loads nothing from the network."""
    cards = claim_cards(claims, verdicts)
    states = [card.state for card in cards]
    counts = {state: states.count(state) for state in dict.fromkeys(sorted(states))}
    context = {
        "cards": cards,
        "counts": counts,
        "figure": finding_figure,
        "version": metadata.version("distillab"),
        "shades": SHADES,
        "css": asset("style.css"),
        "js": asset("page.js"),
        "dark_shades": Markup(script_json(dark_shades())),
    }
    return shared_environment().get_template("claims.html.j2").render(context)


def write_claims_page(claims: Sequence[ClaimSpec], verdicts: Iterable[ClaimVerdict], path: Path) -> None:
    """Write the page completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    write_page(render_claims(claims, verdicts), path)


def finding_figure(finding: RuleFinding) -> Markup:
    """Return the figure of a finding as SVG: the estimate with its interval, on what the rule expects.

    The result is empty if nothing was measured.
    """
    if finding.estimate is None:
        return Markup("")
    scale = 1.0 if finding.unit == "nats" else 100.0
    numbers = [finding.estimate, finding.low, finding.high, finding.least, finding.most, finding.margin]
    ends = [scale * each for each in numbers if each is not None]
    if finding.margin is not None:
        ends += [-scale * finding.margin, 0.0]
    low, high = min(ends), max(ends)
    room = 0.12 * (high - low) or 1.0
    low, high = low - room, high + room

    def place(value: float) -> float:
        return round(PAD + (min(max(value, low), high) - low) / (high - low) * (WIDTH - 2 * PAD), 1)

    least = place(-math.inf if finding.least is None else scale * finding.least)
    most = place(math.inf if finding.most is None else scale * finding.most)
    parts = [
        f'<rect x="{least}" y="8" width="{round(most - least, 1)}" height="28" fill="#2a7a4b"'
        ' opacity="0.14"/>'
    ]
    if low < 0 < high:
        parts.append(f'<line x1="{place(0)}" x2="{place(0)}" y1="4" y2="40" stroke="#888" stroke-width="1"/>')
    color = _COLORS[finding.answer]
    if finding.low is not None and finding.high is not None:
        span = f'x1="{place(scale * finding.low)}" x2="{place(scale * finding.high)}"'
        parts.append(f'<line {span} y1="22" y2="22" stroke="{color}" stroke-width="3"/>')
    parts.append(f'<circle cx="{place(scale * finding.estimate)}" cy="22" r="5" fill="{color}"/>')
    parts += [
        f'<text x="{place(value)}" y="54" text-anchor="middle">{_tick(value)}</text>'
        for value in _ticks(low, high)
    ]
    label = escape(printable(f"{finding.rule}: {finding.answer}, {finding.measured}"))
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="sans-serif" font-size="11" fill="#666">'
        f"<title>{label}</title>{''.join(parts)}</svg>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return three to seven round numbers within the ends of an axis."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _tick(value: float) -> str:
    return f"{value:.10g}" if abs(value) > 1e-9 else "0"
