"""The page of a compression: what to ship, the Pareto front, every arm, and what distillation is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from markupsafe import Markup
from plotly.graph_objects import Figure

from distillab.deploy.compression.arms import KIND_NOUNS, CompressionArm
from distillab.deploy.compression.result import ESTIMAND, Compressed, RecoveryGain
from distillab.evidence.verdicts import Verdict
from distillab.report.page import wording
from distillab.report.page.assets import asset, plotly_js, shared_environment, write_page
from distillab.report.page.figures import SYMBOLS, Plot, axis, base_figure, plain, script_json
from distillab.report.page.palette import SHADES, color, dark_shades, series_color
from distillab.report.page.table import (
    Column,
    Table,
    TableCell,
    count_cell,
    number_cell,
    verdict_cell,
)
from distillab.tasks import Classification

COMPRESSION_SECTIONS = (
    ("answer", "Answer"),
    ("arms", "Every arm"),
    ("recovery", "Fine-tuning"),
    ("method", "How it was done"),
)
_ASIDE = 1.03  # factor between the positions of points of equal cost
_FAMILIES = ("as given", "channels removed", "weights set to zero")
_COSTS = (
    ("size", "size of the ONNX file, KB", 1e-3),
    ("gzip_size", "size compressed by gzip, KB", 1e-3),
    ("macs", "multiply-accumulates, millions", 1e-6),
    ("p50_ms", "median latency of one input, ms", 1.0),
)


def render_compression(found: Compressed) -> str:
    """Return the page as one HTML document that loads nothing from the network."""
    metric = Classification().metrics["accuracy"]
    plots = pareto_plots(found)
    context = {
        "c": found,
        "metric": metric,
        "version": metadata.version("distillab"),
        "sections": COMPRESSION_SECTIONS,
        "shades": SHADES,
        "css": asset("style.css"),
        "js": asset("page.js"),
        "plotly_js": plotly_js(),
        "dark_shades": Markup(script_json(dark_shades())),
        "figures": [(plot.key, Markup(plot.json)) for plot in plots],
        "front": plots[0],
        "others": plots[1:],
        "arms_table": arms_table(found),
        "recovery_table": recovery_table(found.recovery),
        "estimand": ESTIMAND,
    }
    return shared_environment().get_template("compression.html.j2").render(context)


def write_compression(found: Compressed, path: Path) -> None:
    """Write the page completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    write_page(render_compression(found), path)


def pareto_plots(found: Compressed) -> list[Plot]:
    """Return accuracy against each cost, the size of the file first, with the front."""
    plots = []
    for number, (key, title, scale) in enumerate(_COSTS):
        heading = "Accuracy against size" if number == 0 else f"Accuracy against {title.partition(',')[0]}"
        plots.append(_pareto_plot(found, key, title, scale, heading, front=number == 0))
    return plots


def _pareto_plot(found: Compressed, key: str, title: str, scale: float, heading: str, *, front: bool) -> Plot:
    figure = base_figure(480)
    values = [scale * _cost(arm, key) for arm in found.arms]
    ticks = log_ticks(min(values), max(values))
    figure.add_hrect(
        y0=-100 * found.margin,
        y1=100 * found.margin,
        fillcolor=color("sunken"),
        line_width=0,
        layer="below",
    )
    if front:
        on_front = sorted((arm for arm in found.arms if arm.on_front), key=lambda arm: _cost(arm, key))
        figure.add_scatter(
            x=[scale * _cost(arm, key) for arm in on_front],
            y=[_points(arm) for arm in on_front],
            mode="lines",
            name="front, chosen on val",
            line={"color": color("muted"), "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    for position, family in enumerate(_FAMILIES):
        for int8 in (False, True):
            arms = [
                arm for arm in found.arms if _family(arm) == family and ("int8" in arm.techniques) == int8
            ]
            if arms:
                _add_arms(figure, found, arms, key, scale, position, int8=int8)
    figure.update_layout(
        xaxis=axis(title, type="log", tickvals=ticks, ticktext=[f"{tick:,g}" for tick in ticks]),
        yaxis=axis("accuracy on test, points from the network as given", zeroline=True),
        legend={"orientation": "h", "y": -0.3},
    )
    alt = "; ".join(
        f"{arm.label}: {scale * _cost(arm, key):.3g}, {found.change_text(arm)}" for arm in found.arms
    )
    return Plot(f"compression-{key}", heading, f"{heading}: {alt}.", figure, folded=not front)


def log_ticks(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times powers of ten from just below one number to just above another.

    Example:
        >>> log_ticks(14.0, 98.0)
        [10.0, 20.0, 50.0, 100.0]
    """
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [round(digit * 10.0**power, 12) for power in powers for digit in (1, 2, 5)]
    below = max((tick for tick in ticks if tick <= low), default=ticks[0])
    above = min((tick for tick in ticks if tick >= high), default=ticks[-1])
    return [tick for tick in ticks if below <= tick <= above]


def beside_each_other(values: Sequence[float]) -> list[float]:
    """Return positions on a logarithmic axis at which equal values do not cover each other.

    Example:
        >>> [round(each, 2) for each in beside_each_other([100.0, 100.0, 50.0])]
        [98.53, 101.49, 50.0]
    """
    placed = []
    for place, value in enumerate(values):
        same = [other for other, each in enumerate(values) if math.isclose(each, value, rel_tol=0.01)]
        placed.append(value * _ASIDE ** (same.index(place) - (len(same) - 1) / 2))
    return placed


def _add_arms(
    figure: Figure,
    found: Compressed,
    arms: Sequence[CompressionArm],
    key: str,
    scale: float,
    position: int,
    *,
    int8: bool,
) -> None:
    """Add the arms of one family as points with intervals; rings mark distilled ones."""
    shade = series_color(position)
    figure.add_scatter(
        x=beside_each_other([scale * _cost(arm, key) for arm in arms]),
        y=[_points(arm) for arm in arms],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [_reach(arm, 1) for arm in arms],
            "arrayminus": [_reach(arm, -1) for arm in arms],
            "thickness": 1,
            "width": 3,
            "color": shade,
        },
        mode="markers",
        name=f"{_FAMILIES[position]}{', int8' if int8 else ''}",
        marker={
            "color": shade,
            "size": [13 if found.winner and arm.label == found.winner.label else 9 for arm in arms],
            "symbol": [_symbol(arm, int8=int8) for arm in arms],
            "line": {"width": 1.5, "color": shade},
        },
        hovertext=[_hover(found, arm) for arm in arms],
        hoverinfo="text",
    )


def _symbol(arm: CompressionArm, *, int8: bool) -> str:
    """Return filled symbols for distilled networks and open ones for others; int8 has squares."""
    name = SYMBOLS[1] if int8 else SYMBOLS[0]
    return name if "KD" in arm.techniques else f"{name}-open"


def _hover(found: Compressed, arm: CompressionArm) -> str:
    cost = arm.cost
    assert cost is not None
    return (
        f"<b>{plain(arm.label)}</b><br>accuracy {100 * arm.test:.1f} %, {plain(found.change_text(arm))}"
        f"<br>{found.ratio(arm):.1f} times smaller, {cost.p50_ms:.2f} ms"
    )


def _family(arm: CompressionArm) -> str:
    return _FAMILIES[0] if arm.kind is None else _FAMILIES[1 if arm.kind == "structured" else 2]


def _cost(arm: CompressionArm, key: str) -> float:
    return float(getattr(arm.cost, key))


def _points(arm: CompressionArm) -> float:
    assert arm.difference is not None
    return 100 * arm.difference.gain


def _reach(arm: CompressionArm, side: int) -> float:
    """Return the distance from the difference to an end of its interval, in points; 0 without an interval."""
    gain = arm.difference
    assert gain is not None
    end = gain.ci_high if side > 0 else gain.ci_low
    return 100 * abs(end - gain.gain) if math.isfinite(end) else 0.0


def arms_table(found: Compressed) -> Table:
    """Return the table of all arms, the smallest file last."""
    metric = Classification().metrics["accuracy"]
    rows = []
    for arm in found.arms:
        cost, gain = arm.cost, arm.difference
        assert cost is not None and gain is not None
        mark = " ◆" if arm.on_front else ""
        verdict: Verdict = found.verdict(arm)
        rows.append(
            (
                TableCell(f"{arm.label}{mark}", tone="helps" if arm is found.winner else ""),
                number_cell(wording.percent(arm.val), arm.val),
                number_cell(wording.percent(arm.test), arm.test),
                number_cell(wording.signed(gain.gain, metric), gain.gain),
                TableCell(wording.interval(gain.ci_low, gain.ci_high, metric)),
                TableCell(wording.DASH) if arm.is_given else TableCell(_SAME[verdict], tone=verdict),
                number_cell(f"{cost.size / 1000:,.1f}", cost.size),
                number_cell(f"{found.ratio(arm):.2f}", found.ratio(arm)),
                number_cell(f"{cost.gzip_size / 1000:,.1f}", cost.gzip_size),
                number_cell(wording.magnitude(cost.params), cost.params),
                number_cell(wording.magnitude(cost.nonzero), cost.nonzero),
                number_cell(wording.magnitude(cost.macs), cost.macs),
                number_cell(f"{cost.p50_ms:.3f}", cost.p50_ms),
                number_cell(f"{cost.p95_ms:.3f}", cost.p95_ms),
                count_cell(len(arm.networks)),
            )
        )
    columns = (
        Column("Arm", hint="◆: on the front, chosen on val"),
        Column("Val, %", numeric=True, hint="mean accuracy, by which everything was chosen"),
        Column("Test, %", numeric=True, hint="mean accuracy"),
        Column("Difference, points", numeric=True, hint="on test, from the network as given"),
        Column("Interval"),
        Column("Against as given"),
        Column("KB", numeric=True, hint="size of the ONNX file"),
        Column("Times smaller", numeric=True),
        Column("KB, gzip", numeric=True),
        Column("Parameters", numeric=True),
        Column("Not zero", numeric=True),
        Column("MACs", numeric=True, hint="zeros count: no runtime skips them"),
        Column("p50, ms", numeric=True, hint="one input, one thread, ONNX Runtime"),
        Column("p95, ms", numeric=True),
        Column("Networks", numeric=True),
    )
    return Table("arms-table", "All arms", columns, tuple(rows), filterable=True)


_SAME: dict[Verdict, str] = {
    "helps": "▲ better",
    "harms": "▼ worse",
    "equivalent": "■ equal",
    "undecided": "○ undecided",
}


def recovery_table(recovery: Sequence[RecoveryGain]) -> Table:
    """Return the gains of distilled over plain fine-tuning of the same weights."""
    metric = Classification().metrics["accuracy"]
    rows = tuple(
        (
            TableCell(f"{KIND_NOUNS[each.kind]} removed" if each.kind else "not pruned"),
            number_cell(f"{100 * each.sparsity:.3g} %", each.sparsity),
            TableCell(each.after or wording.DASH),
            number_cell(wording.percent(each.plain), each.plain),
            number_cell(wording.percent(each.distilled), each.distilled),
            number_cell(wording.signed(each.gain, metric), each.gain),
            TableCell(wording.interval(each.ci_low, each.ci_high, metric)),
            verdict_cell(each.verdict),
            count_cell(each.n_pairs),
        )
        for each in recovery
    )
    columns = (
        Column("Pruned by"),
        Column("Weights removed", numeric=True),
        Column("Earlier stages recovered by"),
        Column("Plain, %", numeric=True),
        Column("Distilled, %", numeric=True),
        Column("Gain, points", numeric=True),
        Column("Interval"),
        Column("Verdict"),
        Column("Pairs", numeric=True),
    )
    return Table("recovery-table", "Distilled less plain fine-tuning, from the same weights", columns, rows)
