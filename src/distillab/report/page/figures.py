"""Plots as Plotly figures: what all of them share, and the small ones (counts, teachers, costs)."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from distillab.report.contents.study import Cost, Number, Pictures, ReportContents, Teacher
from distillab.report.page import wording
from distillab.report.page.palette import colour, series

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot")
NAMED_CLASSES = 12  # up to here class names fit under the bars


@dataclass(frozen=True)
class Plot:
    """A figure with what stands around it.

    Attributes:
        key: unique on the page; the id of its element.
        title: its heading, plain text.
        alt: what it shows, in words, for people who cannot see it.
        figure: the Plotly figure, in light shades.
        folded: whether it is folded away until asked for.
    """

    key: str
    title: str
    alt: str
    figure: go.Figure
    folded: bool = False

    @property
    def height(self) -> int:
        """Height in CSS pixels, so that the page does not jump while plots are drawn."""
        return int(self.figure.layout.height)

    @property
    def json(self) -> str:
        """Data and layout as JSON that is safe inside a script element."""
        return script_json(json.loads(self.figure.to_json(engine="json")))


def script_json(value: Any) -> str:
    """JSON in which no character can end a script element or a line of JavaScript."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plain(text: str) -> str:
    """Text for a figure: Plotly reads tags such as ``<b>`` and ``<a>``, so names must not hold any."""
    return html.escape(text, quote=False)


def finite(value: Number) -> float | None:
    """The value, or None where there is no finite number (Plotly leaves a gap there)."""
    return None if wording.missing(value) else value


def short(text: str, width: int) -> str:
    """Text cut to ``width`` characters with an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def legend_name(text: str) -> str:
    """A name that fits beside its symbol on a phone; the whole name is told on hover."""
    return plain(short(text, 30))


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis in the style of the report."""
    return {
        "title": {"text": title, "font": {"size": 13}, "standoff": 10},
        "gridcolor": colour("grid"),
        "linecolor": colour("line"),
        "zeroline": False,
        "automargin": True,
        "tickfont": {"size": 12},
        "fixedrange": True,
        "autotickangles": [0, 90],
    } | settings


def base_figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure in the style of the report: transparent, calm, with its legend above."""
    style = {
        "template": go.layout.Template(),
        "height": height,
        "autosize": True,
        "margin": {"l": 8, "r": 12, "t": 24, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": colour("ink")},
        "hoverlabel": {
            "bgcolor": colour("surface"),
            "bordercolor": colour("line"),
            "font": {"family": FONT, "size": 13, "color": colour("ink")},
            "align": "left",
        },
        "hovermode": "closest",
        "dragmode": False,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.01,
            "yanchor": "bottom",
            "font": {"size": 12},
            "bgcolor": "rgba(0,0,0,0)",
        },
    }
    return go.Figure(layout=style | layout)


@dataclass(frozen=True)
class Style:
    """How a method is drawn, the same in every plot of a page."""

    colour: str
    symbol: str
    dash: str = "solid"


def method_styles(contents: ReportContents) -> dict[str, Style]:
    """A style for every method that is compared with its plain twin, in the study's order."""
    listed = [method.name for method in contents.methods if method.kind != "plain"]
    curves = [curve.name for panel in contents.doses for curve in panel.gains]
    names = list(dict.fromkeys([*listed, *curves, *(effect.method for effect in contents.effects)]))
    return {
        name: Style(series(i), SYMBOLS[i % len(SYMBOLS)], DASHES[i // len(SYMBOLS) % len(DASHES)])
        for i, name in enumerate(names)
    }


def counts_plot(pictures: Pictures, key: str) -> Plot | None:
    """Images a class before and after a factor; None where counts are not part of the pictures."""
    strips = [strip for strip in (pictures.before, *pictures.after) if strip.counts]
    if len(strips) < 2:
        return None
    figure = base_figure(300)
    few = len(pictures.classes) <= NAMED_CLASSES
    order = list(range(len(pictures.classes)))
    if not few:
        order.sort(key=lambda i: (-strips[-1].counts[i], -strips[0].counts[i], i))
    for i, strip in enumerate(strips):
        shade = colour("before") if i == 0 else series(i - 1)
        counts = [strip.counts[c] for c in order]
        hover = [f"{plain(pictures.classes[c])}: {strip.counts[c]} images" for c in order]
        common = {"y": counts, "name": legend_name(strip.title), "hovertext": hover, "hoverinfo": "text+name"}
        if few:
            figure.add_bar(x=list(range(len(order))), marker={"color": shade}, **common)
        else:
            line = {"color": shade, "width": 2, "shape": "hvh", "dash": DASHES[i % len(DASHES)]}
            figure.add_scatter(x=list(range(len(order))), mode="lines", line=line, **common)
    ticks = {
        "tickvals": list(range(len(order))),
        "ticktext": [plain(short(pictures.classes[c], 14)) for c in order],
        "showticklabels": few,
    }
    title = "" if few else f"{len(order)} classes, those with most images left first"
    figure.update_layout(
        xaxis=axis(title, showgrid=False, **ticks),
        yaxis=axis("images a class", rangemode="tozero"),
        bargap=0.25,
        showlegend=True,
    )
    totals = ", ".join(f"{strip.title}: {sum(strip.counts)} images" for strip in strips)
    return Plot(key, "Images a class", f"Images a class before and after the factor. {totals}.", figure)


def teachers_plot(teachers: Sequence[Teacher]) -> Plot | None:
    """Accuracy against calibration error, one marker a teacher, by provenance."""
    known = [t for t in teachers if not wording.missing(t.accuracy) and not wording.missing(t.ece)]
    if not known:
        return None
    figure = base_figure(340)
    for i, provenance in enumerate(dict.fromkeys(teacher.provenance for teacher in known)):
        some = [teacher for teacher in known if teacher.provenance == provenance]
        figure.add_scatter(
            x=[100 * (teacher.accuracy or 0.0) for teacher in some],
            y=[100 * (teacher.ece or 0.0) for teacher in some],
            mode="markers",
            name=legend_name(wording.provenance_text(provenance)),
            marker={"color": series(i), "symbol": SYMBOLS[i % len(SYMBOLS)], "size": 10, "opacity": 0.85},
            hovertext=[_teacher_hover(teacher) for teacher in some],
            hoverinfo="text",
        )
    figure.update_layout(
        xaxis=axis("accuracy of the teacher, %"),
        yaxis=axis("calibration error (ECE), %", rangemode="tozero"),
        showlegend=True,
    )
    alt = f"Accuracy and calibration error of {len(known)} teachers; the table below holds the numbers."
    return Plot("teachers-plot", "Accuracy and calibration of the teachers", alt, figure)


def _teacher_hover(teacher: Teacher) -> str:
    lines = [
        f"<b>{plain(teacher.name)}</b> {plain(teacher.trained_on)}",
        f"accuracy {wording.percent(teacher.accuracy)}, ECE {wording.percent(teacher.ece)}",
    ]
    return "<br>".join(lines)


def costs_plot(costs: Iterable[Cost]) -> Plot | None:
    """Seconds by kind of job, as bars."""
    known = [cost for cost in costs if cost.seconds > 0]
    if not known:
        return None
    total = sum(cost.seconds for cost in known)
    figure = base_figure(90 + 44 * len(known), showlegend=False)
    seconds = [cost.seconds for cost in known]
    unit, scale = ("hours", 3600) if total > 7200 else ("minutes", 60) if total > 300 else ("seconds", 1)
    figure.add_bar(
        x=[value / scale for value in seconds],
        y=[plain(short(cost.kind, 20)) for cost in known],
        orientation="h",
        marker={"color": colour("accent")},
        text=[f" {wording.duration(cost.seconds)} · {cost.seconds / total:.0%}" for cost in known],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    room = 1.6 * max(seconds) / scale  # for the numbers at the ends of the bars
    figure.update_layout(
        xaxis=axis(unit, rangemode="tozero", range=[0, room]),
        yaxis=axis(
            "", autorange="reversed", showgrid=False, ticks="outside", ticklen=6, tickcolor="rgba(0,0,0,0)"
        ),
        bargap=0.35,
    )
    words = ", ".join(f"{cost.kind} {wording.duration(cost.seconds)}" for cost in known)
    return Plot("costs-plot", "Where the time went", f"Time by kind of job: {words}.", figure)
