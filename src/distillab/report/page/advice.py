"""The page of an advice: one HTML file with its what-if sliders, which opens without a network."""

from __future__ import annotations

import math
from importlib import metadata
from pathlib import Path

from markupsafe import Markup

from distillab.advise.answer import Advice, interval_text, points
from distillab.advise.decision import AdviceVerdict
from distillab.canonical import finite_or_none
from distillab.report.page import wording
from distillab.report.page.assets import asset, shared_environment, write_page
from distillab.report.page.figures import script_json
from distillab.report.page.palette import SHADES, dark_shades
from distillab.report.page.table import Column, Table, TableCell, number_cell

BADGES: dict[AdviceVerdict, str] = {
    "distil": "Distil",
    "plain": "Train plainly",
    "undecided": "Undecided",
}
_TONES = {"helps": "helps", "harms": "harms", "equivalent": "equivalent", "undecided": "undecided"}
_KINDS = {
    "data": "Data",
    "teacher": "Teacher",
    "prior": "Evidence base",
    "pilot": "Race on your data",
    "length": "From short to full training",
    "harm": "Harm",
    "check": "A check failed",
    "cost": "Cost",
    "assumption": "Assumption",
}
_COSTS = {
    "plain_seconds": "plain student",
    "distilled_seconds": "distilled student",
    "teacher_seconds": "teacher",
}


def render_advice(advice: Advice) -> str:
    """Return the advice as one HTML document that loads nothing from the network."""
    return shared_environment().get_template("advice.html.j2").render(_context(advice))


def write_advice(advice: Advice, path: Path | str) -> None:
    """Write the page completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    write_page(render_advice(advice), Path(path))


def _context(advice: Advice) -> dict[str, object]:
    return {
        "a": advice,
        "version": metadata.version("distillab"),
        "shades": SHADES,
        "css": asset("style.css") + asset("profile.css") + asset("advice.css"),
        "js": asset("page.js"),
        "advice_js": asset("advice.js"),
        "dark_shades": Markup(script_json(dark_shades())),
        "grid": Markup(script_json(_grid(advice))),
        "badge": BADGES[advice.verdict],
        "tone": _TONES[advice.region],
        "facts": _facts(advice),
        "kinds": _KINDS,
        "race": _race(advice),
        "costs": [
            (label, wording.duration(advice.cost[key]))
            for key, label in _COSTS.items()
            if advice.cost.get(key)
        ],
    }


def _grid(advice: Advice) -> dict[str, object]:
    what_if = advice.what_if
    return {
        "data": list(what_if.data),
        "length": list(what_if.length),
        "margin": advice.margin,
        "points": [
            [[finite_or_none(value) for value in (p.gain, p.low, p.high)] for p in row]
            for row in what_if.points
        ],
    }


def _facts(advice: Advice) -> list[tuple[str, str]]:
    found = []
    if advice.method:
        found.append(("method", advice.method))
        found.append(("expected gain", f"{points(advice.gain)} points"))
        if math.isfinite(advice.low):
            found.append(("range", interval_text(advice.low, advice.high)))
    if math.isfinite(advice.harm_risk):
        found.append(("risk for tail, worst group or class", f"{100 * advice.harm_risk:.0f} %"))
    steps = advice.settings.get("steps")
    if steps:
        found.append(("steps", f"{steps:,}"))
        found.append(("learning rate", f"{advice.settings['lr']:g}"))
    return found


def _race(advice: Advice) -> Table:
    columns = (
        Column("method"),
        Column("pairs", numeric=True),
        Column("steps", numeric=True),
        Column("gain, points", numeric=True),
        Column("80 % interval"),
        Column("study"),
    )
    rows = tuple(
        (
            TableCell(rung.method),
            number_cell(f"{rung.pairs}", rung.pairs),
            number_cell(f"{rung.steps:,}", rung.steps),
            number_cell(points(rung.gain), rung.gain),
            TableCell(
                f"{points(rung.low)} to {points(rung.high)}" if math.isfinite(rung.low) else "unbounded"
            ),
            TableCell(rung.study),
        )
        for rung in advice.rungs
    )
    return Table("race-table", "Paired gains over the plain student, rung by rung", columns, rows)
