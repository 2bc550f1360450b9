"""Forest plots: gains with their intervals, row under row, against the margin of practical equivalence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from distillab.evidence.verdicts import VERDICTS, Verdict
from distillab.printable import plural
from distillab.report.contents.gains import ClassPanel, Effect, Number
from distillab.report.contents.place import Naming, levels_text
from distillab.report.contents.report import ReportContents
from distillab.report.page import wording
from distillab.report.page.figures import Plot, axis, base_figure, finite, plain
from distillab.report.page.palette import color, tint
from distillab.tasks import Metric, Task

SYMBOL_OF: dict[Verdict, str] = {
    "helps": "triangle-up",
    "harms": "triangle-down",
    "equivalent": "square",
    "undecided": "circle-open",
}
ROW, LINE, HEADING = 25, 14, 32  # CSS pixels: a row, each further line of its label, a heading
ROWS_IN_ONE = 48  # a plot with more rows is split by method
OPEN_PLOTS = 2  # of split plots, how many are open
LABEL_WIDTH = 42  # characters in a line of a row's label
CLASSES_IN_ROWS = 30  # more classes are drawn side by side without names


@dataclass(frozen=True)
class ForestRow:
    """A row: a gain in its metric's own unit with its interval, or a heading if ``verdict`` is None."""

    label: str
    gain: Number = None
    low: Number = None
    high: Number = None
    verdict: Verdict | None = None
    hover: str = ""


def effect_rows(effects: Sequence[Effect], metric: Metric) -> list[ForestRow]:
    """Return rows under a heading per method; without factors, one row per method and no headings."""
    rows: list[ForestRow] = []
    bare = len({effect.place.levels for effect in effects}) <= 1
    for method in dict.fromkeys(effect.method for effect in effects):
        if not bare:
            rows.append(ForestRow(method))
        for effect in (e for e in effects if e.method == method):
            label = method if bare else levels_text(effect.place.levels)
            if effect.converged is False:
                label = f"{wording.EARLY_GLYPH} {label} (early training)"
            rows.append(
                ForestRow(
                    label,
                    effect.gain,
                    effect.ci_low,
                    effect.ci_high,
                    effect.verdict,
                    effect_hover(effect, metric),
                )
            )
    return rows


def effect_hover(effect: Effect, metric: Metric) -> str:
    """Return the text that appears over a gain."""
    return "<br>".join(
        [
            f"<b>{plain(effect.method)}</b> against {plain(effect.baseline)}",
            plain(levels_text(effect.place.levels)),
            f"gain {wording.signed(effect.gain, metric)} {metric.unit}, "
            f"interval {wording.interval(effect.ci_low, effect.ci_high, metric)}",
            f"{wording.VERDICT_NAMES[effect.verdict][0]}, {effect.n_pairs} pairs, "
            f"corrected p {plain(wording.p_value(effect.p_adjusted))}",
            *([f"length: {plain(effect.convergence_note)}"] if effect.convergence_note else []),
        ]
    )


def x_range(rows: Iterable[ForestRow], scale: float, margin: float) -> tuple[list[float], bool]:
    """Return the range of the axis in display units, and whether some interval exceeds it.

    A few very wide intervals (of two pairs, say) would make all others unreadably narrow, so the range
    follows the majority.
    """
    ends = [
        v * scale for row in rows for v in (row.low, row.high, row.gain) if v is not None and np.isfinite(v)
    ]
    if not ends:
        return [-1.0, 1.0], False
    low, high = min(*ends, -2 * margin, 0.0), max(*ends, 2 * margin, 0.0)
    inner = np.percentile(ends, [5, 95])
    near_low, near_high = min(1.6 * inner[0], -2 * margin, 0.0), max(1.6 * inner[1], 2 * margin, 0.0)
    clipped = high - low > 2.5 * (near_high - near_low)
    if clipped:
        low, high = near_low, near_high
    pad = 0.05 * (high - low) or 1.0
    return [float(low - pad), float(high + pad)], bool(clipped)


def rows_figure(rows: Sequence[ForestRow], metric: Metric, margin: Number, limits: list[float]) -> go.Figure:
    """Return the forest plot of ``rows``, from top to bottom. Positions on the y axis are CSS pixels."""
    labels, heights = [], []
    for row in rows:
        lines = [plain(line) for line in wording.wrapped(row.label, LABEL_WIDTH)]
        heading = row.verdict is None
        labels.append("<br>".join(f"<b>{line}</b>" if heading else line for line in lines))
        heights.append((HEADING if heading else ROW) + LINE * (len(lines) - 1))
    total = sum(heights)
    places = [-(sum(heights[:i]) + height / 2) for i, height in enumerate(heights)]
    figure = base_figure(total + 96, showlegend=False, margin={"l": 8, "r": 8, "t": 34, "b": 8})
    for verdict in VERDICTS:
        _add_verdict(figure, verdict, rows, places, metric.scale)
    numbers = [_numbers(row, metric) if row.verdict else "" for row in rows]
    figure.add_scatter(x=[0], y=[places[0]], yaxis="y2", opacity=0, hoverinfo="skip", mode="markers")
    ticks: dict[str, object] = {
        "tickvals": places,
        "range": [-total, 0],
        "showgrid": False,
        "ticks": "outside",
        "ticklen": 8,
        "tickcolor": "rgba(0,0,0,0)",
    }
    figure.update_layout(
        xaxis=axis(f"gain in {metric.label}, {metric.unit}", range=limits),
        yaxis=axis("", ticktext=labels, **ticks),
        yaxis2=axis("", ticktext=numbers, overlaying="y", side="right", **ticks),
    )
    _add_reference(figure, metric, margin, limits)
    return figure


def _numbers(row: ForestRow, metric: Metric) -> str:
    if wording.missing(row.gain):
        return "no estimate"
    span = "" if wording.missing(row.low) else f"  {wording.interval(row.low, row.high, metric)}"
    return f"{wording.signed(row.gain, metric)}{span}"


def _add_verdict(
    figure: go.Figure, verdict: Verdict, rows: Sequence[ForestRow], places: Sequence[float], scale: float
) -> None:
    """Add the rows with one verdict as one trace, in the color and shape of that verdict."""
    mine = [
        (row, row.gain * scale, place)
        for row, place in zip(rows, places, strict=True)
        if row.verdict == verdict and row.gain is not None and np.isfinite(row.gain)
    ]
    if not mine:
        return
    above = [
        max((finite(row.high) or 0) * scale - x, 0) if finite(row.high) is not None else 0
        for row, x, _ in mine
    ]
    below = [
        max(x - (finite(row.low) or 0) * scale, 0) if finite(row.low) is not None else 0 for row, x, _ in mine
    ]
    shade = color(verdict)
    figure.add_scatter(
        x=[x for _, x, _ in mine],
        y=[place for _, _, place in mine],
        mode="markers",
        name=wording.VERDICT_NAMES[verdict][0],
        marker={
            "color": shade,
            "symbol": SYMBOL_OF[verdict],
            "size": 10,
            "line": {"width": 2, "color": shade},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
            "color": shade,
            "thickness": 2,
            "width": 0,
        },
        hovertext=[row.hover for row, _, _ in mine],
        hoverinfo="text",
    )


def _add_reference(figure: go.Figure, metric: Metric, margin: Number, limits: list[float]) -> None:
    """Add the zero line, the shaded margin, and the words for both sides."""
    if margin is not None and np.isfinite(margin):
        half = margin * metric.scale
        figure.add_shape(
            type="rect",
            x0=-half,
            x1=half,
            y0=0,
            y1=1,
            yref="paper",
            fillcolor=tint(color("equivalent")),
            line={"width": 0},
            layer="below",
        )
    figure.add_shape(
        type="line",
        x0=0,
        x1=0,
        y0=0,
        y1=1,
        yref="paper",
        line={"color": color("muted"), "width": 1},
        layer="below",
    )
    sides = [(limits[0], "left", "◂ worse"), (limits[1], "right", "better ▸")]
    if not metric.higher_is_better:
        sides = [(limits[0], "left", "◂ better"), (limits[1], "right", "worse ▸")]
    for x, anchor, text in sides:
        figure.add_annotation(
            x=x,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor=anchor,
            text=text,
            showarrow=False,
            font={"size": 12, "color": color("muted")},
        )


def forests(contents: ReportContents) -> tuple[list[Plot], bool]:
    """Return the forest plots of the metric of the answer, and whether an interval exceeds them.

    There is one plot per dataset, pair, provenance and baseline; with very many rows, one per method. The
    later ones, and those against another baseline than the report's, are folded.
    """
    metric, margin = contents.answered, contents.statistics.margin
    effects = [effect for effect in contents.effects if effect.metric == metric.name]
    naming = Naming.of(effect.place for effect in effects)
    limits, clipped = x_range(
        effect_rows(effects, metric), metric.scale, (finite(margin) or 0.0) * metric.scale
    )
    split = len(effects) > ROWS_IN_ONE
    groups: dict[tuple[bool, str], list[Effect]] = {}
    for effect in effects:
        other = effect.baseline != contents.baseline
        names = [naming.group(effect.place), f"against {effect.baseline}" if other else ""]
        title = " · ".join(filter(None, [*names, effect.method if split else ""]))
        groups.setdefault((other, title), []).append(effect)
    plots: list[Plot] = []
    for (other, title), members in sorted(groups.items(), key=lambda item: item[0][0]):  # stable
        figure = rows_figure(effect_rows(members, metric), metric, margin, limits)
        title = title or "Gains of distillation over plain training"
        folded = other or (split and len(plots) >= OPEN_PLOTS)
        plots.append(Plot(f"forest-{len(plots)}", title, _alt(members), figure, folded))
    return plots, clipped


def _alt(effects: Sequence[Effect]) -> str:
    counted = [(wording.VERDICT_NAMES[v][0], sum(e.verdict == v for e in effects)) for v in VERDICTS]
    text = ", ".join(f"{n} {name}" for name, n in counted if n)
    return f"Forest plot of {len(effects)} gains with intervals: {text}. The numbers are in the table."


def class_plot(panel: ClassPanel, key: str, naming: Naming, task: Task, *, folded: bool = False) -> Plot:
    """Return gains per class, by number of training examples if that differs, else from gain to loss."""
    metric, noun = task.class_metric, task.class_noun
    sizes = {c.n_train for c in panel.classes if c.n_train is not None}
    by_size = len(sizes) > 1
    ordered = sorted(
        panel.classes,
        key=lambda c: (-(c.n_train or 0) if by_size else 0, -(finite(c.gain) or 0.0), c.name),
    )
    rows = [
        ForestRow(
            f"{c.name} ({c.n_train})" if by_size else c.name,
            c.gain,
            c.ci_low,
            c.ci_high,
            c.verdict,
            f"<b>{plain(c.name)}</b><br>gain {wording.signed(c.gain, metric)} {metric.unit}, "
            f"interval {wording.interval(c.ci_low, c.ci_high, metric)}<br>"
            f"corrected p {plain(wording.p_value(c.p_adjusted))}, "
            f"{wording.DASH if c.n_train is None else c.n_train} training examples",
        )
        for c in ordered
    ]
    limits, _ = x_range(rows, metric.scale, 0.0)
    if len(rows) <= CLASSES_IN_ROWS:
        figure = rows_figure(rows, metric, None, limits)
        order = "most training examples first (their number in brackets)" if by_size else "largest gain first"
    else:
        order = "most training examples first" if by_size else "largest gain first"
        figure = _side_by_side(rows, limits, metric, f"{len(rows)} {plural(noun)}, {order}")
    harmed = [c.name for c in panel.classes if c.verdict == "harms"]
    alt = f"Gains of {len(rows)} {plural(noun)}, {order}; {len(harmed)} harmed after correction."
    title = " · ".join(filter(None, [panel.method, naming.full(panel.place)]))
    return Plot(key, title, alt, figure, folded)


def _side_by_side(rows: Sequence[ForestRow], limits: list[float], metric: Metric, title: str) -> go.Figure:
    """Return many classes side by side; their names appear on hover and in the table."""
    figure = base_figure(360, showlegend=True)
    for verdict in VERDICTS:
        mine = [
            (i, row) for i, row in enumerate(rows) if row.verdict == verdict and finite(row.gain) is not None
        ]
        if not mine:
            continue
        scale = metric.scale
        gains = [scale * (row.gain or 0.0) for _, row in mine]
        ends = [(finite(row.low), finite(row.high)) for _, row in mine]
        figure.add_scatter(
            x=[i for i, _ in mine],
            y=gains,
            mode="markers",
            name=wording.VERDICT_NAMES[verdict][0],
            marker={"color": color(verdict), "symbol": SYMBOL_OF[verdict], "size": 7},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [
                    0 if high is None else scale * high - g for g, (_, high) in zip(gains, ends, strict=True)
                ],
                "arrayminus": [
                    0 if low is None else g - scale * low for g, (low, _) in zip(gains, ends, strict=True)
                ],
                "thickness": 1,
                "width": 0,
                "color": color(verdict),
            },
            hovertext=[row.hover for _, row in mine],
            hoverinfo="text",
        )
    figure.update_layout(
        xaxis=axis(title, showticklabels=False, showgrid=False),
        yaxis=axis(f"gain, {metric.unit}", range=limits, zeroline=True, zerolinecolor=color("muted")),
    )
    return figure
