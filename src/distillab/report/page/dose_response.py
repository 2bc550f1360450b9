"""Dose-response plots: how gains and accuracies move with the level of one factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from distillab.report.contents.study import Curve, DosePanel, ReportContents
from distillab.report.page import wording
from distillab.report.page.figures import Plot, Style, axis, base_figure, finite, legend_name, plain
from distillab.report.page.palette import colour, tint

LOG_FROM = 6.0  # positive levels that span more than this stand on a logarithmic axis
PANELS = 10  # drawn for a factor; further ones are counted in words, their numbers are in the table of gains
NAMED_LEVELS = 10  # up to here every level gets its tick
ROLE_STYLES = {
    "plain": Style(colour("plain"), "circle-open", "dot"),
    "teacher": Style(colour("teacher"), "diamond-open", "dash"),
}


@dataclass(frozen=True)
class Ladder:
    """Where the levels of a factor stand on the x axis: to scale if they are numbers, evenly if not."""

    places: Mapping[float | str, float]
    log: bool

    @classmethod
    def of(cls, levels: Sequence[float | str]) -> Ladder:
        """The ladder of these levels, in the order given."""
        numbers = [level for level in levels if not isinstance(level, str)]
        if len(numbers) < len(levels):
            return cls({level: float(i) for i, level in enumerate(levels)}, log=False)
        log = bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_FROM
        return cls({level: float(level) for level in numbers}, log)

    def axis(self, title: str) -> dict[str, object]:
        """The x axis, with a tick at every level while there are few."""
        settings: dict[str, object] = {"type": "log" if self.log else "linear", "showgrid": False}
        crowded = len(self.places) > NAMED_LEVELS and not any(isinstance(level, str) for level in self.places)
        if not crowded:
            settings["tickvals"] = list(self.places.values())
            settings["ticktext"] = [plain(wording.level_text(level)) for level in self.places]
        return axis(title, **settings)


def dose_plots(
    contents: ReportContents, styles: Mapping[str, Style]
) -> tuple[list[tuple[DosePanel, list[Plot]]], int]:
    """For each panel its plots (gains and, where known, accuracies), and how many panels are not drawn."""
    drawn: list[tuple[DosePanel, list[Plot]]] = []
    for panel in contents.doses:
        if sum(other.factor == panel.factor for other, _ in drawn) < PANELS:
            drawn.append((panel, _panel_plots(panel, len(drawn), contents, styles)))
    return drawn, len(contents.doses) - len(drawn)


def _panel_plots(
    panel: DosePanel, index: int, contents: ReportContents, styles: Mapping[str, Style]
) -> list[Plot]:
    name = wording.humane(panel.factor)
    title = plain(next((f.measure for f in contents.factors if f.name == panel.factor and f.measure), name))
    levels = _levels([*panel.gains, *panel.accuracies], contents, panel.factor)
    ladder = Ladder.of(levels)
    shown = wording.metric(contents.primary_metric)
    unit = f", {shown.unit}" if shown.unit else ""
    gains = _curves_figure(panel.gains, ladder, title, f"gain{unit}", shown.scale, styles)
    _add_margin(gains, (finite(contents.statistics.margin) or 0.0) * shown.scale)
    held = f", {panel.held}" if panel.held else ""
    steps = f"{len(levels)} level{'s' if len(levels) != 1 else ''} of {name}{held}"
    alt = f"Gain of {_names(panel.gains)} over plain training at {steps}, with intervals."
    plots = [Plot(f"dose-{index}", f"Gain by {name}", alt, gains)]
    if panel.accuracies:
        figure = _curves_figure(panel.accuracies, ladder, title, "accuracy, %", 100, styles)
        alt = f"Accuracy of {_names(panel.accuracies)} at {steps}."
        plots.append(Plot(f"accuracy-{index}", f"Accuracy by {name}", alt, figure))
    return plots


def _names(curves: Sequence[Curve]) -> str:
    return ", ".join(dict.fromkeys(curve.name for curve in curves)) or "no method"


def _levels(curves: Sequence[Curve], contents: ReportContents, factor: str) -> list[float | str]:
    """All levels of the curves: numbers ascending, names in the study's order."""
    found = list(dict.fromkeys(point.level for curve in curves for point in curve.points))
    if all(not isinstance(level, str) for level in found):
        return sorted(found, key=float)
    asked = [level for f in contents.factors if f.name == factor for level in f.levels]
    return sorted(found, key=lambda level: asked.index(level) if level in asked else len(asked))


def _curves_figure(
    curves: Sequence[Curve],
    ladder: Ladder,
    x_title: str,
    y_title: str,
    scale: float,
    styles: Mapping[str, Style],
) -> go.Figure:
    """Lines with symbols over interval bands; a curve of one point gets an error bar instead of a band."""
    figure = base_figure(350, showlegend=True)
    drawn = [(curve, _style(curve, styles)) for curve in curves]
    for curve, style in drawn:
        _add_band(figure, curve, style, ladder, scale)
    for curve, style in drawn:
        hover = [
            f"<b>{plain(curve.name)}</b> at {plain(wording.level_text(p.level))}<br>"
            f"{wording.number(None if finite(p.value) is None else scale * (p.value or 0.0))} "
            f"[{wording.number(None if finite(p.low) is None else scale * (p.low or 0.0))} to "
            f"{wording.number(None if finite(p.high) is None else scale * (p.high or 0.0))}], n = {p.n}"
            for p in curve.points
        ]
        single = len(curve.points) == 1
        figure.add_scatter(
            x=[ladder.places[point.level] for point in curve.points],
            y=[None if finite(p.value) is None else scale * (p.value or 0.0) for p in curve.points],
            mode="markers" if single else "lines+markers",
            name=legend_name(curve.name),
            legendgroup=f"{curve.role} {curve.name}",
            line={"color": style.colour, "width": 2, "dash": style.dash},
            marker={"color": style.colour, "symbol": style.symbol, "size": 8},
            error_y=_error_bars(curve, style, scale) if single else None,
            hovertext=hover,
            hoverinfo="text",
        )
    figure.update_layout(xaxis=ladder.axis(x_title), yaxis=axis(y_title))
    return figure


def _style(curve: Curve, styles: Mapping[str, Style]) -> Style:
    return ROLE_STYLES.get(curve.role) or styles.get(curve.name) or Style(colour("accent"), "circle")


def _add_band(figure: go.Figure, curve: Curve, style: Style, ladder: Ladder, scale: float) -> None:
    known = [
        (ladder.places[p.level], scale * p.low, scale * p.high)
        for p in curve.points
        if p.low is not None
        and p.high is not None
        and finite(p.low) is not None
        and finite(p.high) is not None
    ]
    if len(known) < 2:
        return
    xs, lows, highs = (list(column) for column in zip(*known, strict=True))
    figure.add_scatter(
        x=xs + xs[::-1],
        y=highs + lows[::-1],
        fill="toself",
        fillcolor=tint(style.colour),
        line={"width": 0, "color": style.colour},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=f"{curve.role} {curve.name}",
    )


def _error_bars(curve: Curve, style: Style, scale: float) -> dict[str, object] | None:
    point = curve.points[0]
    value, low, high = finite(point.value), finite(point.low), finite(point.high)
    if value is None or low is None or high is None:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (high - value)],
        "arrayminus": [scale * (value - low)],
        "color": style.colour,
        "thickness": 2,
    }


def _add_margin(figure: go.Figure, half: float) -> None:
    """The zero line and the margin of practical equivalence."""
    shapes = [{"y0": -half, "y1": half, "fillcolor": tint(colour("equivalent")), "line": {"width": 0}}]
    for shape in shapes if half else []:
        figure.add_shape(type="rect", x0=0, x1=1, xref="paper", layer="below", **shape)
    line = {"color": colour("muted"), "width": 1}
    figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=0, y1=0, line=line, layer="below")
