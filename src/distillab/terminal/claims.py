"""What the command line prints about claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer
import yaml
from rich.table import Table

from distillab.printable import printable
from distillab.terminal.console import make_console

if TYPE_CHECKING:
    from distillab.claims import ClaimScale, ClaimSpec, ClaimVerdict


def print_claims(
    claims: Sequence[ClaimSpec], verdicts: Mapping[tuple[str, ClaimScale], ClaimVerdict]
) -> None:
    """Print a table of claims with their verdicts at laptop scale.

    Args:
        claims: The claims.
        verdicts: Their verdicts, by id and scale.

    Example:
        >>> from distillab.claims import find_claim
        >>> print_claims([find_claim("size-full")], {})
        claim... statement... verdict... minutes...
        size-full... The gain of distillation grows...
        1 claims at scale laptop: 1 not run yet
    """
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("claim", "statement", "verdict", "minutes"):
        table.add_column(name, justify="right" if name == "minutes" else "left")
    shown = {claim.id: _verdict_of(claim, verdicts) for claim in claims}
    for claim in claims:
        minutes = f"{claim.minutes.get('laptop', 0):.0f}"
        table.add_row(claim.id, printable(claim.statement), shown[claim.id], minutes)
    make_console().print(table)
    counts = ", ".join(f"{number} {answer}" for answer, number in sorted(Counter(shown.values()).items()))
    typer.echo(f"{len(claims)} claims at scale laptop: {counts}")


def print_claim(claim: ClaimSpec, scale: ClaimScale, verdicts: Sequence[ClaimVerdict]) -> None:
    """Print a claim with its study at a scale, and its verdicts.

    Args:
        claim: The claim.
        scale: The scale of the study that is shown.
        verdicts: Its verdicts.

    Example:
        >>> from distillab.claims import find_claim
        >>> print_claim(find_claim("size-full"), "smoke", [])
        size-full (version 1)
        The gain of distillation grows as the training set shrinks.
        source: arXiv 2510.15516...
    """
    lines = [
        f"{claim.id} (version {claim.version})",
        claim.statement,
        f"source: {claim.source}",
        f"prediction: {claim.prediction}",
        f"falsifier: {claim.falsifier}",
        f"manipulation check: {claim.manipulation_check}",
        *(f"decision rule: {rule.text}" for rule in claim.decision_rule),
        f"minutes planned: {', '.join(f'{name} {value:g}' for name, value in claim.minutes.items())}",
    ]
    lines += [f"verdict at scale {each.scale}: {each.verdict}. {each.because}" for each in verdicts]
    typer.echo(printable("\n".join(lines), keep="\n"))
    typer.echo(f"study at scale {scale}:")
    typer.echo(yaml.safe_dump(dict(claim.study_values(scale)), sort_keys=False, allow_unicode=True))


def print_verdict(verdict: ClaimVerdict) -> None:
    """Print the verdict on a claim in one line per finding.

    Args:
        verdict: The verdict.

    Example:
        >>> from distillab.claims import ClaimVerdict
        >>> print_verdict(ClaimVerdict("demo", 1, "laptop", "refuted", "Kd gains nothing."))
        demo: refuted at scale laptop. Kd gains nothing.
    """
    typer.echo(printable(f"{verdict.claim}: {verdict.verdict} at scale {verdict.scale}. {verdict.because}"))


def _verdict_of(claim: ClaimSpec, verdicts: Mapping[tuple[str, ClaimScale], ClaimVerdict]) -> str:
    held = verdicts.get((claim.id, "laptop"))
    return held.verdict if held and held.version == claim.version else "not run yet"
