"""The tables of the report: what stands in every cell as text, and by what a column is sorted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from distillab.report.contents.study import (
    Check,
    ClassPanel,
    Effect,
    MethodCost,
    Number,
    Quality,
    Run,
    Teacher,
)
from distillab.report.page import wording
from distillab.report.page.wording import Naming, interval, number, p_value, percent, signed

# What went wrong stands first, what was not needed last.
RUN_ORDER = ("failed", "excluded", "running", "queued", "held", "done", "spared")
ROWS_SHOWN = 3000  # of the runs table; the rest is in results.parquet, and the page says so
QUALITY_METRICS = (
    "accuracy",
    "worst_class_accuracy",
    "worst_group_accuracy",
    "head_accuracy",
    "middle_accuracy",
    "tail_accuracy",
    "macro_f1",
    "ece",
    "nll",
    "brier",
    "agreement",
)


@dataclass(frozen=True)
class Entry:
    """A cell of a table: its text, the number it is sorted by (None: by text), and its tone (a CSS class)."""

    text: str
    order: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds numbers (aligned right, sorted as numbers)."""

    title: str
    numeric: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption. ``filterable`` tables get a search field."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    filterable: bool = False


def _value(text: str, value: Number, tone: str = "") -> Entry:
    return Entry(text, None if wording.missing(value) else value, tone)


def verdict_entry(verdict: str) -> Entry:
    """A verdict with its glyph, in its colour."""
    return Entry(f"{wording.VERDICT_GLYPHS[verdict]} {wording.VERDICT_WORDS[verdict][0]}", tone=verdict)


def effects_table(effects: Sequence[Effect], metric: str) -> Table:
    """All gains of one metric, with what the forest plot cannot say."""
    naming = Naming.of(effect.cell for effect in effects)
    unit = wording.metric(metric).unit
    suffix = f", {unit}" if unit else ""
    columns = (
        Column("Where"),
        Column("Method"),
        Column("Against"),
        Column(f"Gain{suffix}", True),
        Column("Interval", True),
        Column("Pairs", True),
        Column("p", True),
        Column("p corrected", True),
        Column("Verdict"),
        Column("Gap closed", True, "share of the distance from plain student to teacher"),
        Column("Error ratio", True, "errors distilled over errors plain; below 1 is better"),
    )
    rows = tuple(
        (
            Entry(naming.full(e.cell)),
            Entry(e.method),
            Entry(e.baseline),
            _value(signed(e.gain, metric, 2), e.gain),
            _value(interval(e.ci_low, e.ci_high, metric), e.ci_low),
            Entry(str(e.n_pairs), e.n_pairs),
            _value(p_value(e.p_value), e.p_value),
            _value(p_value(e.p_adjusted), e.p_adjusted),
            verdict_entry(e.verdict),
            _value(percent(e.gap_closed, 0), e.gap_closed),
            _value(number(e.error_ratio, 3), e.error_ratio),
        )
        for e in effects
    )
    title = wording.metric(metric).label.lower()
    return Table("effects-table", f"Gains in {title}, one row a contrast", columns, rows)


def harm_table(effects: Sequence[Effect], primary: str) -> Table:
    """Gains in every other metric beside the primary one, with verdicts: averages never stand alone."""
    measured = {effect.metric for effect in effects}
    known = [name for name in (primary, *QUALITY_METRICS) if name in measured]
    metrics = list(dict.fromkeys([*known, *(effect.metric for effect in effects)]))
    naming = Naming.of(effect.cell for effect in effects)
    found = {(e.cell, e.method, e.metric): e for e in effects}
    columns = [Column("Where"), Column("Method")]
    for name in metrics:
        shown = wording.metric(name)
        sense = "higher is better" if shown.higher_is_better else "lower is better"
        columns.append(Column(f"{shown.label}{', ' + shown.unit if shown.unit else ''}", True, sense))
    rows = []
    for cell, method in dict.fromkeys((e.cell, e.method) for e in effects):
        row = [Entry(naming.full(cell)), Entry(method)]
        for name in metrics:
            e = found.get((cell, method, name))
            if e is None:
                row.append(Entry(wording.DASH))
                continue
            glyph = wording.VERDICT_GLYPHS[e.verdict]
            row.append(_value(f"{signed(e.gain, name)} {glyph}", e.gain, e.verdict))
        rows.append(tuple(row))
    caption = "Gains in all measures, distilled minus plain; the sign of the gain is that of the measure"
    return Table("harm-table", caption, tuple(columns), tuple(rows))


def quality_table(quality: Sequence[Quality]) -> Table:
    """Means over seeds, with their standard deviation, of plain and distilled students."""
    naming = Naming.of(q.cell for q in quality)
    elsewhere = [name for q in quality for name in q.measures if "." in name]
    known = dict.fromkeys([*QUALITY_METRICS, *elsewhere])
    names = [name for name in known if any(not wording.missing(_mean(q, name)) for q in quality)]
    columns = [Column("Where"), Column("Method"), Column("Runs", True)]
    for name in names:
        shown = wording.metric(name)
        columns.append(Column(shown.label + (", %" if shown.scale == 100 else ""), True))
    rows = []
    for q in quality:
        row = [Entry(naming.full(q.cell)), Entry(q.method), Entry(str(q.n), q.n)]
        for name in names:
            mean, sd = q.measures.get(name, (None, None))
            scale = wording.metric(name).scale
            places = 1 if scale == 100 else 3
            text = number(None if mean is None else mean * scale, places)
            if mean is not None and sd is not None and not wording.missing(sd):
                text += f" ± {number(sd * scale, places)}"
            row.append(_value(text, mean))
        rows.append(tuple(row))
    caption = "Students as they came out: mean ± standard deviation over seeds"
    return Table("quality-table", caption, tuple(columns), tuple(rows))


def _mean(quality: Quality, name: str) -> Number:
    return quality.measures.get(name, (None, None))[0]


def harmed_classes_table(panels: Iterable[ClassPanel], naming: Naming) -> Table:
    """Every class that lost accuracy after correction, in any panel, drawn or not."""
    columns = (
        Column("Class"),
        Column("Method"),
        Column("Where"),
        Column("Gain, points", True),
        Column("Interval", True),
        Column("p corrected", True),
        Column("Training images", True),
    )
    harmed = [(panel, c) for panel in panels for c in panel.classes if c.verdict == "harms"]
    harmed.sort(key=lambda pair: pair[1].gain if pair[1].gain is not None else 0.0)
    rows = tuple(
        (
            Entry(c.name),
            Entry(panel.method),
            Entry(naming.full(panel.cell)),
            _value(f"{signed(c.gain)} ▼", c.gain, "harms"),
            _value(interval(c.ci_low, c.ci_high), c.ci_low),
            _value(p_value(c.p_adjusted), c.p_adjusted),
            _value(wording.DASH if c.n_train is None else wording.count(c.n_train), c.n_train),
        )
        for panel, c in harmed
    )
    return Table("harmed-table", "Classes that lost accuracy after correction for all classes", columns, rows)


def teachers_table(teachers: Iterable[Teacher]) -> Table:
    """One row a teacher."""
    columns = (
        Column("Teacher"),
        Column("Learned from"),
        Column("Provenance"),
        Column("Data set"),
        Column("Seed", True),
        Column("Accuracy, %", True),
        Column("ECE, %", True),
        Column("NLL, nats", True),
        Column("Brier", True),
        Column("Training", True),
    )
    rows = tuple(
        (
            Entry(t.name),
            Entry(t.trained_on or wording.DASH),
            Entry(t.provenance or wording.DASH),
            Entry(t.dataset),
            _value(wording.DASH if t.seed is None else str(t.seed), t.seed),
            _value(number(None if t.accuracy is None else 100 * t.accuracy, 1), t.accuracy),
            _value(number(None if t.ece is None else 100 * t.ece, 1), t.ece),
            _value(number(t.nll, 3), t.nll),
            _value(number(t.brier, 3), t.brier),
            _value(wording.duration(t.seconds), t.seconds),
        )
        for t in teachers
    )
    return Table("teachers-table", "Every teacher, on the primary test set", columns, rows)


def runs_table(runs: Sequence[Run]) -> Table:
    """Every run, those that did not finish first."""
    naming = Naming.of(run.cell for run in runs)
    distinct = len({run.run_id for run in runs})
    caption = f"All {wording.count(distinct)} student runs"
    if distinct < len(runs):
        caption += "; a run that serves several places has a row in each"
    columns = (
        Column("Status"),
        Column("Where"),
        Column("Method"),
        Column("Seed", True),
        Column("Training images", True),
        Column("Accuracy, %", True),
        Column("Worst class, %", True),
        Column("ECE, %", True),
        Column("Agreement, %", True),
        Column("Training", True),
        Column("Run"),
    )
    ordered = sorted(runs, key=lambda run: RUN_ORDER.index(run.status))
    rows = []
    for run in ordered[:ROWS_SHOWN]:
        m = run.measures
        n_train, seconds = m.get("n_train"), m.get("train_seconds")
        rows.append(
            (
                Entry(run.status, tone=f"status-{run.status}"),
                Entry(naming.full(run.cell)),
                Entry(run.method),
                Entry(str(run.seed), run.seed),
                _value(
                    wording.DASH if wording.missing(n_train) else wording.count(int(n_train or 0)), n_train
                ),
                *(
                    _value(
                        number(None if m.get(name) is None else 100 * (m.get(name) or 0.0), 1), m.get(name)
                    )
                    for name in ("accuracy", "worst_class_accuracy", "ece", "agreement")
                ),
                _value(wording.duration(seconds), seconds),
                Entry(run.run_id, tone="code"),
            )
        )
    return Table("runs-table", caption, columns, tuple(rows), filterable=True)


def checks_table(checks: Sequence[Check], key: str) -> Table:
    """What was asked of a factor and what the data then measured."""
    columns = (
        Column("Where"),
        Column("Measure"),
        Column("Asked", True),
        Column("Measured", True),
        Column("Tolerance", True),
        Column("Check"),
    )

    def shown(value: Number) -> Entry:
        return _value(wording.DASH if value is None or wording.missing(value) else f"{value:.4g}", value)

    rows = tuple(
        (
            Entry(c.where),
            Entry(f"{c.measure}; {c.note}" if c.note else c.measure),
            shown(c.asked),
            shown(c.measured),
            shown(c.tolerance),
            Entry("✓ passed", tone="passed") if c.passed else Entry("✗ failed", tone="failed"),
        )
        for c in checks
    )
    return Table(key, "Asked and measured strength of the factor", columns, rows)


def method_costs_table(costs: Iterable[MethodCost]) -> Table:
    """What a run of each method cost."""
    columns = (
        Column("Method"),
        Column("Runs", True),
        Column("One run", True),
        Column("Times the plain run", True),
    )
    rows = tuple(
        (
            Entry(cost.method),
            Entry(str(cost.runs), cost.runs),
            _value(wording.duration(cost.seconds_per_run), cost.seconds_per_run),
            _value(wording.times(cost.times_plain, 2), cost.times_plain),
        )
        for cost in costs
    )
    return Table("method-costs-table", "Mean time of one student run by method", columns, rows)


def phases_table(phases: Iterable[tuple[str, float]]) -> Table:
    """Where the seconds of training went."""
    columns = (Column("Part of a training step"), Column("Time", True), Column("Share", True))
    known = list(phases)
    total = sum(seconds for _, seconds in known)
    rows = tuple(
        (
            Entry(wording.PHASES.get(name, name)),
            _value(wording.duration(seconds), seconds),
            _value(wording.percent(seconds / total, 0), seconds / total),
        )
        for name, seconds in sorted(known, key=lambda entry: -entry[1])
    )
    return Table("phases-table", "Where the seconds of training went", columns, rows)
