"""The page for the one who ships a student: what to ship, how good and how fast it is, and where it errs."""

from __future__ import annotations

import math
from importlib import metadata
from pathlib import Path

from markupsafe import Markup

from distillab.report.contents.student import Confusion, ReliabilityCurve, StudentView, Tried
from distillab.report.page import wording
from distillab.report.page.assets import asset, plotly_js, shared_environment, write_page
from distillab.report.page.figures import DASHES, SYMBOLS, Plot, axis, base_figure, legend_name, script_json
from distillab.report.page.palette import SHADES, color, dark_shades, series_color
from distillab.report.page.table import Column, Table, TableCell, number_cell
from distillab.shipping.answer import Ship, ShippingAnswer

PAGE_FILE = "student.html"
_BADGES: dict[Ship, str] = {
    "distilled": "Ship the distilled student",
    "plain": "Ship the plain student",
    "undecided": "Undecided",
}
_TONES: dict[Ship, str] = {"distilled": "helps", "plain": "equivalent", "undecided": "undecided"}
_SIDE, _LARGE_SIDE = 64, 92  # CSS pixels of a photograph


def render_student(answer: ShippingAnswer, view: StudentView | None) -> str:
    """Return the page as one HTML document that loads nothing from the network."""
    return shared_environment().get_template("student.html.j2").render(_context(answer, view))


def write_student(answer: ShippingAnswer, view: StudentView | None, path: Path | str) -> None:
    """Write the page completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    write_page(render_student(answer, view), Path(path))


def _context(answer: ShippingAnswer, view: StudentView | None) -> dict[str, object]:
    plots = [] if view is None else [_reliability(view.reliability), _costs(view.tried, answer.metric)]
    shown = [plot for plot in plots if plot is not None]
    return {
        "a": answer,
        "v": view,
        "version": metadata.version("distillab"),
        "shades": SHADES,
        "css": asset("style.css") + asset("profile.css"),
        "js": asset("page.js"),
        "plotly_js": plotly_js(),
        "dark_shades": Markup(script_json(dark_shades())),
        "figures": [(plot.key, Markup(plot.json)) for plot in shown],
        "plots": shown,
        "badge": _BADGES[answer.ship],
        "tone": _TONES[answer.ship],
        "facts": _facts(answer, view),
        "confusions": _confusions(view.confusions) if view and view.confusions else None,
        "tried": _tried(view.tried, answer.metric) if view and view.tried else None,
        "side": _LARGE_SIDE if view and _is_large(view) else _SIDE,
        "checks": _checks(answer),
    }


def _is_large(view: StudentView) -> bool:
    sides = [
        max(picture.pixels.shape[1:])
        for gallery in view.galleries
        for _, row in gallery.rows
        for picture in row
    ]
    return max(sides, default=0) > _SIDE


def _facts(answer: ShippingAnswer, view: StudentView | None) -> list[tuple[str, str]]:
    found = []
    scores = {
        "distilled": answer.distilled_score,
        "plain": answer.plain_score,
        "teacher": answer.teacher_score,
    }
    for name, score in scores.items():
        if math.isfinite(score):
            found.append((f"{answer.metric}, {name}", f"{100 * score:.1f} %"))
    if math.isfinite(answer.gain):
        ends = ""
        if math.isfinite(answer.low + answer.high):
            ends = f" ({100 * answer.low:+.1f} to {100 * answer.high:+.1f})"
        found.append(("gain", f"{100 * answer.gain:+.1f} points{ends}"))
        found.append(("pairs", str(answer.pairs)))
    shipped = next((each for each in view.tried if each.shipped), None) if view else None
    if shipped:
        found.append(("latency", f"{shipped.milliseconds:.1f} ms"))
        found.append(("parameters", wording.whole(shipped.params)))
    return found


def _checks(answer: ShippingAnswer) -> list[tuple[str, str]]:
    """Return the checks of the exported files as (name, what was found)."""
    checks = (answer.checks or {}).get("checks")
    if not isinstance(checks, dict):
        return []
    return [(str(name), str(value)) for name, value in checks.items() if not isinstance(value, dict | list)]


def _confusions(found: tuple[Confusion, ...]) -> Table:
    columns = (
        Column("class"),
        Column("predicted as"),
        Column("plain", numeric=True),
        Column("distilled", numeric=True),
        Column("change", numeric=True),
    )
    rows = tuple(
        (
            TableCell(each.label),
            TableCell(each.predicted),
            number_cell(str(each.plain), each.plain),
            number_cell(str(each.distilled), each.distilled),
            number_cell(f"{each.change:+d}", each.change, "helps" if each.change < 0 else "harms"),
        )
        for each in found
    )
    return Table("confusions-table", "Confusions that changed most, in test examples", columns, rows)


def _tried(found: tuple[Tried, ...], metric: str) -> Table:
    columns = (
        Column("network"),
        Column(f"{metric} on test", numeric=True),
        Column("latency of one example, ms", numeric=True),
        Column("parameters", numeric=True),
    )
    rows = tuple(
        (
            TableCell(f"{each.name}{' (shipped)' if each.shipped else ''}"),
            number_cell(f"{100 * each.score:.1f} %", each.score),
            number_cell(f"{each.milliseconds:.2f}", each.milliseconds),
            number_cell(wording.whole(each.params), each.params),
        )
        for each in found
    )
    return Table("tried-table", "Everything tried: score, latency and size", columns, rows)


def _reliability(curves: tuple[ReliabilityCurve, ...]) -> Plot | None:
    if not curves:
        return None
    figure = base_figure(380)
    line = {"color": color("line"), "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="calibrated", hoverinfo="skip")
    for place, curve in enumerate(curves):
        figure.add_scatter(
            x=list(curve.confidence),
            y=list(curve.accuracy),
            mode="lines+markers",
            name=legend_name(curve.name),
            line={"color": series_color(place), "dash": DASHES[place % len(DASHES)]},
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8},
            customdata=list(curve.counts),
            hovertemplate="confidence %{x:.2f}, right %{y:.2f}, %{customdata} examples<extra></extra>",
        )
    figure.update_xaxes(axis("confidence of the prediction", range=[0, 1.02]))
    figure.update_yaxes(axis("share that is right", range=[0, 1.02]))
    return Plot(
        "reliability",
        "Is the student as sure as it should be?",
        "Reliability diagram: share of right predictions by confidence, for the plain and the distilled "
        "student and the teacher.",
        figure,
    )


def _costs(found: tuple[Tried, ...], metric: str) -> Plot | None:
    if len(found) < 2:
        return None
    figure = base_figure(340)
    for place, each in enumerate(found):
        figure.add_scatter(
            x=[each.milliseconds],
            y=[100 * each.score],
            mode="markers",
            name=legend_name(each.name),
            marker={
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "size": 16 if each.shipped else 11,
                "color": series_color(place),
            },
            hovertemplate="%{x:.2f} ms, %{y:.1f} %<extra></extra>",
        )
    figure.update_xaxes(axis("latency of one example on this CPU, ms", rangemode="tozero"))
    figure.update_yaxes(axis(f"{metric} on test, %"))
    return Plot(
        "costs",
        "Latency against score of everything tried",
        "Latency of one example against the score on test, for both students and the teacher.",
        figure,
    )
