"""The page of conclusions over several data sets: one HTML file with its figures inside."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from markupsafe import Markup

from distillab.evidence.across import AcrossSets, AnswerAcross
from distillab.report.page import across_tables
from distillab.report.page.across_plots import base_set_plots, curve_plots, methods_plot, ranks_plot
from distillab.report.page.assets import asset, plotly_js, shared_environment, write_page
from distillab.report.page.figures import Plot, script_json
from distillab.report.page.palette import SHADES, dark_shades

ACROSS_SECTIONS = (
    ("answer", "Answer"),
    ("harms", "What is harmed"),
    ("methods", "Methods"),
    ("base-sets", "Base sets"),
    ("ranks", "Ranks"),
    ("factors", "What decides"),
    ("sizes", "Worth in data"),
    ("statistics", "How it was computed"),
)


def render_across(found: AcrossSets, answer: AnswerAcross) -> str:
    """Return the page as one HTML document that loads nothing from the network.

    Example:
        >>> from distillab.evidence.across import ContextTable, conclude_across, summarize_across
        >>> from distillab.tasks import Classification
        >>> nothing = conclude_across(ContextTable(()), Classification())
        >>> "No context has a pair" in render_across(nothing, summarize_across(nothing))
        True
    """
    return shared_environment().get_template("across.html.j2").render(_across_context(found, answer))


def write_across(found: AcrossSets, answer: AnswerAcross, path: Path) -> None:
    """Write the page completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    write_page(render_across(found, answer), path)


def _across_context(found: AcrossSets, answer: AnswerAcross) -> dict[str, object]:
    metric = found.task.metrics[found.task.primary]
    overall, ranks = methods_plot(found), ranks_plot(found)
    by_set, curves = base_set_plots(found), curve_plots(found)
    plots: list[Plot | None] = [overall, *by_set, ranks, *curves]
    return {
        "a": answer,
        "found": found,
        "metric": metric,
        "version": metadata.version("distillab"),
        "sections": ACROSS_SECTIONS,
        "shades": SHADES,
        "css": asset("style.css"),
        "js": asset("page.js"),
        "plotly_js": plotly_js(),
        "dark_shades": Markup(script_json(dark_shades())),
        "figures": [(plot.key, Markup(plot.json)) for plot in plots if plot],
        "overall": overall,
        "by_set": by_set,
        "ranks": ranks,
        "curves": curves,
        "methods_table": across_tables.methods_table(found),
        "harms_table": across_tables.harms_table(found),
        "base_sets_table": across_tables.base_sets_table(found),
        "pairs_table": across_tables.rank_pairs_table(found),
        "factors_tables": across_tables.factors_tables(found),
        "multipliers_table": across_tables.multipliers_table(found),
        "refusals": across_tables.refusals(found),
    }
