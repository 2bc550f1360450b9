"""Rows become views, numbers become words, figures keep to their palette: closed forms."""

from __future__ import annotations

import base64
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from distillab.evidence.harms import class_harms
from distillab.report.collect import rows
from distillab.report.contents.study import Cell, Effect, Level, Run, Tile
from distillab.report.page import wording
from distillab.report.page.dose_response import Ladder, dose_plots
from distillab.report.page.figures import counts_plot, method_styles, plain, script_json
from distillab.report.page.forest import Row, class_plot, effect_rows, forests, x_range
from distillab.report.page.palette import SERIES, SHADES, Shade, dark_twins
from distillab.report.page.pictures import by_class, data_uri
from distillab.tasks.classification import METRICS as MEASURED
from support.report_sample import CLASSES, Scale, class_panel, digit, sample, table_rows

SCALE = Scale(sizes=(10.0, 100.0), noises=(0.0, 0.4), methods=("label_smoothing", "kd"), seeds=4)


# --- rows ------------------------------------------------------------------------------------------------


NOT_IN_THESE_ROWS = {
    "worst_group_accuracy",
    "n_unlabelled",
    *(f"{part}_accuracy" for part in ("head", "middle", "tail")),
}


def test_rows_keep_every_number() -> None:
    results, effect_rows_ = table_rows(SCALE)
    runs, effects = rows.runs_of(results), rows.effects_of(effect_rows_)
    assert len(runs) == len(results) and len(effects) == len(effect_rows_)
    for run, row in zip(runs, results, strict=True):
        assert run.cell.levels == (
            Level("size", row["factor.size"]),
            Level("label_noise", row["factor.label_noise"]),
        )
        assert (run.cell.dataset, run.cell.teacher, run.cell.student) == ("digits", "resnet20", "resnet8")
        assert {name: row[name] for name in run.measures} == dict(run.measures)
        assert set(rows.MEASURES) - run.measures.keys() == NOT_IN_THESE_ROWS
    for effect, row in zip(effects, effect_rows_, strict=True):
        for name in (
            "gain",
            "ci_low",
            "ci_high",
            "p_value",
            "p_adjusted",
            "verdict",
            "gap_closed",
            "n_pairs",
        ):
            assert getattr(effect, name) == row[name]


def test_qualities_are_means_over_the_runs_done() -> None:
    cell = Cell("d", "t", "s")
    values = [0.5, 0.7, 0.9]
    runs = [Run(str(i), cell, "kd", i, "done", {"accuracy": v}) for i, v in enumerate(values)]
    runs += [Run("x", cell, "kd", 9, "failed"), Run("y", cell, "kd", 8, "excluded", {"accuracy": 0.0})]
    (quality,) = rows.qualities(runs)
    assert quality.n == 3
    assert quality.measures["accuracy"] == pytest.approx((0.7, 0.2))
    assert quality.measures["nll"] == (None, None)
    (single,) = rows.qualities(runs[:1])
    assert single.measures["accuracy"] == (0.5, None)


def test_a_dose_panel_holds_everything_else_fixed() -> None:
    results, effect_rows_ = table_rows(SCALE)
    runs, effects = rows.runs_of(results), rows.effects_of(effect_rows_)
    panels = rows.dose_panels(effects, runs)
    assert [(p.factor, p.held) for p in panels] == [
        ("size", "label noise 0"),
        ("size", "label noise 0.4"),
        ("label_noise", "10 images per class"),
        ("label_noise", "100 images per class"),
    ]
    kd = next(curve for curve in panels[1].gains if curve.name == "kd")
    wanted = {
        e.cell.value("size"): (e.gain, e.ci_low, e.ci_high)
        for e in effects
        if e.metric == "accuracy" and e.method == "kd" and e.cell.value("label_noise") == 0.4
    }
    assert {p.level: (p.value, p.low, p.high) for p in kd.points} == wanted
    assert [p.level for p in kd.points] == [10.0, 100.0]
    assert [(curve.name, curve.role) for curve in panels[0].accuracies] == [
        ("teacher", "teacher"),
        ("ce", "plain"),
        ("label_smoothing", "distilled"),
        ("kd", "distilled"),
    ]
    accuracies = [
        run.measures["accuracy"]
        for run in runs
        if run.method == "ce" and run.cell.value("size") == 10.0 and run.cell.value("label_noise") == 0.0
    ]
    point = panels[0].accuracies[1].points[0]
    low, high = stats.t.interval(0.95, 3, np.mean(accuracies), stats.sem(accuracies))
    assert (point.value, point.low, point.high, point.n) == pytest.approx((np.mean(accuracies), low, high, 4))


def test_panels_keep_teachers_apart_and_share_what_has_none() -> None:
    def effect(method: str, provenance: str, size: float, gain: float) -> Effect:
        teacher = "t" if provenance else ""
        cell = Cell("d", teacher, "s", provenance, (Level("size", size),))
        return Effect(cell, method, "ce", "accuracy", 5, gain, gain, gain)

    effects = [effect("kd", "same", size, 0.1) for size in (10.0, 20.0)]
    effects += [effect("kd", "full", size, 0.2) for size in (10.0, 20.0)]
    effects += [effect("label_smoothing", "", size, 0.0) for size in (10.0, 20.0)]
    panels = rows.dose_panels(effects, [])
    assert len(panels) == 2
    for panel, gain in zip(panels, (0.1, 0.2), strict=True):
        assert {curve.name: curve.points[0].value for curve in panel.gains} == {
            "kd": gain,
            "label_smoothing": 0.0,
        }


def test_one_level_and_other_baselines_make_no_panel() -> None:
    cell = Cell("d", "t", "s", "full", (Level("size", 10.0),))
    here = Effect(cell, "kd", "ce", "accuracy", 5, 0.1, 0.0, 0.2)
    there = Effect(
        Cell("d", "t", "s", "full", (Level("size", 20.0),)), "kd", "other", "accuracy", 5, 0.1, 0.0, 0.2
    )
    assert rows.dose_panels([here], []) == ()
    assert rows.dose_panels([here, there], []) == ()


def test_method_costs_are_ratios_to_plain() -> None:
    cell = Cell("d", "t", "s")
    runs = [
        Run(f"{method}{seed}", cell, method, seed, "done", {"train_seconds": seconds})
        for method, seconds in (("ce", 2.0), ("kd", 5.0))
        for seed in range(2)
    ]
    costs = {cost.method: cost for cost in rows.method_costs(runs, "ce")}
    assert (costs["kd"].seconds_per_run, costs["kd"].times_plain, costs["kd"].runs) == (5.0, 2.5, 2)
    assert costs["ce"].times_plain == 1.0
    assert {cost.times_plain for cost in rows.method_costs(runs[2:], "ce")} == {None}


def test_class_harms_become_verdicts() -> None:
    rng = np.random.default_rng(0)
    plain_ = np.full((8, 3), 0.8) + rng.normal(0, 0.002, (8, 3))
    distilled = plain_ + np.array([-0.1, 0.0, 0.1]) + rng.normal(0, 0.01, (8, 3))
    found = class_harms(distilled, plain_, ["lost", "same", "won"])
    panel = rows.class_panel(Cell("d", "t", "s"), "kd", found, {"lost": 12})
    assert [(c.name, c.verdict, c.n_train) for c in panel.classes] == [
        ("lost", "harms", 12),
        ("same", "undecided", None),
        ("won", "helps", None),
    ]
    assert panel.classes[0].gain == found[0].gain and panel.classes[0].p_adjusted == found[0].p_adjusted


# --- words -----------------------------------------------------------------------------------------------


def test_metrics_are_shown_as_the_evidence_defines_them() -> None:
    for name, measured in MEASURED.items():
        shown = wording.METRICS[name]
        assert shown.higher_is_better == measured.higher_is_better, name
        assert shown.unit == measured.unit, name
        assert shown.scale == (100 if measured.unit == "points" else 1), name


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (wording.signed(0.0123), "+1.2"),
        (wording.signed(-0.0123), "−1.2"),
        (wording.signed(-0.0001), "0.0"),
        (wording.signed(-0.25, "nll"), "−0.250"),
        (wording.signed(math.nan), "–"),
        (wording.interval(-0.01, 0.02), "[−1.0, +2.0]"),
        (wording.interval(None, 0.02), "–"),
        (wording.percent(0.8125), "81.2 %"),
        (wording.percent(None), "–"),
        (wording.p_value(0.0), "< 0.001"),
        (wording.p_value(0.0312), "0.031"),
        (wording.p_value(1.0), "1.00"),
        (wording.big(272_474), "272 k"),
        (wording.big(41.2e6), "41.2 M"),
        (wording.big(None), "–"),
        (wording.count(1234567), "1\u202f234\u202f567"),
        (wording.duration(3.14159), "3.1 s"),
        (wording.duration(90), "90 s"),
        (wording.duration(600), "10 min"),
        (wording.duration(9000), "2.5 h"),
        (wording.times(8.14), "8.1 ×"),
        (wording.times(wording.ratio(3, 0)), "–"),
        (wording.levels_text(()), "data as given"),
        (
            wording.levels_text((Level("size", 25.0), Level("label_noise", 0.4))),
            "25 images per class · label noise 0.4",
        ),
    ],
)
def test_numbers_in_words(said: str, words: str) -> None:
    assert said == words


def test_places_are_named_by_what_differs() -> None:
    cells = [Cell("d", "t", "s", p, (Level("size", 10.0),)) for p in ("same", "full")]
    naming = wording.Naming.of(cells)
    assert naming.full(cells[0]) == "teacher of the same data · 10 images per class"
    assert wording.Naming.of(cells[:1]).full(cells[0]) == "10 images per class"
    pairs = [Cell("d", "t", "a"), Cell("e", "u", "a"), Cell("d", "", "a")]
    assert [wording.Naming.of(pairs).group(c) for c in pairs] == [
        "d · t → a",
        "e · u → a",
        "d · without a teacher",
    ]


# --- figures ---------------------------------------------------------------------------------------------


def test_forest_rows_hold_every_gain_in_display_units() -> None:
    contents = sample(SCALE)
    plots, clipped = forests(contents)
    primary = [e for e in contents.effects if e.metric == "accuracy"]
    drawn = [float(x) for plot in plots for trace in plot.figure.data[:-1] for x in trace.x]
    assert sorted(drawn) == pytest.approx(sorted(100 * e.gain for e in primary))
    assert not clipped
    symbols = {trace.marker.symbol for plot in plots for trace in plot.figure.data[:-1]}
    colours = {trace.marker.color for plot in plots for trace in plot.figure.data[:-1]}
    assert len(symbols) == len(colours) == len({e.verdict for e in primary})
    band = next(shape for shape in plots[0].figure.layout.shapes if shape.type == "rect")
    assert (band.x0, band.x1) == pytest.approx((-0.5, 0.5))


def test_forest_intervals_end_where_they_should() -> None:
    effect = Effect(Cell("d", "t", "s"), "kd", "ce", "accuracy", 5, 0.02, -0.01, 0.06, verdict="undecided")
    contents = sample(SCALE)
    (plot,), _ = forests(type(contents)("one", contents.answer, effects=(effect,)))
    bars = plot.figure.data[0].error_x
    assert (bars.array[0], bars.arrayminus[0]) == pytest.approx((4.0, 3.0))


def test_one_wild_interval_does_not_press_the_others_flat() -> None:
    calm = [Row(str(i), 0.01, 0.0, 0.02, "helps") for i in range(40)]
    (low, high), clipped = x_range([*calm, Row("wild", 0.0, -0.9, 0.9, "undecided")], 100, 0.5)
    assert clipped and -10 < low < 0 < 2 < high < 10
    (low, high), clipped = x_range(calm, 100, 0.5)
    assert not clipped and low < -0.5 and high > 2.0
    assert x_range([Row("none", None, None, None, "undecided")], 100, 0.5) == ([-1.0, 1.0], False)


def test_without_factors_a_method_is_its_own_row() -> None:
    effects = [Effect(Cell("d", "t", "s"), m, "ce", "accuracy", 5, 0.0, 0.0, 0.0) for m in ("kd", "dkd")]
    assert [(row.label, row.verdict) for row in effect_rows(effects)] == [
        ("kd", "undecided"),
        ("dkd", "undecided"),
    ]


@pytest.mark.parametrize(("n", "sizes"), [(10, False), (10, True), (100, False), (100, True)])
def test_class_plots_draw_every_class(n: int, sizes: bool) -> None:
    classes = tuple(f"class {i}" for i in range(n))
    panel = class_panel(classes, sizes=sizes)
    plot = class_plot(panel, "c", wording.Naming.of([panel.cell]))
    hovers = [text for trace in plot.figure.data if trace.hovertext is not None for text in trace.hovertext]
    assert len(hovers) == n and all(any(f"<b>{name}</b>" in text for text in hovers) for name in classes)
    if sizes and n == 10:
        assert plot.figure.layout.yaxis.ticktext[0] == "class 0 (200)"  # most training images first


def test_levels_stand_to_scale() -> None:
    assert Ladder.of([10.0, 100.0]).log and not Ladder.of([0.0, 100.0]).log and not Ladder.of([0.1, 0.2]).log
    named = Ladder.of(["symmetric", "asymmetric"])
    assert dict(named.places) == {"symmetric": 0.0, "asymmetric": 1.0} and not named.log
    assert dict(Ladder.of([0.0, 0.4]).places) == {0.0: 0.0, 0.4: 0.4}


def test_a_method_looks_the_same_in_every_plot() -> None:
    contents = sample(SCALE)
    styles = method_styles(contents)
    assert len({(s.colour, s.symbol) for s in styles.values()}) == len(styles)
    panels, hidden = dose_plots(contents, styles)
    assert hidden == 0 and len(panels) == 4
    for _, plots in panels:
        for trace in (
            t for plot in plots for t in plot.figure.data if t.name in styles and t.showlegend is None
        ):
            assert (trace.line.color, trace.marker.symbol) == (
                styles[trace.name].colour,
                styles[trace.name].symbol,
            )


def test_counts_are_drawn_for_every_class() -> None:
    pictures = sample(SCALE).pictures[0]
    plot = counts_plot(pictures, "k")
    assert plot is not None
    assert [list(trace.y) for trace in plot.figure.data] == [[120] * 10, [100] * 10, [10] * 10]
    assert counts_plot(sample(SCALE).pictures[1], "k") is None  # label noise moves no image


# --- colours, text, pictures -----------------------------------------------------------------------------


def luminance(shade: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_enough_to_read(theme: str) -> None:
    grounds = [getattr(SHADES[name], theme) for name in ("paper", "surface", "sunken")]
    texts = ["ink", "muted", "accent", "helps", "harms", "equivalent", "undecided"]
    worst = {
        name: min(contrast(getattr(SHADES[name], theme), ground) for ground in grounds) for name in texts
    }
    assert {name: round(value, 2) for name, value in worst.items() if value < 4.5} == {}
    lines: list[Shade] = [*SERIES, SHADES["teacher"], SHADES["plain"]]
    paper = getattr(SHADES["paper"], theme)
    assert [shade for shade in lines if contrast(getattr(shade, theme), paper) < 3] == []


def test_light_shades_are_told_apart_when_they_are_swapped() -> None:
    lights = [shade.light for shade in (*SHADES.values(), *SERIES)]
    assert len(set(lights)) == len(lights)
    assert dark_twins()["rgba(42,93,143,0.13)"] == "rgba(122,181,238,0.13)"


@given(st.text())
def test_embedded_json_cannot_end_its_element(text: str) -> None:
    embedded = script_json({"name": text})
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded) == {"name": text}


@given(st.text())
def test_text_in_figures_holds_no_tag(text: str) -> None:
    assert "<" not in plain(text) and ">" not in plain(text)


def test_small_images_are_embedded_exactly() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 8, 8), (3, 32, 48)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        kind, _, content = data_uri(image).partition(";base64,")
        assert kind == "data:image/png"
        back = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        wanted = image[0] if shape[0] == 1 else image.transpose(1, 2, 0)
        np.testing.assert_array_equal(back, wanted)


def test_large_images_become_thumbnails() -> None:
    image = np.zeros((3, 600, 300), dtype=np.uint8)
    kind, _, content = data_uri(image).partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert kind == "data:image/jpeg" and picture.size == (76, 152)


def test_png_bytes_are_embedded_as_they_are() -> None:
    buffer = io.BytesIO()
    Image.fromarray(digit(0)[0]).save(buffer, "PNG")
    assert (
        data_uri(buffer.getvalue()) == "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    )


@pytest.mark.parametrize(
    "image",
    [b"GIF89a", np.zeros((2, 8, 8), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((1, 8, 8), np.float32)],
)
def test_what_is_no_picture_is_refused(image: bytes | np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"picture|PNG"):
        data_uri(image)


def test_tiles_stand_by_class() -> None:
    tiles = [Tile(digit(i), name) for i, name in enumerate((CLASSES[0], CLASSES[0], CLASSES[1]))]
    assert [(name, len(group)) for name, group in by_class(tiles)] == [("0", 2), ("1", 1)]
