"""The page of a study: its contents in templates, with everything it needs in one file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from distillab.evidence.families import EXPLORATORY
from distillab.evidence.verdicts import VERDICTS, Verdict
from distillab.printable import counted, plural
from distillab.report.contents.gains import Effect
from distillab.report.contents.pictures import Pictures
from distillab.report.contents.place import Naming
from distillab.report.contents.report import ReportContents
from distillab.report.page import run_tables, tables, tuning_tables, wording
from distillab.report.page.assets import asset, plotly_js, shared_environment, write_page
from distillab.report.page.detections import (
    box_key,
    class_precision_table,
    picture_with_boxes,
    precision_plots,
)
from distillab.report.page.dose_response import dose_plots
from distillab.report.page.exits import exits_plot, exits_table
from distillab.report.page.explanation_tables import explanation_tables
from distillab.report.page.figures import (
    Plot,
    costs_plot,
    counts_plot,
    method_styles,
    script_json,
    teachers_plot,
)
from distillab.report.page.forest import class_plot, forests
from distillab.report.page.palette import SHADES, dark_shades
from distillab.report.page.pictures import has_sounds, tile_side
from distillab.report.page.saved_figures import save_figures
from distillab.report.page.table import Table
from distillab.report.page.tracks import frame_with_tracks

SECTIONS = (
    ("answer", "Answer"),
    ("question", "What was studied"),
    ("pictures", "Pictures"),
    ("gains", "Gains"),
    ("levels", "Gain by level"),
    ("harms", "Who is harmed"),
    ("teachers", "Teachers"),
    ("explanations", "Where networks look"),
    ("retrieval", "What is retrieved"),
    ("detections", "What is found"),
    ("tracks", "What is followed"),
    ("runs", "All runs"),
    ("cost", "Cost"),
    ("reproduce", "Reproduce"),
)
CLASS_PLOTS_OPEN = 2
CLASS_PLOTS = 8  # further panels are only counted; their harmed classes are in the table
TILES_SHOWN = 60  # per strip; the rest is only counted


def render(contents: ReportContents) -> str:
    """Return the report as one HTML document that loads nothing from the network.

    Raises:
        ValueError: A picture is neither uint8 ``[1 or 3, H, W]`` nor a PNG file.

    Example:
        >>> from distillab.evidence import Answer
        >>> html = render(ReportContents("photos", Answer("Nothing has run yet.")))
        >>> "<h1 id=\\"answer-title\\">Nothing has run yet.</h1>" in html
        True
    """
    return shared_environment().get_template("page.html.j2").render(_context(contents))


def write_figures(contents: ReportContents, folder: Path) -> list[Path]:
    """Write every figure of a report as PNG and SVG into a folder, and return the files.

    Raises:
        RequestError: There is no Chromium or Chrome to draw them.
        OSError: The folder cannot be written.

    Example:
        >>> from distillab.evidence import Answer
        >>> write_figures(ReportContents("photos", Answer("Nothing has run yet.")), Path("figures"))
        []
    """
    plots = _context(contents)["plots"]
    assert isinstance(plots, list)
    return save_figures(((plot.key, plot.json, plot.height) for plot in plots), folder)


def write_report(contents: ReportContents, path: Path | str) -> None:
    """Write the report to ``path``, completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.

    Example:
        >>> import tempfile
        >>> from distillab.evidence import Answer
        >>> path = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(ReportContents("photos", Answer("Nothing has run yet.")), path)
        >>> path.read_text()[:15]
        '<!doctype html>'
    """
    write_page(render(contents), Path(path))


def _context(contents: ReportContents) -> dict[str, object]:
    task, primary = contents.task, contents.answered
    on_primary = [effect for effect in contents.effects if effect.metric == primary.name]
    naming = Naming.of(panel.place for panel in contents.class_panels)
    forest, clipped = forests(contents)
    styles = method_styles(contents)
    doses, doses_hidden = dose_plots(contents, styles)
    precision = precision_plots(contents.detections, styles, task)
    pictures = [_PictureBlock.of(entry, str(i), task.class_noun) for i, entry in enumerate(contents.pictures)]
    classes = [
        class_plot(panel, f"classes-{i}", naming, task, folded=i >= CLASS_PLOTS_OPEN)
        for i, panel in enumerate(contents.class_panels[:CLASS_PLOTS])
    ]
    exits, costs = exits_plot(contents), costs_plot(contents.costs)
    teachers = teachers_plot(contents.teachers, task)
    plots: list[Plot | None] = [*forest, *(plot for _, panel in doses for plot in panel), *classes]
    plots += [block.plot for block in pictures] + [*precision, exits, teachers, costs]
    return {
        "c": contents,
        **_sections(contents),
        "shades": SHADES,
        "css": asset("style.css"),
        "js": asset("page.js"),
        "plotly_js": plotly_js(),
        "dark_shades": Markup(script_json(dark_shades())),
        "figures": [(plot.key, Markup(plot.json)) for plot in plots if plot],
        "plots": [plot for plot in plots if plot],
        "metric": primary,
        "noun": task.class_noun,
        "nouns": plural(task.class_noun),
        "verdicts": _verdicts(contents, on_primary),
        "exploratory": len(_of_methods(contents, on_primary)) - len(_declared(contents, on_primary)),
        "length_glyph": wording.EARLY_GLYPH,
        "controls": sorted({effect.method for effect in on_primary} & contents.controls),
        "class_losses": class_losses(contents),
        "run_counts": run_counts(contents),
        "forest": forest,
        "clipped": clipped,
        "effects_table": tables.effects_table(on_primary, primary),
        "level_table": _level_table(contents),
        "exits_plot": exits,
        "precision_plots": precision,
        "doses": doses,
        "doses_hidden": doses_hidden,
        "flat_factors": [factor.name for factor in contents.factors if len(factor.levels) < 2],
        "pictures": pictures,
        "tiles": TILES_SHOWN,
        "harm_table": tables.harm_table(_on_baseline(contents), task),
        "quality_table": tables.quality_table(contents.quality, task),
        "class_plots": classes,
        "class_panels": len(contents.class_panels),
        "harmed_table": tables.harmed_table(contents.class_panels, naming, task),
        "teachers_plot": teachers,
        "costs_plot": costs,
        "teacher_share": _teacher_share(contents),
        **_further_tables(contents),
        "runs_table": run_tables.runs_table(contents.runs, task),
        "runs_hidden": max(0, len(contents.runs) - run_tables.ROWS_SHOWN),
        "failed_checks": sum(not check.passed for p in contents.pictures for check in p.checks),
    }


def _further_tables(contents: ReportContents) -> dict[str, Table | list[Table] | None]:
    return {
        "tuning_table": tuning_tables.choices_table(contents.tuning, contents.primary),
        "tuned_gains_table": tuning_tables.tuned_gains_table(contents.tuning, contents.primary),
        "stopping_table": tables.stopping_table(contents.stopping, contents.effects, contents.primary),
        "class_precision_table": class_precision_table(contents.detections, contents.task),
        "exits_table": exits_table(contents),
        "labels_table": tables.labels_table(contents.labels, contents.task),
        "groups_table": tables.groups_table(contents.groups, contents.task),
        "teachers_tables": run_tables.teachers_tables(contents, contents.task),
        "phases_table": run_tables.phases_table(contents.usage.phases if contents.usage else {}),
        "method_costs_table": run_tables.method_costs_table(contents.method_costs),
    }


def _sections(contents: ReportContents) -> dict[str, object]:
    """Return the sections of a report; those that only some studies have are there if they hold something."""
    some = {name: getattr(contents, name) for name in ("explanations", "retrieval", "detections", "tracks")}
    shown = [each for each in SECTIONS if some.get(each[0], True)]
    tables = explanation_tables(contents.explanations, contents.task)
    drawing = {"picture_with_boxes": picture_with_boxes, "box_key": box_key}
    drawing |= {"frame_with_tracks": frame_with_tracks}
    noun = contents.task.class_noun
    examples = contents.examples and _PictureBlock.of(contents.examples, "examples", noun)
    return {"sections": shown, "explanation_tables": tables, "examples": examples, **drawing}


def _level_table(contents: ReportContents) -> Table:
    effects = [effect for effect in contents.level_effects if effect.metric == contents.answered.name]
    return tables.level_effects_table(effects, contents.answered)


def _on_baseline(contents: ReportContents) -> list[Effect]:
    return [effect for effect in contents.effects if effect.baseline == contents.baseline]


@dataclass(frozen=True)
class _PictureBlock:
    """The pictures of a factor with their layout: side of a tile in CSS pixels, bar chart and checks."""

    entry: Pictures
    side: int
    sounds: bool
    plot: Plot | None
    checks: Table

    @classmethod
    def of(cls, entry: Pictures, index: str, noun: str) -> _PictureBlock:
        return cls(
            entry,
            tile_side(entry),
            has_sounds(entry),
            counts_plot(entry, f"counts-{index}", noun),
            run_tables.checks_table(entry.checks, f"checks-{index}"),
        )


def _verdicts(contents: ReportContents, on_primary: Sequence[Effect]) -> list[tuple[Verdict, int]]:
    """Return how often distillation methods reached each verdict against the main baseline."""
    counted = [effect.verdict for effect in _declared(contents, on_primary)]
    return [(verdict, counted.count(verdict)) for verdict in VERDICTS]


def _declared(contents: ReportContents, on_primary: Sequence[Effect]) -> list[Effect]:
    """Return the gains that verdicts are about: those that the study declares, or all if it declares none."""
    mine = _of_methods(contents, on_primary)
    return [effect for effect in mine if effect.undecided_because != EXPLORATORY] or mine


def _of_methods(contents: ReportContents, on_primary: Sequence[Effect]) -> list[Effect]:
    """Return the gains of distillation methods over the main baseline."""
    return [
        effect
        for effect in on_primary
        if effect.baseline == contents.baseline and effect.method not in contents.controls
    ]


def class_losses(contents: ReportContents) -> list[str]:
    """Return how many classes each distillation method harms after correction, one sentence per method.

    Example:
        >>> from distillab.evidence import Answer
        >>> class_losses(ReportContents("photos", Answer("Nothing has run yet.")))
        []
    """
    noun, by_method = contents.task.class_noun, defaultdict[str, list[int]](list)
    for panel in contents.class_panels:
        if panel.method not in contents.controls:
            harmed = sum(each.verdict == "harms" for each in panel.classes)
            by_method[panel.method].append(harmed)
    sentences = []
    for method, counts in by_method.items():
        places = sum(count > 0 for count in counts)
        if places:
            where = f" in {places} of {counted(len(counts), 'comparison')}" if len(counts) > 1 else ""
            most = "up to " if places > 1 else ""
            number = counted(max(counts), noun)
            verb = "loses" if max(counts) == 1 else "lose"
            sentences.append(f"{method}: {most}{number} {verb}{where}, after correction for their number.")
    return sentences


def run_counts(contents: ReportContents) -> dict[str, int]:
    """Return the number of distinct student runs by status.

    Excluded runs were never planned and have no id: each is counted.
    """
    ids = {run.run_id: run.status for run in contents.runs if run.run_id}
    statuses: list[str] = [*ids.values(), *(run.status for run in contents.runs if not run.run_id)]
    names = ("done", "failed", "excluded", "running", "queued", "held", "spared")
    return {name: statuses.count(name) for name in names}


def _teacher_share(contents: ReportContents) -> float | None:
    """Return the share of all seconds spent on teachers and their outputs; None if no time is known."""
    total = sum(cost.seconds for cost in contents.costs)
    teachers = sum(cost.seconds for cost in contents.costs if cost.kind.startswith("teacher"))
    return teachers / total if total > 0 else None
