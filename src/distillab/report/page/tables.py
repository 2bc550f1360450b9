"""The tables of gains, harms and qualities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distillab.printable import plural
from distillab.report.contents.gains import ClassPanel, Effect, LevelEffect, Number, Quality
from distillab.report.contents.place import Naming
from distillab.report.contents.runs import GroupView, LabelView
from distillab.report.contents.stopping import Stopping
from distillab.report.page import wording
from distillab.report.page.table import (
    Column,
    Table,
    TableCell,
    count_cell,
    length_cell,
    level_verdict_cell,
    number_cell,
    verdict_cell,
    whole_cell,
)
from distillab.report.page.wording import interval, number, p_value, percent, signed
from distillab.tasks import Metric, Task

INTERVAL = Column(
    "Interval", True, "for new seeds, new teachers where pairs have several, and a new test set"
)
SAME_TEST = Column("Same test set", True, "the same interval, for these test examples")
SAME_NETWORKS = Column("Same networks", True, "for these networks on a new test set, as by a bootstrap")
_MOST_LABELS = 20  # columns; labels.parquet has all of them
LENGTHS = ("steps", "epochs")  # of training, as the columns are called


def effects_table(effects: Sequence[Effect], metric: Metric) -> Table:
    """Return all gains in one metric, with what the forest plot does not show."""
    naming = Naming.of(effect.place for effect in effects)
    columns = (
        Column("Where"),
        Column("Method"),
        Column("Against"),
        Column(f"Gain, {metric.unit}", True),
        INTERVAL,
        SAME_TEST,
        SAME_NETWORKS,
        Column("Pairs", True),
        Column("p", True),
        Column("p corrected", True),
        Column("Verdict", hint="holds together with the verdicts on all comparisons"),
        Column("Alone", hint="the verdict on this comparison, not corrected for the others"),
        Column("Length", hint="whether training is long enough: what twice the steps change on val"),
        Column("Gap closed", True, "share of the distance from plain student to teacher"),
        Column("Error ratio", True, "errors distilled over errors plain; below 1 is better"),
    )
    rows = tuple(
        (
            TableCell(naming.full(e.place)),
            TableCell(e.method),
            TableCell(e.baseline),
            number_cell(signed(e.gain, metric, 2), e.gain),
            number_cell(interval(e.ci_low, e.ci_high, metric), e.ci_low),
            number_cell(interval(e.ci_low_same_test, e.ci_high_same_test, metric), e.ci_low_same_test),
            number_cell(interval(e.ci_low_same_runs, e.ci_high_same_runs, metric), e.ci_low_same_runs),
            TableCell(str(e.n_pairs), e.n_pairs),
            number_cell(p_value(e.p_value), e.p_value),
            number_cell(p_value(e.p_adjusted), e.p_adjusted),
            verdict_cell(e.verdict, e.undecided_because),
            verdict_cell(e.verdict_alone, e.undecided_because),
            length_cell(e.converged, e.convergence_note),
            number_cell(percent(e.gap_closed, 0), e.gap_closed),
            number_cell(number(e.error_ratio, 3), e.error_ratio),
        )
        for e in effects
    )
    return Table("effects-table", f"Gains in {metric.label}, one row per contrast", columns, rows)


def level_effects_table(level_effects: Sequence[LevelEffect], metric: Metric) -> Table:
    """Return how much gains in one metric differ between levels."""
    naming = Naming.of(e.place for e in level_effects)
    columns = (
        Column("Factor"),
        Column("Level", hint="trend: the change from the lowest to the highest level, along a line"),
        Column("Compared with", hint="the reference level"),
        Column("Where"),
        Column("Method"),
        Column("Against"),
        Column(f"Difference of gains, {metric.unit}", True, "gain at the level minus that at the reference"),
        INTERVAL,
        SAME_TEST,
        Column("Gain there", True),
        Column("Gain at reference", True),
        Column("Pairs", True, "pairs at both levels with the same seeds"),
        Column("p", True),
        Column("p corrected", True),
        Column("Verdict", hint="holds together with the verdicts on all differences"),
        Column("Alone", hint="the verdict on this difference, not corrected for the others"),
    )
    rows = tuple(
        (
            TableCell(wording.spaced(e.factor)),
            TableCell(e.level),
            TableCell(e.reference),
            TableCell(naming.full(e.place)),
            TableCell(e.method),
            TableCell(e.baseline),
            number_cell(signed(e.difference, metric, 2), e.difference),
            number_cell(interval(e.ci_low, e.ci_high, metric), e.ci_low),
            number_cell(interval(e.ci_low_same_test, e.ci_high_same_test, metric), e.ci_low_same_test),
            number_cell(signed(e.gain, metric), e.gain),
            number_cell(signed(e.gain_reference, metric), e.gain_reference),
            TableCell(str(e.n_pairs), e.n_pairs),
            number_cell(p_value(e.p_value), e.p_value),
            number_cell(p_value(e.p_adjusted), e.p_adjusted),
            level_verdict_cell(e.verdict, e.undecided_because),
            level_verdict_cell(e.verdict_alone),
        )
        for e in level_effects
    )
    caption = f"Differences between gains in {metric.label}, one row per level beside the reference level"
    return Table("level-effects-table", caption, columns, rows)


def harm_table(effects: Sequence[Effect], task: Task) -> Table:
    """Return gains in all metrics with their verdicts, so that no average stands alone."""
    measured = dict.fromkeys([task.primary, *task.metrics, *(effect.metric for effect in effects)])
    present = {effect.metric for effect in effects}
    metrics = [task.metrics[name] for name in measured if name in present]
    naming = Naming.of(effect.place for effect in effects)
    found = {(e.place, e.method, e.metric): e for e in effects}
    columns = [Column("Where"), Column("Method")]
    for metric in metrics:
        direction = "higher is better" if metric.higher_is_better else "lower is better"
        columns.append(Column(f"{metric.title}, {metric.unit}", True, direction))
    rows = []
    for place, method in dict.fromkeys((e.place, e.method) for e in effects):
        row = [TableCell(naming.full(place)), TableCell(method)]
        for metric in metrics:
            e = found.get((place, method, metric.name))
            if e is None:
                row.append(TableCell(wording.DASH))
                continue
            text = f"{signed(e.gain, metric)} {wording.VERDICT_GLYPHS[e.verdict]}"
            row.append(number_cell(text, e.gain, e.verdict))
        rows.append(tuple(row))
    caption = "Gains in all metrics, distilled minus plain; negative gains are good where lower is better"
    return Table("harm-table", caption, tuple(columns), tuple(rows))


def quality_table(quality: Sequence[Quality], task: Task) -> Table:
    """Return means over seeds with their standard deviations, of plain and distilled students."""
    naming = Naming.of(q.place for q in quality)
    measured = [
        name
        for name in task.metrics
        if name != task.selected and any(not wording.missing(_mean(q, name)) for q in quality)
    ]
    further = task.metrics.of_further_tests([q.measures for q in quality])
    metrics = [task.metrics[name] for name in (*measured, *further)]
    columns = [Column("Where"), Column("Method"), Column("Runs", True)]
    columns += [Column(name.capitalize(), True) for name in LENGTHS]
    columns += [Column(wording.heading(metric), True) for metric in metrics]
    rows = []
    for q in quality:
        row = [TableCell(naming.full(q.place)), TableCell(q.method), TableCell(str(q.n), q.n)]
        row += [whole_cell(_mean(q, name)) for name in LENGTHS]
        for metric in metrics:
            mean, sd = q.measures.get(metric.name, (None, None))
            text = wording.scaled(mean, metric)
            if not wording.missing(mean) and not wording.missing(sd):
                text += f" ± {wording.scaled(sd, metric)}"
            row.append(number_cell(text, mean))
        rows.append(tuple(row))
    caption = "Students: mean ± standard deviation over seeds"
    return Table("quality-table", caption, tuple(columns), tuple(rows))


def _mean(quality: Quality, name: str) -> Number:
    return quality.measures.get(name, (None, None))[0]


def labels_table(views: Sequence[LabelView], task: Task) -> Table:
    """Return one row per place and method, and one column per label, if there are few enough of them."""
    scores = {(each.place, each.method): dict[str, LabelView]() for each in views}
    for each in views:
        scores[each.place, each.method][each.label] = each
    labels = {each.label: each.n_test for each in views}
    naming = Naming.of(each.place for each in views)
    shown = len(labels) <= _MOST_LABELS
    columns = (
        Column("Where"),
        Column("Method"),
        *(Column(label, True, f"{count:,} test examples have it") for label, count in labels.items()),
    )
    rows = tuple(
        (
            TableCell(naming.full(place)),
            TableCell(method),
            *(_label_cell(found.get(label), task.class_metric) for label in labels),
        )
        for (place, method), found in scores.items()
        if shown
    )
    caption = f"{wording.capital(task.class_metric.label)}, {task.class_metric.unit}: mean over seeds"
    return Table("labels-table", caption, columns, rows)


def groups_table(views: Sequence[GroupView], task: Task) -> Table:
    """Return one row per place and method, and one column per group of the test set."""
    scores = {(each.place, each.method): dict[str, GroupView]() for each in views}
    for each in views:
        scores[each.place, each.method][each.group] = each
    groups = {each.group: each.n_test for each in views}
    naming = Naming.of(each.place for each in views)
    metric = task.metrics[task.primary]
    columns = (
        Column("Where"),
        Column("Method"),
        *(Column(group, True, f"{count:,} test examples") for group, count in groups.items()),
    )
    rows = tuple(
        (
            TableCell(naming.full(place)),
            TableCell(method),
            *(_label_cell(found.get(group), metric) for group in groups),
        )
        for (place, method), found in scores.items()
    )
    name = wording.capital(metric.label)
    caption = f"{name} within each group of the test set, {metric.unit}: mean over seeds"
    return Table("groups-table", caption, columns, rows)


def _label_cell(view: LabelView | GroupView | None, metric: Metric) -> TableCell:
    score = None if view is None else view.score
    return number_cell(wording.scaled(score, metric), score)


def harmed_table(panels: Iterable[ClassPanel], naming: Naming, task: Task) -> Table:
    """Return every class that lost after correction, in any panel, drawn or not."""
    noun, metric = task.class_noun, task.class_metric
    columns = (
        Column(wording.capital(noun)),
        Column("Method"),
        Column("Where"),
        Column(f"Gain, {metric.unit}", True),
        Column("Interval", True),
        Column("p corrected", True),
        Column("Training examples", True),
    )
    harmed = [(panel, c) for panel in panels for c in panel.classes if c.verdict == "harms"]
    harmed.sort(key=lambda pair: pair[1].gain if pair[1].gain is not None else 0.0)
    rows = tuple(
        (
            TableCell(c.name),
            TableCell(panel.method),
            TableCell(naming.full(panel.place)),
            number_cell(f"{signed(c.gain, metric)} ▼", c.gain, "harms"),
            number_cell(interval(c.ci_low, c.ci_high, metric), c.ci_low),
            number_cell(p_value(c.p_adjusted), c.p_adjusted),
            count_cell(c.n_train),
        )
        for panel, c in harmed
    )
    caption = f"{wording.capital(plural(noun))} that are harmed after correction over all {plural(noun)}"
    return Table("harmed-table", caption, columns, rows)


def stopping_table(stopping: Stopping | None, effects: Iterable[Effect], metric: Metric) -> Table:
    """Return one row per contrast on ``metric``: the look at which it stopped, and its verdict."""
    shown = [effect for effect in effects if stopping and effect.metric == metric.name]
    naming = Naming.of(effect.place for effect in shown)
    columns = (
        Column("Where"),
        Column("Method"),
        Column("Against"),
        Column("Seeds", True, "of the look that the verdict and the interval belong to"),
        Column("Verdict"),
    )
    rows = tuple(
        (
            TableCell(naming.full(effect.place)),
            TableCell(effect.method),
            TableCell(effect.baseline),
            count_cell(stopping.seeds(effect.look) if stopping else None),
            verdict_cell(effect.verdict),
        )
        for effect in shown
    )
    return Table("stopping-table", "Seeds after which each contrast stopped", columns, rows)
