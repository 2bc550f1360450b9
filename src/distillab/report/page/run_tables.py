"""The tables of teachers, runs, checks and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from distillab.evidence.pairs import FACTOR, Row, factor_columns
from distillab.report.contents.cost import MethodCost
from distillab.report.contents.gains import Number
from distillab.report.contents.pictures import Check
from distillab.report.contents.place import Naming
from distillab.report.contents.report import ReportContents
from distillab.report.contents.runs import Run, TeacherView
from distillab.report.page import wording
from distillab.report.page.table import Column, Table, TableCell, count_cell, number_cell, whole_cell
from distillab.tasks import Metric, Task

# Runs that need attention come first, those that were not needed last.
RUN_ORDER = ("failed", "excluded", "running", "queued", "held", "done", "spared")
ROWS_SHOWN = 3000  # of the runs table; the rest is in results.parquet, and the page says so


def _metric_cell(measures: Mapping[str, Number], metric: Metric) -> TableCell:
    value = measures.get(metric.name)
    return number_cell(wording.scaled(value, metric), value)


def teachers_table(teachers: Sequence[TeacherView], task: Task) -> Table:
    """Return one row per teacher: its primary metric and its calibration."""
    shown = [
        name for name in task.metrics if name == task.primary or task.metrics[name].kind == "calibration"
    ]
    metrics = [task.metrics[name] for name in shown if any(name in teacher.measures for teacher in teachers)]
    columns = (
        Column("Teacher"),
        Column("Trained on"),
        Column("Provenance"),
        Column("Dataset"),
        Column("Seed", True),
        *(Column(wording.heading(metric), True) for metric in metrics),
        Column("Training", True),
    )
    rows = tuple(
        (
            TableCell(t.name),
            TableCell(t.trained_on or wording.DASH),
            TableCell(t.provenance or wording.DASH),
            TableCell(t.dataset),
            count_cell(t.seed),
            *(_metric_cell(t.measures, metric) for metric in metrics),
            number_cell(wording.duration(t.seconds), t.seconds),
        )
        for t in teachers
    )
    return Table("teachers-table", "All teachers, evaluated on the primary test set", columns, rows)


def teachers_tables(contents: ReportContents, task: Task) -> list[Table]:
    """Return the tables of teachers, and of students against them, by alignment and as chosen on val."""
    every = (
        teachers_table(contents.teachers, task),
        against_teacher_table(contents.against_teacher, task),
        alignment_table(contents.alignment),
        selection_table(contents.selection, task),
    )
    return [each for each in every if each.rows]


def against_teacher_table(rows: Sequence[Row], task: Task) -> Table:
    """Return the scores and losses of all students against their teachers."""
    metric = task.metrics[task.primary]
    factors = factor_columns(rows)
    columns = (
        Column("Student"),
        Column("Method"),
        *(Column(wording.spaced(name.removeprefix(FACTOR))) for name in factors),
        Column("Teacher"),
        Column("Provenance"),
        Column(wording.heading(metric), True),
        Column("Loss", True, "negative log-likelihood on test, in nats"),
        Column(f"Teacher's {metric.label}", True),
        Column(f"Lead, {metric.unit}", True, "student less teacher, paired by seed and test example"),
        Column("Interval"),
        Column("Verdict", hint="of each student alone, not corrected for their number"),
        Column("Pairs", True),
    )
    shown = tuple(
        (
            TableCell(str(row["student"])),
            TableCell(str(row["method"])),
            *(TableCell(str(row.get(name))) for name in factors),
            TableCell(str(row["teacher"])),
            TableCell(str(row["provenance"])),
            number_cell(wording.scaled(row["score"], metric), row["score"]),
            number_cell(wording.number(row["loss"], 3), row["loss"]),
            number_cell(wording.scaled(row["teacher_score"], metric), row["teacher_score"]),
            number_cell(wording.signed(row["difference"], metric), row["difference"]),
            TableCell(wording.interval(row["ci_low"], row["ci_high"], metric)),
            TableCell(*_AGAINST[row["verdict"]]),
            count_cell(row["n_pairs"]),
        )
        for row in rows
    )
    return Table("against-teacher-table", "Students against their teachers", columns, shown)


def alignment_table(rows: Sequence[Row]) -> Table:
    """Return how alike students are to their teachers over the views of test images, as means over seeds."""
    factors = factor_columns(rows)
    places = ("student", "method", *factors, "teacher", "provenance")
    scores = ("cka", "cosine", "spread", "teacher_spread")
    columns = (
        Column("Student"),
        Column("Method"),
        *(Column(wording.spaced(name.removeprefix(FACTOR))) for name in factors),
        Column("Teacher"),
        Column("Provenance"),
        Column("CKA", True, "linear, of the embeddings of student and teacher; 1 is full alignment"),
        Column("Cosine", True, "of their logits"),
        Column("Changed views", True, "views whose predicted class is not the usual one of their image"),
        Column("Changed views, teacher", True, "the same of the teacher"),
        Column("Runs", True),
    )
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in places), []).append(row)
    shown = []
    for place, mine in groups.items():
        known = [[row[name] for row in mine if row[name] is not None] for name in scores]
        means = [sum(values) / len(values) if values else None for values in known]
        shown.append(
            (
                *(TableCell(str(value)) for value in place),
                *(number_cell(wording.number(value, 3), value) for value in means),
                count_cell(len(mine)),
            )
        )
    caption = (
        "Alignment of students with their teachers over the eight views of test images: means over seeds"
    )
    return Table("alignment-table", caption, columns, tuple(shown))


def selection_table(rows: Sequence[Row], task: Task) -> Table:
    """Return the students of all teachers, those first that were chosen on val."""
    metric = task.metrics[task.primary]
    factors = factor_columns(rows)
    columns = (
        Column(
            "Chosen",
            hint="the smallest network on val within the margin of practical equivalence of the best",
        ),
        Column("Student"),
        Column("Method"),
        *(Column(wording.spaced(name.removeprefix(FACTOR))) for name in factors),
        Column("Teacher"),
        Column("Provenance"),
        Column("Parameters", True),
        Column("On val", True, f"{metric.label}, mean over seeds; optimistic for the chosen one"),
        Column("On test", True, f"{metric.label}, mean over seeds"),
        Column("Retention, %", True, "score on test as a share of the teacher's"),
        Column("Runs", True),
    )
    shown = tuple(
        (
            TableCell("yes" if row["chosen"] else "", None, "helps" if row["chosen"] else ""),
            TableCell(str(row["student"])),
            TableCell(str(row["method"])),
            *(TableCell(str(row.get(name))) for name in factors),
            TableCell(str(row["teacher"] or wording.DASH)),
            TableCell(str(row["provenance"])),
            count_cell(row["params"]),
            number_cell(wording.scaled(row["val_score"], metric), row["val_score"]),
            number_cell(wording.scaled(row["score"], metric), row["score"]),
            number_cell(wording.number(_percent(row["retention"]), 1), row["retention"]),
            count_cell(row["n_runs"]),
        )
        for row in sorted(rows, key=lambda row: not row["chosen"])
    )
    return Table("selection-table", "Which student of which teacher to ship, chosen on val", columns, shown)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


# A verdict on a student with its glyph, what it is sorted by, and its tone.
_AGAINST: dict[str, tuple[str, None, str]] = {
    "exceeds": (f"{wording.VERDICT_GLYPHS['helps']} exceeds teacher", None, "helps"),
    "below": (f"{wording.VERDICT_GLYPHS['harms']} below teacher", None, "harms"),
    "equal": (f"{wording.VERDICT_GLYPHS['equivalent']} no difference", None, "equivalent"),
    "undecided": (f"{wording.VERDICT_GLYPHS['undecided']} undecided", None, "undecided"),
}


def runs_table(runs: Sequence[Run], task: Task) -> Table:
    """Return every run, those that did not finish first."""
    naming = Naming.of(run.place for run in runs)
    distinct = len({run.run_id for run in runs})
    caption = f"All {wording.whole(distinct)} student runs"
    if distinct < len(runs):
        caption += "; a run that belongs to several places has a row for each"
    metrics = [metric for metric in task.metrics.values() if metric.brief]
    columns = (
        Column("Status"),
        Column("Where"),
        Column("Method"),
        Column("Seed", True),
        Column("Training examples", True),
        Column("Steps", True),
        Column("Epochs", True),
        *(Column(wording.heading(metric), True) for metric in metrics),
        Column("Training", True),
        Column("Run"),
    )
    ordered = sorted(runs, key=lambda run: RUN_ORDER.index(run.status))
    rows = []
    for run in ordered[:ROWS_SHOWN]:
        n_train, seconds = run.measures.get("n_train"), run.measures.get("train_seconds")
        rows.append(
            (
                TableCell(run.status, tone=f"status-{run.status}"),
                TableCell(naming.full(run.place)),
                TableCell(run.method),
                TableCell(str(run.seed), run.seed),
                count_cell(None if n_train is None else int(n_train)),
                *(whole_cell(run.measures.get(name)) for name in ("steps", "epochs")),
                *(_metric_cell(run.measures, metric) for metric in metrics),
                number_cell(wording.duration(seconds), seconds),
                TableCell(run.run_id, tone="code"),
            )
        )
    return Table("runs-table", caption, columns, tuple(rows), filterable=True)


def checks_table(checks: Sequence[Check], key: str) -> Table:
    """Return the requested strength of a factor and the measured one."""
    columns = (
        Column("Where"),
        Column("Measure"),
        Column("Requested", True),
        Column("Measured", True),
        Column("Tolerance", True),
        Column("Check"),
    )

    def strength(value: Number) -> TableCell:
        return number_cell(wording.DASH if value is None or wording.missing(value) else f"{value:.4g}", value)

    rows = tuple(
        (
            TableCell(c.where),
            TableCell(f"{c.measure}; {c.note}" if c.note else c.measure),
            strength(c.requested),
            strength(c.measured),
            strength(c.tolerance),
            TableCell("✓ passed", tone="passed") if c.passed else TableCell("✗ failed", tone="failed"),
        )
        for c in checks
    )
    return Table(key, "Requested and measured strength of the factor", columns, rows)


def method_costs_table(costs: Iterable[MethodCost]) -> Table:
    """Return the cost of a run of each method."""
    columns = (
        Column("Method"),
        Column("Runs", True),
        Column("One run", True),
        Column("Relative to plain", True),
    )
    rows = tuple(
        (
            TableCell(cost.method),
            TableCell(str(cost.runs), cost.runs),
            number_cell(wording.duration(cost.seconds_per_run), cost.seconds_per_run),
            number_cell(wording.times(cost.times_plain, 2), cost.times_plain),
        )
        for cost in costs
    )
    return Table("method-costs-table", "Mean time of one student run by method", columns, rows)


def phases_table(phases: Mapping[str, float]) -> Table:
    """Return where the seconds of training went."""
    columns = (Column("Part of a training step"), Column("Time", True), Column("Share", True))
    total = sum(phases.values())
    rows = tuple(
        (
            TableCell(wording.PHASE_NAMES.get(name, name)),
            number_cell(wording.duration(seconds), seconds),
            number_cell(wording.percent(seconds / total, 0), seconds / total),
        )
        for name, seconds in sorted(phases.items(), key=lambda entry: -entry[1])
    )
    return Table("phases-table", "Where the seconds of training went", columns, rows)
