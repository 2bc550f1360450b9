"""The figures of conclusions over several data sets: forests, a critical-difference diagram, size curves."""

from __future__ import annotations

import math

import numpy as np

from distillab.evidence.across import AcrossSets, CriticalDifference, CurveAcross, Refused, SizeCurve
from distillab.evidence.across.base_sets import MeanAcross
from distillab.evidence.verdicts import Verdict, verdict_of
from distillab.evidence.wording import describe_level, listed
from distillab.report.contents.gains import Number
from distillab.report.page import wording
from distillab.report.page.figures import Plot, axis, base_figure, legend_name, plain
from distillab.report.page.forest import ForestRow, rows_figure, x_range
from distillab.report.page.palette import color

CURVES_DRAWN = 12
OPEN_SETS = 2
OPEN_CURVES = 4
_POINTS = 80


def methods_plot(found: AcrossSets) -> Plot | None:
    """Return the mean gain over base sets of every method, as a forest."""
    if not found.methods:
        return None
    metric = found.task.metrics[found.task.primary]
    rows = [
        ForestRow(
            each.method + (" (control)" if each.control else ""),
            each.gain.mean,
            _end(each.gain.ci_low),
            _end(each.gain.ci_high),
            each.verdict,
            f"<b>{plain(each.method)}</b><br>{each.gain.n_base_sets} base sets, "
            f"{each.gain.n_contexts} contexts, {wording.VERDICT_NAMES[each.verdict][0]}",
        )
        for each in found.methods
    ]
    limits, _ = x_range(rows, metric.scale, found.margin * metric.scale)
    title = f"Gain in {metric.label} over base sets"
    alt = "; ".join(f"{each.method} {_alt(each.gain, found)}" for each in found.methods)
    return Plot("across-methods", title, f"{title}: {alt}.", rows_figure(rows, metric, found.margin, limits))


def base_set_plots(found: AcrossSets) -> list[Plot]:
    """Return a forest per distillation method with a row per base set, and the mean below."""
    metric = found.task.metrics[found.task.primary]
    plots = []
    for number, method in enumerate(each for each in found.methods if not each.control):
        rows = [
            ForestRow(
                f"{each.base_set} ({each.n_contexts})",
                each.gain,
                _end(each.ci_low),
                _end(each.ci_high),
                _of_base_set(each.n_contexts, each.ci_low, each.ci_high, found),
                f"<b>{plain(each.base_set)}</b><br>{each.n_contexts} contexts",
            )
            for each in method.by_base_set
        ]
        mean = method.gain
        rows.append(
            ForestRow("all base sets", mean.mean, _end(mean.ci_low), _end(mean.ci_high), method.verdict)
        )
        limits, _ = x_range(rows, metric.scale, found.margin * metric.scale)
        title = f"{method.method}: gain by base set"
        alt = f"{title}, contexts in brackets, with intervals over contexts; the last row is the mean."
        figure = rows_figure(rows, metric, found.margin, limits)
        plots.append(Plot(f"across-sets-{number}", title, alt, figure, folded=number >= OPEN_SETS))
    return plots


def ranks_plot(found: AcrossSets) -> Plot | None:
    """Return the critical-difference diagram; None without ranks."""
    ranks = found.ranks
    if ranks is None:
        return None
    number = len(ranks.methods)
    figure = base_figure(120 + 30 * number + 22 * len(ranks.cliques), showlegend=False)
    places = [-row for row in range(number)]
    for row, (method, mean) in enumerate(zip(ranks.methods, ranks.mean_ranks, strict=True)):
        figure.add_scatter(
            x=[mean],
            y=[-row],
            mode="markers+text",
            marker={"color": color("accent"), "size": 11},
            text=[f"{mean:.2f}"],
            textposition="top center",
            hovertext=f"{plain(method)}: mean rank {mean:.2f}",
            hoverinfo="text",
        )
    of_method = dict(zip(ranks.methods, ranks.mean_ranks, strict=True))
    for place, clique in enumerate(ranks.cliques):
        span = [of_method[clique[0]], of_method[clique[-1]]]
        y = -number - 0.6 * place
        figure.add_scatter(
            x=[span[0] - 0.03, span[1] + 0.03],
            y=[y, y],
            mode="lines",
            line={"color": color("undecided"), "width": 6},
            hovertext=f"no difference found: {plain(listed(clique))}",
            hoverinfo="text",
        )
    figure.update_layout(
        xaxis=axis("mean rank over base sets, 1 is best", range=[0.7, number + 0.3]),
        yaxis=axis(
            "",
            tickvals=places,
            ticktext=[legend_name(method) for method in ranks.methods],
            showgrid=False,
            range=[-number - 0.6 * max(len(ranks.cliques), 1), 0.9],
        ),
    )
    return Plot("across-ranks", "Critical-difference diagram", ranks_alt(ranks), figure)


def ranks_alt(ranks: CriticalDifference) -> str:
    """Return the diagram in words.

    Example:
        >>> ranks_alt(CriticalDifference(("kd", "ce"), (1.0, 2.0), 0.01, (), (("kd", "ce"),), 8))
        'Mean ranks over 8 base sets: kd 1.00, ce 2.00. No difference is found within kd and ce.'
    """
    means = zip(ranks.methods, ranks.mean_ranks, strict=True)
    text = ", ".join(f"{method} {mean:.2f}" for method, mean in means)
    groups = "; ".join(listed(clique) for clique in ranks.cliques)
    found = f"No difference is found within {groups}." if groups else "All methods differ."
    return f"Mean ranks over {ranks.n_base_sets} base sets: {text}. {found}"


def curve_plots(found: AcrossSets) -> list[Plot]:
    """Return the curves over sizes that could be fitted, up to 12."""
    return [
        _curve_plot(curve, number, found)
        for number, curve in enumerate(found.curves[:CURVES_DRAWN])
        if not isinstance(curve.comparison, Refused)
    ]


def curve_title(curve: CurveAcross) -> str:
    """Return what a curve is of.

    Example:
        >>> curve_title(CurveAcross("usps", "kd", (("provenance", "full"),), Refused("flat", "")))
        'kd on usps, provenance full'
    """
    held = "".join(f", {describe_level(*level)}" for level in curve.held)
    return f"{curve.method} on {curve.base_set}{held}"


def _curve_plot(curve: CurveAcross, number: int, found: AcrossSets) -> Plot:
    assert not isinstance(curve.comparison, Refused)
    metric = found.task.metrics[found.task.primary]
    figure = base_figure(340, showlegend=True)
    comparison = curve.comparison
    arms = (
        (found.baseline, comparison.plain, color("plain"), "square"),
        (curve.method, comparison.distilled, color("accent"), "circle"),
    )
    for name, fitted, shade, symbol in arms:
        figure.add_scatter(
            x=fitted.sizes,
            y=metric.scale * fitted.means,
            error_y={"type": "data", "array": metric.scale * fitted.noise, "color": shade, "thickness": 1.5},
            mode="markers",
            name=legend_name(name),
            marker={"color": shade, "symbol": symbol, "size": 9},
            hovertext=[f"{plain(name)} at {size:g}" for size in fitted.sizes],
            hoverinfo="text+y",
        )
        for end, dash in ((float(fitted.sizes[-1]), "solid"), (fitted.farthest, "dot")):
            xs = np.geomspace(fitted.sizes[0] if dash == "solid" else fitted.sizes[-1], end, _POINTS)
            figure.add_scatter(
                x=xs,
                y=metric.scale * fitted.predict(xs),
                mode="lines",
                line={"color": shade, "width": 2, "dash": dash},
                showlegend=False,
                hoverinfo="skip",
            )
    unit = "%" if metric.unit == "points" else metric.unit
    figure.update_layout(xaxis=axis("size", type="log", dtick="D2"), yaxis=axis(f"{metric.label}, {unit}"))
    title = curve_title(curve)
    alt = f"{metric.title} against size: {title}. {_forms(comparison.plain)} Dotted: extrapolated."
    return Plot(f"across-curve-{number}", title, alt, figure, folded=number >= OPEN_CURVES)


def _forms(curve: SizeCurve) -> str:
    weights = sorted(curve.forms, key=lambda each: -each.weight)
    return f"Forms of the plain curve: {listed(f'{e.form.name} {e.weight:.0%}' for e in weights)}."


def _of_base_set(contexts: int, low: float, high: float, found: AcrossSets) -> Verdict:
    if contexts < 2 or not (math.isfinite(low) and math.isfinite(high)):
        return "undecided"
    metric = found.task.metrics[found.task.primary]
    return verdict_of(low, high, found.margin, metric.higher_is_better)


def _alt(mean: MeanAcross, found: AcrossSets) -> str:
    metric = found.task.metrics[found.task.primary]
    interval = wording.interval(_end(mean.ci_low), _end(mean.ci_high), metric)
    return f"{wording.signed(mean.mean, metric)} {interval}"


def _end(value: float) -> Number:
    return value if math.isfinite(value) else None
