"""What ``verify`` and ``repair`` print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from distillab.printable import counted, printable

if TYPE_CHECKING:
    from distillab.study.running.repair import Repaired
    from distillab.study.running.verification import FolderCheck


def print_verification(found: FolderCheck) -> None:
    """Print what is damaged, and how many artifacts and files are sound, unverified and damaged.

    Args:
        found: What a check of a study found.

    Example:
        >>> from distillab.study.running.verification import FileState, Finding, FolderCheck
        >>> print_verification(FolderCheck((Finding("ledger.sqlite", FileState.SOUND),)))
        1 sound, 0 unverified, 0 damaged
    """
    for finding in found.findings:
        if finding.what:
            typer.echo(printable(finding.what))
    typer.echo(", ".join(f"{number} {state}" for state, number in found.counts.items()))
    if found.counts["unverified"]:
        typer.echo("unverified: written by a version without digests, and only checked for being there")


def print_repaired(done: Repaired, folder: Path) -> None:
    """Print what a repair did, and what to run next.

    Args:
        done: What it did.
        folder: The study's folder.

    Example:
        >>> from distillab.study.running.repair import Repaired
        >>> print_repaired(Repaired(None, jobs=8, done=7, damaged=()), Path("runs/demo"))
        a new ledger of 8 jobs, of which 7 are done; `distillab run` with --out runs/demo goes on
    """
    for sentence in done.damaged:
        typer.echo(printable(f"removed, to be made again: {sentence}"))
    if done.kept is not None:
        typer.echo(printable(f"the ledger that was there is kept as {done.kept}"))
    typer.echo(
        printable(
            f"a new ledger of {counted(done.jobs, 'job')}, of which {done.done} are done; "
            f"`distillab run` with --out {folder} goes on"
        )
    )
