"""What the command line prints about runs, profiles and names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distillab.printable import counted, printable
from distillab.study.ledger import JobState
from distillab.terminal.console import make_console
from distillab.terminal.lengths import lengths_of_results
from distillab.terminal.progress import describe_left
from distillab.terminal.wording import ago, time_span

if TYPE_CHECKING:  # `status` prints without torch, which takes seconds to import
    from distillab.api import Finished
    from distillab.catalogue import CatalogueEntry
    from distillab.profile import Profile
    from distillab.study.folder import StudyFolder
    from distillab.study.running.reproduce import Comparison
    from distillab.study.status import StudyStatus

MAX_FAILURES = 5
GIVEN_TEACHER = "The given teacher"
MOST_FINDINGS = 3  # as on the first screen of the report
MOST_CHOICES = 3
STATES = (  # in the order of the columns of `distillab status`
    JobState.DONE,
    JobState.RUNNING,
    JobState.QUEUED,
    JobState.FAILED,
    JobState.HELD,
    JobState.SPARED,
)


def print_begun(folder: StudyFolder) -> None:
    """Print what was found damaged and what a given teacher is worth; in a terminal also the numerics.

    Args:
        folder: The study.

    Example:
        >>> import tempfile
        >>> from distillab.study.folder import StudyFolder
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> notes = '["The given teacher onnx has accuracy 0.900 on 300 val examples."]'
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo", "notes": notes}, jobs=[], conditions=[], cells=[])
        >>> print_begun(folder)
        The given teacher onnx has accuracy 0.900 on 300 val examples.
    """
    for notice in folder.notices:
        typer.echo(printable(notice), err=True)
    notes = folder.network_notes
    if any(note.startswith(GIVEN_TEACHER) for note in notes):
        for note in notes:
            typer.echo(printable(note))
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal:
        for model, choice in folder.numerics.items():
            console.print(f"{model}: {choice}")


def _leads(finished: Finished) -> tuple[str, ...]:
    """Return which of several students exceed their teacher."""
    rows = finished.tables.headline.against_teacher
    if not rows:
        return ()
    from distillab.evidence.against_teacher import lead_sentences

    return lead_sentences(rows, finished.folder.spec.task_config())


def _choices(finished: Finished) -> tuple[str, ...]:
    """Return which student of which teacher was chosen on val; nothing where conditions are many."""
    rows = finished.tables.headline.selection
    if not rows:
        return ()
    from distillab.evidence.selection import choice_sentences

    task = finished.folder.spec.task_config()
    metric = task.metrics[task.primary]
    chosen = choice_sentences(rows, metric, margin=metric.margin_for(finished.folder.spec.evidence.margin))
    return chosen if len(chosen) <= MOST_CHOICES else ()


def print_outcome(finished: Finished) -> None:
    """Print the answer in words, how the runs ended, and where the report is.

    What scripts need is in the tables.

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
    ended, answer = finished.outcome, finished.answer
    harms = [f"Harm: {sentence}" for sentence in answer.harms]
    leads = _leads(finished)
    findings = [
        answer.headline,
        *harms,
        *answer.sentences[:MOST_FINDINGS],
        *leads,
        *answer.differences,
        *_choices(finished),
    ]
    conditions = [*lengths_of_results(finished), answer.settings, answer.estimand]
    for sentence in filter(None, [*findings, *conditions]):
        typer.echo(printable(sentence))
    parts = [ended.done_text, f"{ended.failed} failed"]
    others = {
        "excluded": ended.excluded,
        "not needed": ended.spared,
        "waiting for an interim analysis": ended.held,
        "still open": ended.open,
    }
    parts += [f"{number} {what}" for what, number in others.items() if number]
    typer.echo(", ".join(parts))
    if finished.reused:
        typer.echo(f"taken from other studies: {counted(finished.reused, 'trained network')}")
    for sentence in finished.made_again:
        typer.echo(printable(f"Made again: {sentence}."), err=True)
    if not ended.runs.finished:
        typer.echo(f"so far: {ended.runs.text}")
    for failure in ended.failures[:MAX_FAILURES]:
        typer.echo(f"failed: {failure.kind} {failure.id}: {printable(failure.error)}", err=True)
    if len(ended.failures) > MAX_FAILURES:
        typer.echo(f"... and {len(ended.failures) - MAX_FAILURES} more, all in the report", err=True)
    if finished.tracked:
        typer.echo(f"tracked: {printable(str(finished.tracked))}")
    if finished.files:
        more = f" and {len(finished.files) - 1} more" if len(finished.files) > 1 else ""
        typer.echo(f"written: {printable(str(finished.files[0]))}{more}")
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
    console = make_console()
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
    if found.tuning and found.tuning.text:
        console.print(f"{found.tuning.text}; those under the chosen settings are not planned yet")
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
        digits: 1,797 images, 8x8 gray
        <BLANKLINE>
        0.5 s of wall time; shared by several measures: reading 0.2
    """
    from distillab.profile.wording import format_interval, format_value

    console = make_console()
    console.print(f"{printable(found.dataset)}: {found.described}")
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
        console.print(table if family.measures else f"\n[i]{family.title}[/i]")
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
    make_console().print(table)


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
        typer.echo(f"{printable(name)}: {comparison.metric} {before:.6f} stored, {now:.6f} now")
    same = "to the bit" if comparison.difference == 0 else f"up to {comparison.difference:.3g}"
    typer.echo(
        f"logits agree {same}"
        if comparison.agrees
        else f"the numbers differ (logits by {comparison.difference:.3g})"
    )
