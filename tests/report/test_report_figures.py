"""The figures of a report: every number in display units, and methods drawn alike everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distillab.report.contents import Effect, Naming, Place, ReportContents
from distillab.report.page.dose_response import LevelAxis, dose_plots
from distillab.report.page.figures import counts_plot, method_styles, teachers_plot
from distillab.report.page.forest import ForestRow, class_plot, effect_rows, forests, x_range
from support.report_sample import TASK, Scale, class_panel, sample

SCALE = Scale(sizes=(10.0, 100.0), noises=(0.0, 0.4), methods=("label_smoothing", "kd"), seeds=4)


@pytest.fixture(scope="module")
def contents() -> ReportContents:
    return sample(SCALE)


def test_forest_plot_has_every_gain_in_display_units(contents: ReportContents) -> None:
    plots, clipped = forests(contents)
    primary = [e for e in contents.effects if e.metric == "accuracy"]
    drawn = [float(x) for plot in plots for trace in plot.figure.data[:-1] for x in trace.x]
    assert sorted(drawn) == pytest.approx(sorted(100 * (e.gain or 0.0) for e in primary))
    assert not clipped
    symbols = {trace.marker.symbol for plot in plots for trace in plot.figure.data[:-1]}
    colors = {trace.marker.color for plot in plots for trace in plot.figure.data[:-1]}
    assert len(symbols) == len(colors) == len({e.verdict for e in primary})
    band = next(shape for shape in plots[0].figure.layout.shapes if shape.type == "rect")
    assert (band.x0, band.x1) == pytest.approx((-0.5, 0.5))


def test_forest_intervals_have_their_ends(contents: ReportContents) -> None:
    place = Place("d", "t", "s")
    effect = Effect(place, "kd", "ce", "accuracy", 5, 0.02, -0.01, 0.06, verdict="undecided")
    (plot,), _ = forests(replace(contents, effects=(effect,)))
    bars = plot.figure.data[0].error_x
    assert (bars.array[0], bars.arrayminus[0]) == pytest.approx((4.0, 3.0))


def test_one_wide_interval_does_not_flatten_the_others() -> None:
    narrow = [ForestRow(str(i), 0.01, 0.0, 0.02, "helps") for i in range(40)]
    (low, high), clipped = x_range([*narrow, ForestRow("wide", 0.0, -0.9, 0.9, "undecided")], 100, 0.5)
    assert clipped and -10 < low < 0 < 2 < high < 10
    (low, high), clipped = x_range(narrow, 100, 0.5)
    assert not clipped and low < -0.5 and high > 2.0
    assert x_range([ForestRow("none", None, None, None, "undecided")], 100, 0.5) == ([-1.0, 1.0], False)


def test_without_factors_every_method_is_one_row() -> None:
    place = Place("d", "t", "s")
    effects = [Effect(place, m, "ce", "accuracy", 5, 0.0, 0.0, 0.0) for m in ("kd", "dkd")]
    assert [(row.label, row.verdict) for row in effect_rows(effects, TASK.metrics["accuracy"])] == [
        ("kd", "undecided"),
        ("dkd", "undecided"),
    ]


@pytest.mark.parametrize(("n", "sizes"), [(10, False), (10, True), (100, False), (100, True)])
def test_class_plots_draw_every_class(n: int, sizes: bool) -> None:
    classes = tuple(f"class {i}" for i in range(n))
    panel = class_panel(classes, sizes=sizes)
    plot = class_plot(panel, "c", Naming.of([panel.place]), TASK)
    hovers = [text for trace in plot.figure.data if trace.hovertext is not None for text in trace.hovertext]
    assert len(hovers) == n and all(any(f"<b>{name}</b>" in text for text in hovers) for name in classes)
    if sizes and n == 10:
        assert plot.figure.layout.yaxis.ticktext[0] == "class 0 (200)"  # most training examples first


def test_numeric_levels_are_drawn_to_scale() -> None:
    assert LevelAxis.of([10.0, 100.0]).log
    assert not LevelAxis.of([0.0, 100.0]).log and not LevelAxis.of([0.1, 0.2]).log
    named = LevelAxis.of(["symmetric", "asymmetric"])
    assert dict(named.places) == {"symmetric": 0.0, "asymmetric": 1.0} and not named.log
    assert dict(LevelAxis.of([0.0, 0.4]).places) == {0.0: 0.0, 0.4: 0.4}


def test_method_is_drawn_alike_in_every_plot(contents: ReportContents) -> None:
    styles = method_styles(contents)
    assert len({(s.color, s.symbol) for s in styles.values()}) == len(styles)
    panels, hidden = dose_plots(contents, styles)
    assert hidden == 0 and len(panels) == 4
    traces = [trace for _, plots in panels for plot in plots for trace in plot.figure.data]
    drawn = [trace for trace in traces if trace.name in styles and trace.showlegend is None]
    assert drawn
    for trace in drawn:
        style = styles[trace.name]
        assert (trace.line.color, trace.marker.symbol) == (style.color, style.symbol)


def test_counts_are_drawn_for_every_class(contents: ReportContents) -> None:
    plot = counts_plot(contents.pictures[0], "k", "class")
    assert plot is not None
    assert [list(trace.y) for trace in plot.figure.data] == [[120] * 10, [100] * 10, [10] * 10]
    assert counts_plot(contents.pictures[1], "k", "class") is None  # label noise moves no example


def test_teachers_are_drawn_by_score_and_calibration(contents: ReportContents) -> None:
    plot = teachers_plot(contents.teachers, TASK)
    assert plot is not None
    assert list(plot.figure.data[0].x) == pytest.approx([96.8, 97.0, 97.2])
    assert list(plot.figure.data[0].y) == pytest.approx([2.1] * 3)
    assert teachers_plot([replace(t, measures={}) for t in contents.teachers], TASK) is None
