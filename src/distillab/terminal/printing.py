"""What the command line prints about plans, runs, profiles and names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distillab.printable import counted, printable
from distillab.study.ledger import JobState
from distillab.terminal.lengths import confounded_in_plan, length_of, lengths_of_results
from distillab.terminal.progress import describe_left
from distillab.terminal.wording import ago, time_span

if TYPE_CHECKING:  # `status` prints without torch, which takes seconds to import
    from distillab.api import Finished
    from distillab.catalogue import CatalogueEntry
    from distillab.profile import Profile
    from distillab.study.folder import StudyFolder
    from distillab.study.planning.summary import PlanSummary
    from distillab.study.running.reproduce import Comparison
    from distillab.study.status import StudyStatus

MAX_FAILURES = 5
STATES = (  # in the order of the columns of `distillab status`
    JobState.DONE,
    JobState.RUNNING,
    JobState.QUEUED,
    JobState.FAILED,
    JobState.HELD,
    JobState.SPARED,
)
PIPED_WIDTH = 160  # characters per line of tables that are not printed in a terminal


def _console() -> Console:
    """Return the standard output, wide enough where it is no terminal that lines are not broken early."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, markup=False, width=PIPED_WIDTH)


def print_plan(seen: PlanSummary) -> None:
    """Print the design, its cost and its power.

    Args:
        seen: The plan in numbers.

    Example:
        >>> from distillab.study.planning.summary import PlanSummary
        >>> facts = dict(study="demo", dataset="digits", images={"train": 9, "test": 6}, image="8x8, gray")
        >>> facts |= dict(notes=(), factors={}, conditions=1, cells=2, arms=2, seeds=5, excluded=())
        >>> facts |= dict(runs={"student": 10, "teacher": 1, "outputs": 1}, reused_outputs=4, stored_bytes=9)
        >>> facts |= dict(live=0, seconds={"student": 60.0, "teacher": 9.0, "outputs": 1.0}, workers=2)
        >>> facts |= dict(wall_seconds=40.0, recipes={}, numerics={}, confidence=0.95, margin=0.005, looks=())
        >>> facts |= dict(least_students=10, least_seconds=70.0, least_wall_seconds=40.0)
        >>> print_plan(PlanSummary(**facts))
        study          demo...
        data           digits: 9 train, 6 test examples, 8x8, gray...
        design         1 condition x 2 methods x 5 seeds, 2 cells...
    """
    from distillab.modalities.views import Views

    console = _console()
    splits = ", ".join(f"{count:,} {name}" for name, count in seen.images.items())
    hours = {kind: time_span(value) for kind, value in seen.seconds.items()}
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("study", printable(seen.study))
    table.add_row("data", f"{printable(seen.dataset)}: {splits} examples, {seen.image}")
    for note in seen.notes:
        table.add_row("", printable(note))
    for factor, levels in seen.factors.items():
        table.add_row("factor", f"{factor}: {levels}")
    table.add_row(
        "design",
        f"{counted(seen.conditions, 'condition')} x {counted(seen.arms, 'method')} x {_seeds(seen)}, "
        f"{counted(seen.cells, 'cell')}",
    )
    table.add_row(
        "runs",
        f"{counted(seen.runs['student'], 'student')}, {counted(seen.runs['teacher'], 'teacher')}, "
        f"{counted(seen.runs['outputs'], 'set')} of teacher outputs "
        f"(reused {counted(seen.reused_outputs, 'time')})",
    )
    live = f"; {seen.live} students query a live teacher" if seen.live else ""
    table.add_row("", f"outputs take {seen.stored_bytes / 1e6:,.1f} MB at most{live}")
    workers = counted(seen.workers, "worker")
    table.add_row("wall time", f"about {time_span(seen.wall_seconds)} with the {workers} of this machine")
    table.add_row(
        "training time",
        f"about {time_span(sum(seen.seconds.values()))} in all workers together "
        f"(teachers {hours['teacher']}, outputs {hours['outputs']}, students {hours['student']}), "
        "from timed trials of a few seconds per model on this machine",
    )
    if seen.probes:
        share = seen.probe_seconds / max(sum(seen.seconds.values()), 1e-9)
        table.add_row(
            "probes",
            f"{seen.probes} of the students are trained for twice the steps, to see whether training is long "
            f"enough: {100 * share:.0f} % of the training time (`evidence: {{probes: 0}}` omits them)",
        )
    if seen.looks:
        table.add_row(
            "",
            f"at most; if the first interim analysis decides everything, {seen.least_students} students "
            f"and about {time_span(seen.least_wall_seconds)} of wall time "
            f"(interim analyses at {', '.join(map(str, seen.looks))} seeds)",
        )
    table.add_row("power", _power(seen))
    for size, recipe in seen.recipes.items():
        table.add_row(
            "recipe",
            f"{size:,} examples: {length_of(seen, size, recipe)} of {recipe['batch_size']}, "
            f"{recipe['optimiser']} lr {recipe['lr']:g} {recipe['schedule']}, "
            f"views {Views.read(recipe['views'], recipe['pad']).label}",
        )
    for sentence in confounded_in_plan(seen):
        table.add_row("", sentence)
    for model, choice in seen.numerics.items():
        table.add_row("numerics", f"{model}: {choice}")
    for reason in seen.excluded:
        table.add_row("excluded", reason)
    console.print(table)


def _seeds(seen: PlanSummary) -> str:
    return f"{seen.looks[0]} to {seen.looks[-1]} seeds" if seen.looks else counted(seen.seeds, "seed")


def _power(seen: PlanSummary) -> str:
    from distillab.evidence.power import detectable_effect
    from distillab.evidence.sequential import look_plan
    from distillab.study.spec.seeds import LEAST_PAIRS

    pairs = seen.seeds
    if pairs < LEAST_PAIRS:
        return f"{pairs} pair{'s' if pairs > 1 else ''} per comparison: no verdict below {LEAST_PAIRS} pairs"
    if seen.looks:
        looks = look_plan(seen.looks, seen.confidence)
        first, last = (
            f"{look.seeds} pairs find a gain of "
            f"{100 * (seen.margin + detectable_effect(look.seeds, 0.01, alpha=1 - look.confidence)):.1f}"
            for look in (looks[0], looks[-1])
        )
        return (
            f"{first} and {last} points with a power of 80 %, at the confidence levels of their looks, "
            "if gains differ between seeds by 1 point (sd)"
        )
    found = 100 * (seen.margin + detectable_effect(pairs, 0.01, alpha=1 - seen.confidence))
    return (
        f"{pairs} pairs find a gain of {found:.1f} points with a power of 80 %, "
        "if gains differ between seeds by 1 point (sd)"
    )


def print_numerics(folder: StudyFolder) -> None:
    """Print the numerics of each network, if progress is shown in a terminal.

    Args:
        folder: The study.

    Example:
        >>> import tempfile
        >>> from distillab.study.folder import StudyFolder
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> print_numerics(folder)
    """
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal:
        for model, choice in folder.numerics.items():
            console.print(f"{model}: {choice}")


def print_outcome(finished: Finished) -> None:
    """Print how the runs ended and where the report is. What scripts need is in the tables.

    Args:
        finished: What the run left behind.

    Example:
        >>> from distillab.api import Finished
        >>> from distillab.evidence.results import Tables
        >>> from distillab.study.folder import StudyFolder
        >>> from distillab.study.running import Outcome
        >>> outcome = Outcome(done=8, failed=0, excluded=2, open=0, failures=())
        >>> print_outcome(Finished(StudyFolder(Path("runs/demo")), outcome, Tables([], [])))
        8 runs done, 0 failed, 2 excluded
        report: runs/demo/report.html
    """
    ended = finished.outcome
    parts = [f"{ended.done} runs done", f"{ended.failed} failed"]
    if ended.excluded:
        parts.append(f"{ended.excluded} excluded")
    if ended.spared:
        parts.append(f"{ended.spared} not needed")
    if ended.held:
        parts.append(f"{ended.held} waiting for an interim analysis")
    if ended.open:
        parts.append(f"{ended.open} still open")
    typer.echo(", ".join(parts))
    for sentence in lengths_of_results(finished):
        typer.echo(sentence)
    if not ended.runs.finished:
        typer.echo(f"so far: {ended.runs.text}")
    for failure in ended.failures[:MAX_FAILURES]:
        typer.echo(f"failed: {failure.kind} {failure.id}: {printable(failure.error)}", err=True)
    if len(ended.failures) > MAX_FAILURES:
        typer.echo(f"... and {len(ended.failures) - MAX_FAILURES} more, all in the report", err=True)
    typer.echo(f"report: {printable(str(finished.report))}")


def print_status(found: StudyStatus, now: float) -> None:
    """Print the number of jobs by kind and state, the time left, the last finished job and the failures.

    Args:
        found: The status.
        now: Seconds since the epoch.

    Example:
        >>> from distillab.study.status import StudyStatus
        >>> print_status(StudyStatus("demo", {"student": {JobState.DONE: 4}}, 1.0, {"student": 9.5}, ()), 0.0)
        demo: 100 % of the work done...
        nothing left to run; 0:00:10 of training time so far
    """
    console = _console()
    # A title given as a string is read as markup, whatever the console says.
    title = Text(f"{printable(found.study)}: {100 * found.share_done:.0f} % of the work done")
    table = Table(title=title, title_justify="left")
    table.add_column("job")
    used = {state for counts in found.jobs.values() for state in counts}
    states = [state for state in STATES if state in used or not state.is_withheld]
    for state in states:
        table.add_column(state, justify="right")
    for kind in ("teacher", "outputs", "student"):
        counts = found.jobs.get(kind, {})
        if counts:
            table.add_row(kind, *(str(counts.get(state, 0)) for state in states))
    console.print(table)
    if not found.runs.finished:
        console.print(f"so far: {found.runs.text}")
    console.print(f"{describe_left(found)}; {time_span(sum(found.seconds.values()))} of training time so far")
    if (last := found.last_finished) is not None:
        what = f" ({printable(last.what)})" if last.what else ""
        console.print(f"last finished: {last.kind} {last.id}{what}, {last.state} {ago(now - last.at)}")
    for reason in found.reasons:
        console.print(printable(str(reason)), soft_wrap=True)


def print_profile(found: Profile, page: Path | None = None) -> None:
    """Print the alarms, then every measure with its interval, sample and cost.

    Args:
        found: The profile.
        page: Its page, if one was written.

    Example:
        >>> from distillab.profile import Profile
        >>> print_profile(Profile("digits", "c0ffee", (1, 8, 8), 1797, "patches", (), {"reading": 0.2}, 0.5))
        digits: 1,797 examples, 8x8, 1 channel(s)
        <BLANKLINE>
        0.5 s of wall time; shared by several measures: reading 0.2
    """
    from distillab.profile.wording import format_interval, format_value

    console = _console()
    channels, height, width = found.shape
    console.print(
        f"{printable(found.dataset)}: {found.images:,} examples, {width}x{height}, {channels} channel(s)"
    )
    for alarm in found.alarms:
        console.print(f"! {printable(alarm)}")
    for family in found.families:
        table = Table(title=f"\n{family.title}", title_justify="left", box=None, padding=(0, 2, 0, 0))
        table.add_column("", ratio=5)
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("95 % interval", no_wrap=True)
        table.add_column("n", justify="right", no_wrap=True)
        table.add_column("wall s", justify="right", no_wrap=True)
        table.add_column("for distillation", ratio=9)
        for each in family.measures:
            mark = "! " if each.alarm else ""
            claims = f" [{', '.join(each.claims)}]" if each.claims else ""
            table.add_row(
                mark + each.label,
                format_value(each.value, each.unit),
                format_interval(each),
                f"{each.n:,}",
                f"{each.seconds:.1f}",
                each.means + claims,
            )
        console.print(table)
        for note in family.notes:
            console.print(printable(note))
    shared = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found.shared.items())
    console.print(f"\n{found.seconds:.1f} s of wall time; shared by several measures: {shared}")
    if found.claims:
        from distillab.profile.claims import CLAIMS

        where = "with statements and sources in docs/claims.md" + (" and on the page" if page else "")
        console.print(f"\npublished claims, {where}:", soft_wrap=True)
        for claim in (CLAIMS[key] for key in found.claims):
            console.print(f"{claim.key}: {claim.title} ({claim.source})", soft_wrap=True)
    if page is not None:
        console.print(f"page: {printable(str(page))}", soft_wrap=True)


def print_catalogue(what: str, entries: Sequence[CatalogueEntry]) -> None:
    """Print names with one line each.

    Args:
        what: What they are names of, the header of the table.
        entries: The names.

    Example:
        >>> from distillab.catalogue import CatalogueEntry
        >>> print_catalogue("model", [CatalogueEntry("resnet8", "CIFAR ResNet, depth 8")])
        model...
        resnet8  CIFAR ResNet, depth 8...
    """
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(what)
    table.add_column("")
    for entry in entries:
        details = entry.details
        about = entry.about + (f" [{details['paper']}]" if details.get("paper") else "")
        keys = details.get("keys") or [f"{key}={value}" for key, value in details.get("config", {}).items()]
        table.add_row(entry.name, about + (f"\n{', '.join(keys)}" if keys else ""))
    _console().print(table)


def print_comparison(comparison: Comparison) -> None:
    """Print a repeated run beside the stored one.

    Args:
        comparison: The scores of both, and how far their logits differ.

    Example:
        >>> from distillab.study.running.reproduce import Comparison
        >>> print_comparison(Comparison("8f0c", {"test": 0.9}, {"test": 0.9}, difference=0.0))
        test: accuracy 0.900000 stored, 0.900000 now
        logits agree to the bit
    """
    for name, before in comparison.accuracy_before.items():
        now = comparison.accuracy_now[name]
        typer.echo(f"{name}: accuracy {before:.6f} stored, {now:.6f} now")
    same = "to the bit" if comparison.difference == 0 else f"up to {comparison.difference:.3g}"
    typer.echo(
        f"logits agree {same}"
        if comparison.agrees
        else f"the numbers differ (logits by {comparison.difference:.3g})"
    )
