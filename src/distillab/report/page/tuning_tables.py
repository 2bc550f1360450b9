"""The tables of a study that tunes its methods."""

from __future__ import annotations

from distillab.report.contents.gains import Number
from distillab.report.contents.place import Naming
from distillab.report.contents.tuning import TuningView
from distillab.report.page.table import Column, Table, TableCell, count_cell, number_cell
from distillab.report.page.tables import INTERVAL
from distillab.report.page.wording import interval, scaled, signed
from distillab.tasks import Metric


def choices_table(tuning: TuningView | None, metric: Metric) -> Table:
    """Return the chosen settings, with the scores on val at each learning rate; no rows without tuning."""
    methods = tuning.methods if tuning else ()
    rates = sorted({lr for method in methods for lr, _ in method.by_lr})
    naming = Naming.of(method.place for method in methods)
    columns = (
        Column("Where"),
        Column("Method"),
        Column("Chosen"),
        Column("Steps", True),
        Column("Val, default", True, "mean over the tuning seeds at the default setting"),
        Column("Val, chosen", True, "mean over the tuning seeds at the chosen setting"),
        *(Column(f"lr {lr:g}", True, "the best mean on val at this learning rate") for lr in rates),
        Column("On the edge", hint="keys whose chosen value is the smallest or largest of those tried"),
    )
    rows = tuple(
        (
            TableCell(naming.full(method.place)),
            TableCell(method.method),
            TableCell(method.chosen or "not yet"),
            count_cell(method.steps),
            number_cell(scaled(method.default_score, metric), method.default_score),
            number_cell(scaled(method.chosen_score, metric), method.chosen_score),
            *(
                number_cell(scaled(score, metric), score)
                for score in (dict(method.by_lr).get(lr) for lr in rates)
            ),
            TableCell(", ".join(method.edges)),
        )
        for method in methods
    )
    return Table("tuning-table", "Chosen settings, and scores on the validation set", columns, rows)


def tuned_gains_table(tuning: TuningView | None, metric: Metric) -> Table:
    """Return gains at default and at tuned settings; no rows without tuning."""
    gains = tuning.gains if tuning else ()
    naming = Naming.of(gain.place for gain in gains)
    columns = (
        Column("Where"),
        Column("Method"),
        Column(f"Default, {metric.unit}", True, "both arms at default settings"),
        INTERVAL,
        Column("Verdict"),
        Column(f"Tuned, {metric.unit}", True, "both arms at the settings chosen for them"),
        INTERVAL,
        Column("Verdict"),
    )

    def cells(found: tuple[Number, Number, Number, str]) -> tuple[TableCell, ...]:
        gain, low, high, verdict = found
        return (
            number_cell(signed(gain, metric, 2), gain),
            number_cell(interval(low, high, metric), low),
            TableCell(verdict),
        )

    rows = tuple(
        (TableCell(naming.full(g.place)), TableCell(g.method), *cells(g.default), *cells(g.tuned))
        for g in gains
    )
    caption = f"Gains in {metric.label} at default and at tuned settings"
    return Table("tuned-gains-table", caption, columns, rows)
