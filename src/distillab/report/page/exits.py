"""The exits of students: what each costs, and what it scores."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.report.contents.place import Naming
from distillab.report.contents.report import ReportContents
from distillab.report.contents.runs import ExitView
from distillab.report.page import wording
from distillab.report.page.figures import Plot, axis, base_figure, finite, legend_name, method_styles, plain
from distillab.report.page.table import Column, Table, TableCell, count_cell, number_cell
from distillab.tasks import Metric


def exits_plot(contents: ReportContents) -> Plot | None:
    """Return the score of each exit against what it costs, one line per method; votes stand apart.

    Students of the first place alone are drawn. The result is None if no student has exits.
    """
    if not contents.exits:
        return None
    place, metric = contents.exits[0].place, contents.primary
    here = [each for each in contents.exits if each.place == place]
    styles, figure = method_styles(contents), base_figure(380)
    for method in dict.fromkeys(each.method for each in here):
        mine = [each for each in here if each.method == method]
        early, votes = [each for each in mine if each.name != "vote"], mine[-1:]
        style = styles[method]
        for some, mode, size, name in ((early, "lines+markers", 8, method), (votes, "markers", 14, "")):
            figure.add_scatter(
                x=[each.macs / 1e6 for each in some],
                y=[_scaled(each, metric) for each in some],
                error_y={"array": [_spread(each, metric) for each in some], "thickness": 1, "width": 3},
                mode=mode,
                name=legend_name(name),
                showlegend=bool(name),
                legendgroup=method,
                line={"color": style.color, "dash": style.dash},
                marker={"color": style.color, "symbol": style.symbol if name else "star", "size": size},
                hovertext=[_hover(each, metric) for each in some],
                hoverinfo="text",
            )
    figure.update_layout(
        xaxis=axis("multiply-accumulates up to the exit, millions", rangemode="tozero"),
        yaxis=axis(f"{metric.label} on test, {wording.heading(metric).rpartition(', ')[2]}"),
        showlegend=True,
    )
    title = f"{metric.title} of every exit against its cost; stars are votes"
    alt = f"{title}: {len(here)} exits and votes, listed in the table below."
    return Plot("exits-plot", title, alt, figure)


def exits_table(contents: ReportContents) -> Table:
    """Return one row per place, method and exit."""
    metric, naming = contents.primary, Naming.of(each.place for each in contents.exits)
    columns = (
        Column("Where"),
        Column("Method"),
        Column("Exit"),
        Column("Parameters", True, "that the exit needs"),
        Column("MACs", True, "of one example up to the exit"),
        Column(wording.heading(metric), True, "mean ± standard deviation over seeds"),
        Column("Runs", True),
    )
    return Table("exits-table", "Exits of the students", columns, _rows(contents.exits, naming, metric))


def _rows(exits: Sequence[ExitView], naming: Naming, metric: Metric) -> tuple[tuple[TableCell, ...], ...]:
    return tuple(
        (
            TableCell(naming.full(each.place)),
            TableCell(each.method),
            TableCell(each.name),
            count_cell(each.params),
            count_cell(each.macs),
            number_cell(_text(each, metric), each.score),
            count_cell(each.n),
        )
        for each in exits
    )


def _text(view: ExitView, metric: Metric) -> str:
    text = wording.scaled(view.score, metric)
    return text if wording.missing(view.spread) else f"{text} ± {wording.scaled(view.spread, metric)}"


def _scaled(view: ExitView, metric: Metric) -> float | None:
    score = finite(view.score)
    return None if score is None else metric.scale * score


def _spread(view: ExitView, metric: Metric) -> float:
    return metric.scale * (finite(view.spread) or 0.0)


def _hover(view: ExitView, metric: Metric) -> str:
    return (
        f"<b>{plain(view.method)}</b> {plain(view.name)}<br>{_text(view, metric)}<br>"
        f"{view.params:,} parameters, {view.macs:,} MACs"
    )
