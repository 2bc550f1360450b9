"""Plots as Plotly figures: their common parts, and the small ones (counts, teachers, costs)."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from distillab.printable import plural, printable
from distillab.report.contents.cost import Cost
from distillab.report.contents.gains import Number
from distillab.report.contents.pictures import Pictures
from distillab.report.contents.place import provenance_text
from distillab.report.contents.report import ReportContents
from distillab.report.contents.runs import TeacherView
from distillab.report.page import wording
from distillab.report.page.palette import color, series_color
from distillab.tasks import Task

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot")
NAMED_CLASSES = 12  # up to here class names fit under the bars


@dataclass(frozen=True)
class Plot:
    """A figure with its surroundings.

    Attributes:
        key: Unique on the page; the id of its element.
        title: Its heading, plain text.
        alt: A description for people who cannot see it.
        figure: The Plotly figure, in light shades.
        folded: Whether it is folded until a reader opens it.
    """

    key: str
    title: str
    alt: str
    figure: go.Figure
    folded: bool = False

    @property
    def height(self) -> int:
        """The height in CSS pixels, so that the page does not jump while plots are drawn."""
        return int(self.figure.layout.height)

    @property
    def json(self) -> str:
        """Data and layout as JSON that is safe inside a script element."""
        return script_json(json.loads(self.figure.to_json(engine="json")))


def script_json(value: Any) -> str:
    """Return JSON in which no character can end a script element or a line of JavaScript."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plain(text: str) -> str:
    """Return text for a figure without tags, because Plotly interprets ``<b>`` and ``<a>``."""
    return html.escape(printable(text), quote=False)


def finite(value: Number) -> float | None:
    """Return the value, or None if it is not finite (Plotly leaves a gap there)."""
    return None if wording.missing(value) else value


def short(text: str, width: int) -> str:
    """Return text cut to ``width`` characters with an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def legend_name(text: str) -> str:
    """Return a name that fits beside its symbol on a phone; the full name appears on hover."""
    return plain(short(text, 30))


def axis(title: str, **settings: object) -> dict[str, object]:
    """Return an axis in the style of the report."""
    return {
        "title": {"text": title, "font": {"size": 13}, "standoff": 10},
        "gridcolor": color("grid"),
        "linecolor": color("line"),
        "zeroline": False,
        "automargin": True,
        "tickfont": {"size": 12},
        "fixedrange": True,
        "autotickangles": [0, 90],
    } | settings


def base_figure(height: int, **layout: Any) -> go.Figure:
    """Return an empty figure in the style of the report: transparent, with its legend above."""
    style = {
        "template": go.layout.Template(),
        "height": height,
        "autosize": True,
        "margin": {"l": 8, "r": 12, "t": 24, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": color("ink")},
        "hoverlabel": {
            "bgcolor": color("surface"),
            "bordercolor": color("line"),
            "font": {"family": FONT, "size": 13, "color": color("ink")},
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

    color: str
    symbol: str
    dash: str = "solid"


def method_styles(contents: ReportContents) -> dict[str, Style]:
    """Return a style for every method that is compared with plain training, in the order of the study."""
    listed = [method.name for method in contents.methods if method.kind != "plain"]
    curves = [curve.name for panel in contents.doses for curve in panel.gains]
    names = list(dict.fromkeys([*listed, *curves, *(effect.method for effect in contents.effects)]))
    return {
        name: Style(series_color(i), SYMBOLS[i % len(SYMBOLS)], DASHES[i // len(SYMBOLS) % len(DASHES)])
        for i, name in enumerate(names)
    }


def counts_plot(pictures: Pictures, key: str, noun: str) -> Plot | None:
    """Return examples per class before and after a factor; None if the pictures have no counts.

    Args:
        pictures: The pictures of a factor.
        key: The id of the plot.
        noun: What is counted per: ``class`` or ``label``.
    """
    strips = [strip for strip in (pictures.before, *pictures.after) if strip.counts]
    if len(strips) < 2:
        return None
    figure = base_figure(300)
    few = len(pictures.classes) <= NAMED_CLASSES
    order = list(range(len(pictures.classes)))
    if not few:
        order.sort(key=lambda i: (-strips[-1].counts[i], -strips[0].counts[i], i))
    for i, strip in enumerate(strips):
        shade = color("before") if i == 0 else series_color(i - 1)
        counts = [strip.counts[c] for c in order]
        hover = [f"{plain(pictures.classes[c])}: {strip.counts[c]} examples" for c in order]
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
    title = "" if few else f"{len(order)} {plural(noun)}, most frequent first"
    figure.update_layout(
        xaxis=axis(title, showgrid=False, **ticks),
        yaxis=axis(f"examples per {noun}", rangemode="tozero"),
        bargap=0.25,
        showlegend=True,
    )
    totals = ", ".join(f"{strip.title}: {sum(strip.counts)}" for strip in strips)
    title = f"Examples per {noun}"
    return Plot(key, title, f"{title} before and after the factor. In total, {totals}.", figure)


CALIBRATION = "ece"


def teachers_plot(teachers: Sequence[TeacherView], task: Task) -> Plot | None:
    """Return the primary metric against the calibration error, one marker per teacher, by provenance.

    The result is None if the task has no calibration error or no teacher was measured.
    """
    known = [
        teacher
        for teacher in teachers
        if not any(wording.missing(teacher.measures.get(name)) for name in (task.primary, CALIBRATION))
    ]
    if not known:
        return None
    primary, calibration = task.metrics[task.primary], task.metrics[CALIBRATION]
    figure = base_figure(340)
    for i, provenance in enumerate(dict.fromkeys(teacher.provenance for teacher in known)):
        some = [teacher for teacher in known if teacher.provenance == provenance]
        figure.add_scatter(
            x=[primary.scale * (teacher.measures[primary.name] or 0.0) for teacher in some],
            y=[calibration.scale * (teacher.measures[CALIBRATION] or 0.0) for teacher in some],
            mode="markers",
            name=legend_name(provenance_text(provenance)),
            marker={
                "color": series_color(i),
                "symbol": SYMBOLS[i % len(SYMBOLS)],
                "size": 10,
                "opacity": 0.85,
            },
            hovertext=[
                f"<b>{plain(teacher.name)}</b> {plain(teacher.trained_on)}<br>"
                f"{primary.label} {wording.score(teacher.measures[primary.name], primary)}, "
                f"{calibration.label} {wording.score(teacher.measures[CALIBRATION], calibration)}"
                for teacher in some
            ],
            hoverinfo="text",
        )
    figure.update_layout(
        xaxis=axis(f"{primary.label} of the teacher, %"),
        yaxis=axis(f"{calibration.label}, %", rangemode="tozero"),
        showlegend=True,
    )
    title = f"{primary.title} and calibration of the teachers"
    return Plot("teachers-plot", title, f"{title}: {len(known)} teachers, listed in the table below.", figure)


def costs_plot(costs: Iterable[Cost]) -> Plot | None:
    """Return seconds by kind of job, as bars."""
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
        marker={"color": color("accent")},
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
    text = ", ".join(f"{cost.kind} {wording.duration(cost.seconds)}" for cost in known)
    return Plot("costs-plot", "Where the time went", f"Time by kind of job: {text}.", figure)
