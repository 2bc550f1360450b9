"""What the command line prints about a selftest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from distillab.printable import counted
from distillab.terminal.console import make_console
from distillab.terminal.wording import time_span

if TYPE_CHECKING:
    from distillab.selftest import SelfTest


def print_selftest(found: SelfTest) -> None:
    """Print the table of a selftest, and whether all of it passes.

    Args:
        found: What it found.

    Example:
        >>> from distillab.selftest import LabSize, Line, SelfTest
        >>> line = Line("coverage", 5, "one", studies=4000, share=0.952, least=0.93)
        >>> print_selftest(SelfTest((line,), LabSize(), reduced=False))
        check     pairs  teachers         share  required...
        coverage      5       one  95.2 % ± 0.3  at least 93 %  pass...
        166 networks, 4,000 studies per line, 0:00:00
        all 1 lines pass
    """
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("check", "pairs", "teachers", "share", "required", ""):
        table.add_column(name, justify="left" if name in ("check", "required", "") else "right")
    for line in found.lines:
        least, most = f"{100 * line.least:g}", f"{100 * line.most:g}"
        table.add_row(
            line.check,
            str(line.pairs),
            line.teachers,
            f"{100 * line.share:.1f} % ± {100 * line.error:.1f}",
            f"at least {least} %" if line.most == 1 else f"{least} to {most} %",
            "pass" if line.passed else "FAIL",
        )
    make_console().print(table)
    typer.echo(
        f"{counted(found.size.networks, 'network')}, {found.size.studies:,} studies per line, "
        f"{time_span(found.seconds)}"
    )
    if found.reduced:
        typer.echo(
            "reduced: with so few networks and studies, lines pass within two standard errors of what is "
            "required"
        )
    failed = sum(not line.passed for line in found.lines)
    typer.echo(
        f"{failed} of {len(found.lines)} lines fail" if failed else f"all {len(found.lines)} lines pass"
    )
