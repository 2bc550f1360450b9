"""The verb ``distillab claims``: list, show, run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillab.errors import RequestError
from distillab.printable import printable_json

if TYPE_CHECKING:
    from distillab.claims import ClaimSpec, ClaimVerdict

claims_app = typer.Typer(no_args_is_help=True, help="Published statements as studies, and their verdicts.")

ClaimScaleName = Annotated[str, typer.Option("--scale", metavar="SCALE", help="smoke, laptop or full.")]
ClaimsAsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@claims_app.command(name="list")
def list_claims(as_json: ClaimsAsJson = False) -> None:
    """List the claims with their verdicts at laptop scale."""
    from distillab.claims import needed_data, published_claims, published_verdicts
    from distillab.terminal.claims import print_claims

    claims, verdicts = list(published_claims().values()), published_verdicts()
    if not as_json:
        print_claims(claims, verdicts)
        return
    entries = []
    for claim in claims:
        held = verdicts.get((claim.id, "laptop"))
        known = {"verdict": held.verdict if held and held.version == claim.version else None}
        needs = {scale: list(needed_data(claim, scale)) for scale in claim.minutes}
        keys = ("id", "version", "statement", "source", "hypothesis", "contradiction", "study_of", "minutes")
        entries.append({key: getattr(claim, key) for key in keys} | known | {"data": needs})
    _print(entries)


@claims_app.command(name="show")
def show_claim(
    claim: Annotated[str, typer.Argument(metavar="ID", help="The id of a claim.")],
    scale: ClaimScaleName = "laptop",
    as_json: ClaimsAsJson = False,
) -> None:
    """Show a claim: statement, source, prediction, falsifier, rule, study, verdicts."""
    from distillab.claims import find_claim, published_verdicts, scale_named
    from distillab.terminal.claims import print_claim

    found, chosen = find_claim(claim), scale_named(scale)
    verdicts = [each for (name, _), each in published_verdicts().items() if name == found.id]
    if as_json:
        _print({**found.as_dict(chosen), "verdicts": [each.as_dict() for each in verdicts]})
    else:
        print_claim(found, chosen, verdicts)


@claims_app.command(name="run")
def run_claims_command(
    claims: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of claims.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All claims, the cheapest first.")] = False,
    scale: ClaimScaleName = "smoke",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep studies, verdicts and a page there, and resume from it."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    as_json: ClaimsAsJson = False,
) -> None:
    """Run the studies of claims and print the verdicts. At scale smoke only to see that they run."""
    from distillab.forkserver import prepare_workers

    if bool(claims) == every:
        raise RequestError(
            "name claims, or all of them",
            where="claims run",
            allowed="ids that `claims list` shows, or --all",
        )
    if scale != "smoke":
        prepare_workers()
    from distillab.api import run_claims
    from distillab.terminal import run_progress
    from distillab.terminal.claims import print_verdict

    def on_verdict(verdict: ClaimVerdict) -> None:
        if not as_json:
            print_verdict(verdict)

    def on_start(claim: ClaimSpec) -> None:
        if not as_json and scale != "smoke":
            minutes = claim.minutes.get(scale, 0.0)  # type: ignore[call-overload]
            typer.echo(f"{claim.id}: about {minutes:.0f} minutes planned for two workers", err=True)

    with run_progress() as on_progress:
        verdicts = run_claims(
            None if every else claims,
            scale=scale,
            out=out,
            workers=workers,
            retry_failed=retry_failed,
            on_start=on_start,
            on_verdict=on_verdict,
            on_progress=None if scale == "smoke" else on_progress,
            on_begin=None if scale == "smoke" else on_progress.begin,
        )
    if as_json:
        values = [each.as_dict() for each in verdicts]
        _print(values[0] if len(values) == 1 and not every else values)
    raise typer.Exit(1 if any(each.failed or not each.complete for each in verdicts) else 0)


def _print(value: object) -> None:
    typer.echo(printable_json(value))
