"""The report as a file: self-contained, escaped, complete, and written atomically."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from distillab.evidence import Answer
from distillab.evidence.families import EXPLORATORY
from distillab.report import render, write_report
from distillab.report.collect.rows import level_effects_of
from distillab.report.contents import LevelView, ReportContents
from distillab.report.contents.pictures import Tile
from distillab.report.page import page, run_tables
from distillab.report.page.palette import dark_shades
from distillab.report.page.pictures import data_uri
from support.report_cases import CASES, HOSTILE
from support.report_pictures import digit
from support.report_sample import Scale, sample

SMALL = Scale(sizes=(25.0,), noises=(0.0, 0.4), methods=("label_smoothing", "kd"), seeds=3)


class Reader(HTMLParser):
    """Collects the visible text, the addresses and the figures of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.figures: list[dict[str, object]] = []
        self.tags: list[str] = []
        self._inside = ""
        self._json = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.addresses += [value for key in ("src", "href", "action") if (value := named.get(key))]
        if tag in ("script", "style"):
            self._inside = "json" if named.get("type") == "application/json" else tag
            self._json = ""

    def handle_endtag(self, tag: str) -> None:
        if self._inside == "json" and tag == "script":
            self.figures.append(json.loads(self._json))
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "json":
            self._json += data
        elif not self._inside:
            self.text.append(data)

    @property
    def seen(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def usual() -> ReportContents:
    return sample(SMALL)


@pytest.fixture(scope="module")
def html(usual: ReportContents) -> str:
    return render(usual)


def test_file_is_self_contained(html: str) -> None:
    reader = Reader(html)
    assert {address.split(":")[0] for address in reader.addresses if not address.startswith("#")} == {"data"}
    assert "link" in reader.tags and "iframe" not in reader.tags
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy and policy[1].startswith("default-src 'none';")
    assert not re.search(r"(https?:|//)", policy[1]) and "@import" not in html.split("</style>")[0]
    assert html.count("* plotly.js v") == 1


def test_rendering_is_deterministic(usual: ReportContents, html: str) -> None:
    assert render(usual) == html


def test_page_shows_all_contents(usual: ReportContents, html: str) -> None:
    seen = Reader(html).seen
    expected = [usual.study, usual.answer.headline, *usual.answer.sentences, *usual.answer.missing]
    expected += [*usual.answer.caveats, *(run.run_id for run in usual.runs)]
    expected += [text for f in usual.failures for text in (f.what, f.job_id, " ".join(f.error.split()))]
    expected += [text for x in usual.exclusions for text in (x.where, x.reason)]
    expected += [value for m in usual.methods for pair in m.settings for value in pair]
    expected += [s.value for s in usual.recipe] + [s.origin for s in usual.recipe]
    expected += [d.digest for d in usual.datasets] + [name for d in usual.datasets for name in d.broken]
    expected += [*usual.reproduction.commands, " ".join(usual.reproduction.study_yaml.split())]
    expected += [usual.statistics.estimand, usual.statistics.interval, usual.statistics.correction]
    expected += [role.filled_by for role in usual.roles]
    assert [text for text in expected if text not in seen] == []


def test_runs_are_counted_once_by_status(usual: ReportContents) -> None:
    runs = (*usual.runs, *usual.runs[:3])  # a run that belongs to two places has a row for each
    seen = Reader(render(replace(usual, runs=runs))).seen
    done = sum(run.status == "done" for run in usual.runs)
    assert f"{done} runs done 1 failed" in seen
    assert (
        f"All {len(usual.runs)} student runs; a run that belongs to several places has a row for each" in seen
    )


def test_failed_teacher_is_on_the_first_screen(usual: ReportContents) -> None:
    runs = tuple(run for run in usual.runs if run.status == "done")
    seen = Reader(render(replace(usual, runs=runs, exclusions=()))).seen
    assert f"{len(runs)} runs done 0 failed 0 excluded 1 other job failed" in seen


def test_verdicts_do_not_count_controls(usual: ReportContents) -> None:
    cells = {effect.place for effect in usual.effects}
    assert len(cells) == 2
    effects = tuple(
        replace(e, verdict="harms" if e.method == "label_smoothing" else "helps") for e in usual.effects
    )
    other = tuple(replace(e, baseline="label_smoothing", verdict="equivalent") for e in effects)
    seen = Reader(render(replace(usual, effects=effects + other))).seen
    assert "▲ 2 helps ▼ 0 harms ■ 0 no difference ○ 0 undecided" in seen
    assert "Verdicts on 2 gains in accuracy" in seen
    assert "Controls (label_smoothing) are not counted here" in seen


def test_verdicts_do_not_count_gains_that_the_study_does_not_declare(usual: ReportContents) -> None:
    first, *others = (e for e in usual.effects if e.method not in usual.controls and e.metric == "accuracy")
    exploratory = tuple(replace(e, verdict="undecided", undecided_because=EXPLORATORY) for e in others)
    seen = Reader(render(replace(usual, effects=(replace(first, verdict="helps"), *exploratory)))).seen
    assert "▲ 1 helps ▼ 0 harms ■ 0 no difference ○ 0 undecided" in seen
    assert f"{len(others)} further gain" in seen and "that the study does not declare" in seen


def test_undecided_answer_has_a_badge(usual: ReportContents, html: str) -> None:
    assert "Not decided yet" not in Reader(html).seen
    undecided = Answer("It is undecided.", missing=("Run 4 more seeds.",))
    seen = Reader(render(replace(usual, answer=undecided))).seen
    assert "Not decided yet" in seen and "What would decide it Run 4 more seeds." in seen


def test_failed_check_is_stated_above_the_pictures(usual: ReportContents, html: str) -> None:
    assert "1 manipulation check failed" in Reader(html).seen
    assert "2 of 3 checks passed" in Reader(html).seen
    passing = tuple(
        replace(p, checks=tuple(replace(c, passed=True) for c in p.checks)) for p in usual.pictures
    )
    assert "check failed" not in Reader(render(replace(usual, pictures=passing))).seen


def test_changed_labels_and_removed_examples_are_marked(usual: ReportContents) -> None:
    tiles = (
        Tile(digit(0), ("zero",), ("nine",)),
        Tile(digit(1), ("zero",), ("zero",)),
        Tile(digit(2), ("one",), dropped=True),
    )
    pictures = replace(usual.pictures[1], before=replace(usual.pictures[1].before, tiles=tiles), after=())
    html = render(replace(usual, pictures=(pictures,)))
    assert re.findall(r'alt="([^"]*)"', html) == ["zero, now labelled nine", "zero", "one, removed"]
    assert html.count('class="tile changed"') == 1 and html.count('class="tile dropped"') == 1
    assert data_uri(digit(0)) in html


@pytest.mark.parametrize("case", ["nothing", "all_failed", "no_factor", "one_level"])
def test_missing_parts_are_stated(case: str) -> None:
    expected = {
        "nothing": (
            "No gain can be computed",
            "No factor was varied",
            "There are no runs.",
            "No teacher was trained",
        ),
        "all_failed": ("No gain can be computed", "OSError: disk full", "No student finished."),
        "no_factor": ("No factor was varied", "No factor has several levels", "No factor changed the data"),
        "one_level": ("Size has a single level, so there is no curve.",),
    }
    seen = Reader(render(CASES[case]())).seen
    assert [text for text in expected[case] if text not in seen] == []


def test_missing_numbers_are_dashes() -> None:
    seen = Reader(render(CASES["missing_numbers"]())).seen
    assert not re.search(r"\b(nan|None|inf)\b", seen)
    assert "–" in seen


def test_names_from_outside_are_escaped() -> None:
    contents = CASES["hostile"]()
    html = render(contents)
    reader = Reader(html)
    assert HOSTILE in "".join(reader.text)
    assert "window.hacked" not in re.sub(r"<[^>]*>", "", "").join(
        re.findall(r"<script>(.*?)</script>", html, re.S)
    )
    assert reader.tags.count("script") == len(reader.figures) + 3  # theme, plotly, page
    for figure in reader.figures:
        assert not re.search(r"<(script|img|a)\b", json.dumps(figure))


def test_omitted_parts_are_counted(usual: ReportContents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tables, "ROWS_SHOWN", 5)
    many = replace(usual.pictures[1].before, tiles=usual.pictures[1].before.tiles * 3)
    pictures = replace(usual.pictures[1], before=many, after=())
    panels = usual.class_panels * 6
    seen = Reader(render(replace(usual, pictures=(pictures,), class_panels=panels))).seen
    assert f"{len(usual.runs) - 5} further rows are in results.parquet" in seen
    assert f"and {len(many.tiles) - page.TILES_SHOWN} more" in seen
    assert f"{page.CLASS_PLOTS} of {len(panels)} panels are drawn" in seen


def test_failed_runs_come_first_when_the_table_is_cut(
    usual: ReportContents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tables, "ROWS_SHOWN", 1)
    html = render(replace(usual, failures=()))
    rows = re.findall(r'<tr><th scope="row" class="status-(\w+)"', html)
    assert rows == ["failed"]


@pytest.mark.parametrize("case", ["sample", "hundred_classes", "missing_numbers"])
def test_every_color_of_a_figure_has_a_dark_shade(case: str) -> None:
    figures = Reader(render(CASES[case]())).figures[1:]
    found = {
        c
        for figure in figures
        for c in re.findall(r'"(#[0-9a-fA-F]{3,8}|rgba?\([^"]*\))"', json.dumps(figure))
    }
    assert len(found) > 8
    assert found - dark_shades().keys() == {"rgba(0,0,0,0)"}


def test_report_is_written_completely_or_not_at_all(
    tmp_path: Path, usual: ReportContents, html: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    write_report(usual, path)
    assert path.read_text(encoding="utf-8") == html
    assert path.stat().st_mode & 0o777 == 0o644

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_report(replace(usual, study="another"), path)
    monkeypatch.undo()
    broken = replace(usual.pictures[0].before, tiles=(Tile(b"not a picture", ("zero",)),))
    with pytest.raises(ValueError, match="PNG"):
        write_report(replace(usual, pictures=(replace(usual.pictures[0], before=broken),)), path)
    assert path.read_text(encoding="utf-8") == html
    assert list(tmp_path.iterdir()) == [path]


def test_level_that_is_not_applied_is_stated(usual: ReportContents) -> None:
    place = replace(usual.runs[0].place, levels=(LevelView("label_noise", None),))
    runs = tuple(replace(run, place=place) for run in usual.runs)
    assert "label noise as it is" in Reader(render(replace(usual, runs=runs))).seen


def test_sounds_can_be_played_where_they_are_shown() -> None:
    html = render(CASES["several_labels"]())
    assert html.count('<audio controls preload="none" src="data:audio/wav;base64,') == 4
    assert "features × frames, audio" in Reader(html).seen
    assert "media-src data:" in html


@pytest.mark.parametrize("about", ["long_enough", "settings", "early_training", "estimand"])
def test_first_screen_states_what_a_sceptic_looks_for(about: str) -> None:
    sentence = "A sentence on how the numbers came about."
    usual = sample(SMALL)
    stated = replace(usual, answer=replace(usual.answer, **{about: sentence}))
    assert Reader(render(stated)).seen.count(sentence) == 1
    assert sentence not in Reader(render(usual)).seen


SENTENCE = "The gain of kd at label noise 0.6 is 6.1 points larger than at 0 [2.0, 10.2], 10 pairs."
LEVEL_ROW: dict[str, object] = {
    "dataset": "digits",
    "factor": "label_noise",
    "level": "0.6",
    "reference": "0",
    "factor.label_noise": 0.6,
    "factor.size": 25.0,
    "provenance": "full",
    "teacher": "resnet20",
    "student": "resnet8",
    "method": "kd",
    "baseline": "ce",
    "metric": "accuracy",
    "n_pairs": 10,
    "difference": 0.061,
    "ci_low": 0.02,
    "ci_high": 0.102,
    "ci_low_same_test": 0.03,
    "ci_high_same_test": 0.092,
    "gain": 0.08,
    "gain_reference": 0.019,
    "p_value": 0.002,
    "p_adjusted": 0.004,
    "verdict": "larger",
    "verdict_family": "larger",
    "undecided_because": None,
}


def test_page_shows_differences_between_levels() -> None:
    trend = LEVEL_ROW | {"level": "trend", "factor.label_noise": None, "verdict_family": "undecided"}
    trend |= {"undecided_because": "the verdict does not hold together with the others"}
    level_effects = level_effects_of([LEVEL_ROW, trend])
    answer = Answer("Distillation (kd) improves accuracy.", differences=(SENTENCE,))
    seen = Reader(render(ReportContents("noisy", answer, level_effects=level_effects))).seen
    assert seen.count(SENTENCE) == 2  # on the first screen, and above the curves
    assert "Table of 2 differences between levels" in seen
    for text in ("label noise", "+6.10", "25 examples per class", "+8.0", "+1.9", "▲ larger", "trend"):
        assert text in seen
    assert "○ undecided: the verdict does not hold together with the others" in seen
