"""What the command line prints about a compression: what to ship first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from math import isfinite
from typing import TYPE_CHECKING

from rich.table import Table

from distillab.printable import printable
from distillab.terminal.console import make_console
from distillab.terminal.progress import load_progress
from distillab.terminal.wording import time_span

if TYPE_CHECKING:
    from distillab.deploy.compression.result import Compressed


def print_compression(found: Compressed) -> None:
    """Print what to ship, the sentences behind it, all arms, and distilled against plain fine-tuning.

    Args:
        found: The compression.
    """
    console = make_console()
    console.print(printable(found.headline), soft_wrap=True)
    for sentence in found.sentences:
        console.print(printable(f"- {sentence}"), soft_wrap=True)
    if found.failed:
        console.print(f"! {found.failed} runs of fine-tuning failed", soft_wrap=True)
    console.print(_arms(found))
    console.print(_recovery(found))
    console.print()
    if found.model is not None:
        console.print(printable(f"model: {found.model}"), soft_wrap=True)
    console.print(printable(f"page: {found.report} ({time_span(found.seconds)})"), soft_wrap=True)


def _arms(found: Compressed) -> Table:
    table = Table(title="\narms (* on the front, chosen on val)", title_justify="left", box=None)
    for name in ("arm", "val, %", "test, %", "difference", "KB", "gzip", "x smaller", "MACs", "p50, ms"):
        table.add_column(name, justify="left" if name == "arm" else "right", no_wrap=name != "arm")
    for arm in found.arms:
        cost = arm.cost
        assert cost is not None
        table.add_row(
            printable(arm.label) + (" *" if arm.on_front else ""),
            f"{100 * arm.val:.1f}",
            f"{100 * arm.test:.1f}",
            found.change_text(arm).replace(" points", "") if not arm.is_given else "",
            f"{cost.size / 1000:,.1f}",
            f"{cost.gzip_size / 1000:,.1f}",
            f"{found.ratio(arm):.2f}",
            f"{cost.macs:,}",
            f"{cost.p50_ms:.3f}",
        )
    return table


def _recovery(found: Compressed) -> Table:
    table = Table(
        title="\ndistilled less plain fine-tuning of the same weights", title_justify="left", box=None
    )
    for name in ("pruned", "after", "plain, %", "distilled, %", "gain", "interval", "pairs", "verdict"):
        table.add_column(name, justify="left" if name in ("pruned", "after", "verdict") else "right")
    for each in found.recovery:
        table.add_row(
            f"{100 * each.sparsity:.3g} % {each.kind}" if each.kind else "not pruned",
            each.after or "-",
            f"{100 * each.plain:.1f}",
            f"{100 * each.distilled:.1f}",
            f"{100 * each.gain:+.1f}",
            f"{100 * each.ci_low:+.1f} to {100 * each.ci_high:+.1f}" if isfinite(each.ci_low) else "-",
            str(each.n_pairs),
            each.verdict,
        )
    return table


@contextlib.contextmanager
def compression_progress() -> Iterator[Callable[[str, float], None]]:
    """Show what a compression is doing, and the share of it that is finished."""
    with load_progress() as progress:
        yield lambda stage, share: progress(stage, round(100 * share), 100)
