"""The page: contents laid out by the templates, everything it needs inside one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from distillab.artefacts import write_atomically
from distillab.report.collect.stopping import stopping_table
from distillab.report.contents.study import VERDICTS, Effect, Pictures, ReportContents
from distillab.report.page import tables, wording
from distillab.report.page.dose_response import dose_plots
from distillab.report.page.figures import (
    Plot,
    costs_plot,
    counts_plot,
    method_styles,
    script_json,
    teachers_plot,
)
from distillab.report.page.forest import class_plot, forests
from distillab.report.page.palette import SHADES, dark_twins
from distillab.report.page.pictures import by_class, data_uri, tile_side

SECTIONS = (
    ("answer", "Answer"),
    ("asked", "What was asked"),
    ("pictures", "Pictures"),
    ("gains", "Gains"),
    ("levels", "Gain by level"),
    ("harms", "Who is harmed"),
    ("teachers", "Teachers"),
    ("runs", "Every run"),
    ("cost", "Cost"),
    ("reproduce", "Reproduce"),
)
CLASS_PLOTS_OPEN = 2
CLASS_PLOTS = 8  # further panels are counted in words; their harmed classes are in the table
TILES = 60  # of a strip; the rest is counted in words


def render(contents: ReportContents) -> str:
    """The report as one HTML document that asks the network for nothing.

    Raises:
        ValueError: for a picture that is neither uint8 ``[1 or 3, H, W]`` nor a PNG file.
    """
    return shared_environment().get_template("page.html.j2").render(_context(contents))


def write_report(contents: ReportContents, path: Path | str) -> None:
    """Write the report to ``path``, whole or not at all: to a temporary name beside it, then renamed.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    put_page(render(contents), Path(path))


def put_page(text: str, target: Path) -> None:
    """Write a page whole or not at all. Raises OSError as :func:`write_report`."""
    with write_atomically(target) as draft:
        draft.write_text(text, encoding="utf-8")


@cache
def shared_environment() -> jinja2.Environment:
    """The templates, and what all of them may use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("distillab.report.page", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = coded
    environment.globals |= {
        "w": wording,
        "data_uri": data_uri,
        "by_class": by_class,
        "glyphs": wording.VERDICT_GLYPHS,
        "verdict_words": wording.VERDICT_WORDS,
    }
    return environment


def coded(text: str) -> Markup:
    """Text for a page: what stands between backticks, keys and options, as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _plotly_js() -> Markup:
    """Plotly's JavaScript; a ``</script`` inside one of its strings would end the element early."""
    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def asset(name: str) -> Markup:
    """A style sheet or script of the package, to be embedded as it is."""
    environment = shared_environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _context(contents: ReportContents) -> dict[str, Any]:
    primary = [effect for effect in contents.effects if effect.metric == contents.primary_metric]
    naming = wording.Naming.of(panel.cell for panel in contents.class_panels)
    forest, clipped = forests(contents)
    doses, doses_hidden = dose_plots(contents, method_styles(contents))
    pictures = [_pictures(entry, i) for i, entry in enumerate(contents.pictures)]
    classes = [
        class_plot(panel, f"classes-{i}", naming, folded=i >= CLASS_PLOTS_OPEN)
        for i, panel in enumerate(contents.class_panels[:CLASS_PLOTS])
    ]
    teachers, costs = teachers_plot(contents.teachers), costs_plot(contents.costs)
    plots: list[Plot | None] = [*forest, *(plot for _, panel in doses for plot in panel), *classes]
    plots += [entry["plot"] for entry in pictures] + [teachers, costs]
    return {
        "c": contents,
        "sections": SECTIONS,
        "shades": SHADES,
        "css": asset("style.css"),
        "js": asset("page.js"),
        "plotly_js": _plotly_js(),
        "twins": Markup(script_json(dark_twins())),
        "figures": [(plot.key, Markup(plot.json)) for plot in plots if plot],
        "metric": wording.metric(contents.primary_metric),
        "verdicts": _verdicts(contents, primary),
        "controls": sorted({effect.method for effect in primary} & _controls(contents)),
        "run_counts": _run_counts(contents),
        "forest": forest,
        "clipped": clipped,
        "effects_table": tables.effects_table(primary, contents.primary_metric),
        "doses": doses,
        "doses_hidden": doses_hidden,
        "flat_factors": [factor.name for factor in contents.factors if len(factor.levels) < 2],
        "pictures": pictures,
        "tiles": TILES,
        "harm_table": tables.harm_table(
            [effect for effect in contents.effects if effect.baseline == contents.baseline],
            contents.primary_metric,
        ),
        "quality_table": tables.quality_table(contents.quality),
        "class_plots": classes,
        "class_panels": len(contents.class_panels),
        "harmed_table": tables.harmed_classes_table(contents.class_panels, naming),
        "teachers_plot": teachers,
        "teachers_table": tables.teachers_table(contents.teachers),
        "costs_plot": costs,
        "teacher_share": _teacher_share(contents),
        "phases_table": tables.phases_table(contents.work.phases if contents.work else ()),
        "method_costs_table": tables.method_costs_table(contents.method_costs),
        "stopping_table": stopping_table(contents.stopping, contents.effects),
        "runs_table": tables.runs_table(contents.runs),
        "runs_hidden": max(0, len(contents.runs) - tables.ROWS_SHOWN),
        "failed_checks": sum(not check.passed for p in contents.pictures for check in p.checks),
    }


def _pictures(entry: Pictures, index: int) -> dict[str, Any]:
    """One block of pictures with its bar chart and its checks."""
    return {
        "entry": entry,
        "side": tile_side(entry),
        "plot": counts_plot(entry, f"counts-{index}"),
        "checks": tables.checks_table(entry.checks, f"checks-{index}"),
    }


def _controls(contents: ReportContents) -> set[str]:
    """Methods that distil nothing; their gains are shown, but are not counted as gains of distilling."""
    return {method.name for method in contents.methods if method.kind != "distillation"}


def _verdicts(contents: ReportContents, primary: Sequence[Effect]) -> list[tuple[str, int]]:
    """How often each verdict was reached on distilling, in the primary metric against the main baseline."""
    counted = [
        effect.verdict
        for effect in primary
        if effect.baseline == contents.baseline and effect.method not in _controls(contents)
    ]
    return [(verdict, counted.count(verdict)) for verdict in VERDICTS]


def _run_counts(contents: ReportContents) -> dict[str, int]:
    """Distinct student runs by status. Excluded ones were never planned and have no id: each is counted."""
    ids = {run.run_id: run.status for run in contents.runs if run.run_id}
    statuses: list[str] = [*ids.values(), *(run.status for run in contents.runs if not run.run_id)]
    names = ("done", "failed", "excluded", "running", "queued", "held", "spared")
    return {name: statuses.count(name) for name in names}


def _teacher_share(contents: ReportContents) -> float | None:
    """The share of all seconds that went into teachers and their outputs; None if no time is known."""
    total = sum(cost.seconds for cost in contents.costs)
    teachers = sum(cost.seconds for cost in contents.costs if cost.kind.startswith("teacher"))
    return teachers / total if total > 0 else None
