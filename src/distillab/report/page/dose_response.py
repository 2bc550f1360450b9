"""Dose-response plots: how gains and scores change with the level of one factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from distillab.report.contents.gains import CurveView, DosePanel
from distillab.report.contents.report import ReportContents
from distillab.report.page import wording
from distillab.report.page.figures import Plot, Style, axis, base_figure, finite, legend_name, plain
from distillab.report.page.palette import color, tint

LOG_FROM = 6.0  # positive levels that span at least this ratio are on a logarithmic axis
PANELS = 10  # drawn per factor; further ones are counted, their numbers are in the table of gains
NAMED_LEVELS = 10  # up to this number every level has a tick
ROLE_STYLES = {
    "plain": Style(color("plain"), "circle-open", "dot"),
    "teacher": Style(color("teacher"), "diamond-open", "dash"),
}


@dataclass(frozen=True)
class LevelAxis:
    """The positions of levels on the x axis: to scale if they are numbers, evenly spaced if not."""

    places: Mapping[float | str, float]
    log: bool

    @classmethod
    def of(cls, levels: Sequence[float | str]) -> LevelAxis:
        """Return the positions of these levels, in the given order."""
        numbers = [level for level in levels if not isinstance(level, str)]
        if len(numbers) < len(levels):
            return cls({level: float(i) for i, level in enumerate(levels)}, log=False)
        log = bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_FROM
        return cls({level: float(level) for level in numbers}, log)

    def axis(self, title: str) -> dict[str, object]:
        """Return the x axis, with a tick at every level if there are few."""
        settings: dict[str, object] = {"type": "log" if self.log else "linear", "showgrid": False}
        crowded = len(self.places) > NAMED_LEVELS and not any(isinstance(level, str) for level in self.places)
        if not crowded:
            settings["tickvals"] = list(self.places.values())
            settings["ticktext"] = [plain(wording.level_value(level)) for level in self.places]
        return axis(title, **settings)


def dose_plots(
    contents: ReportContents, styles: Mapping[str, Style]
) -> tuple[list[tuple[DosePanel, list[Plot]]], int]:
    """Return the plots of each panel (gains and, where known, scores), and how many panels are not drawn."""
    drawn: list[tuple[DosePanel, list[Plot]]] = []
    for panel in contents.doses:
        if sum(other.factor == panel.factor for other, _ in drawn) < PANELS:
            drawn.append((panel, _panel_plots(panel, len(drawn), contents, styles)))
    return drawn, len(contents.doses) - len(drawn)


def _panel_plots(
    panel: DosePanel, index: int, contents: ReportContents, styles: Mapping[str, Style]
) -> list[Plot]:
    name = wording.spaced(panel.factor)
    title = plain(next((f.measure for f in contents.factors if f.name == panel.factor and f.measure), name))
    levels = _levels([*panel.gains, *panel.scores], contents, panel.factor)
    level_axis = LevelAxis.of(levels)
    metric = contents.primary
    gains = _curves_figure(panel.gains, level_axis, title, f"gain, {metric.unit}", metric.scale, styles)
    _add_margin(gains, (finite(contents.statistics.margin) or 0.0) * metric.scale)
    held = f", {panel.held}" if panel.held else ""
    steps = f"{len(levels)} level{'s' if len(levels) != 1 else ''} of {name}{held}"
    alt = f"Gain of {_names(panel.gains)} over plain training at {steps}, with intervals."
    plots = [Plot(f"dose-{index}", f"Gain by {name}", alt, gains)]
    if panel.scores:
        unit = "%" if metric.unit == "points" else metric.unit
        figure = _curves_figure(
            panel.scores, level_axis, title, f"{metric.label}, {unit}", metric.scale, styles
        )
        alt = f"{metric.title} of {_names(panel.scores)} at {steps}."
        plots.append(Plot(f"score-{index}", f"{metric.title} by {name}", alt, figure))
    return plots


def _names(curves: Sequence[CurveView]) -> str:
    return ", ".join(dict.fromkeys(curve.name for curve in curves)) or "no method"


def _levels(curves: Sequence[CurveView], contents: ReportContents, factor: str) -> list[float | str]:
    """Return all levels of the curves: numbers ascending, names in the order of the study."""
    found = list(dict.fromkeys(point.level for curve in curves for point in curve.points))
    if all(not isinstance(level, str) for level in found):
        return sorted(found, key=float)
    order = [level for f in contents.factors if f.name == factor for level in f.levels]
    return sorted(found, key=lambda level: order.index(level) if level in order else len(order))


def _curves_figure(
    curves: Sequence[CurveView],
    level_axis: LevelAxis,
    x_title: str,
    y_title: str,
    scale: float,
    styles: Mapping[str, Style],
) -> go.Figure:
    """Return lines with symbols over interval bands; a single point has an error bar instead of a band."""
    figure = base_figure(350, showlegend=True)
    drawn = [(curve, _style(curve, styles)) for curve in curves]
    for curve, style in drawn:
        _add_band(figure, curve, style, level_axis, scale)
    for curve, style in drawn:
        hover = [
            f"<b>{plain(curve.name)}</b> at {plain(wording.level_value(p.level))}<br>"
            f"{wording.number(None if finite(p.value) is None else scale * (p.value or 0.0))} "
            f"[{wording.number(None if finite(p.low) is None else scale * (p.low or 0.0))} to "
            f"{wording.number(None if finite(p.high) is None else scale * (p.high or 0.0))}], n = {p.n}"
            for p in curve.points
        ]
        single = len(curve.points) == 1
        figure.add_scatter(
            x=[level_axis.places[point.level] for point in curve.points],
            y=[None if finite(p.value) is None else scale * (p.value or 0.0) for p in curve.points],
            mode="markers" if single else "lines+markers",
            name=legend_name(curve.name),
            legendgroup=f"{curve.role} {curve.name}",
            line={"color": style.color, "width": 2, "dash": style.dash},
            marker={"color": style.color, "symbol": style.symbol, "size": 8},
            error_y=_error_bars(curve, style, scale) if single else None,
            hovertext=hover,
            hoverinfo="text",
        )
    figure.update_layout(xaxis=level_axis.axis(x_title), yaxis=axis(y_title))
    return figure


def _style(curve: CurveView, styles: Mapping[str, Style]) -> Style:
    return ROLE_STYLES.get(curve.role) or styles.get(curve.name) or Style(color("accent"), "circle")


def _add_band(figure: go.Figure, curve: CurveView, style: Style, level_axis: LevelAxis, scale: float) -> None:
    known = [
        (level_axis.places[p.level], scale * p.low, scale * p.high)
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
        fillcolor=tint(style.color),
        line={"width": 0, "color": style.color},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=f"{curve.role} {curve.name}",
    )


def _error_bars(curve: CurveView, style: Style, scale: float) -> dict[str, object] | None:
    point = curve.points[0]
    value, low, high = finite(point.value), finite(point.low), finite(point.high)
    if value is None or low is None or high is None:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (high - value)],
        "arrayminus": [scale * (value - low)],
        "color": style.color,
        "thickness": 2,
    }


def _add_margin(figure: go.Figure, half: float) -> None:
    """Add the zero line and the margin of practical equivalence."""
    shapes = [{"y0": -half, "y1": half, "fillcolor": tint(color("equivalent")), "line": {"width": 0}}]
    for shape in shapes if half else []:
        figure.add_shape(type="rect", x0=0, x1=1, xref="paper", layer="below", **shape)
    line = {"color": color("muted"), "width": 1}
    figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=0, y1=0, line=line, layer="below")
