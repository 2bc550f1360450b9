"""How the numerics of a network are chosen: what is requested is taken, the rest is timed, once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.models import InputSpec
from distillab.training.numerics import BenchmarkCache, NumericsConfig, selection
from distillab.training.numerics.selection import (
    LEAST_COMPILED,
    LEAST_FORMATTED,
    LEAST_GAIN,
    LEAST_STUDY,
    faster,
)
from support.numerics import WORKLOAD, FakeTimer, Selection, rates

DEFAULT = NumericsConfig()
BF16 = NumericsConfig("bf16")
CONTIGUOUS = NumericsConfig(memory_format="contiguous")
COMPILED = NumericsConfig(compile=True)


@pytest.fixture
def select(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Selection:
    """A selection on a machine that can compile and computes in bf16."""
    monkeypatch.setattr(selection, "bf16_is_worth_timing", lambda device: True)
    monkeypatch.setattr(selection, "can_compile", lambda device: True)
    return Selection(tmp_path)


# -- the choice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ({}, DEFAULT),
        ({"bf16": 2.0}, BF16),
        ({"contiguous": 1.5}, CONTIGUOUS),
        ({"compiled": 1.3}, COMPILED),
        ({"bf16": 2.0, "contiguous": 1.5, "compiled": 1.2}, NumericsConfig("bf16", "contiguous", True)),
        ({"bf16": 1.09, "compiled": 1.09}, DEFAULT),
        ({"bf16": 0.1, "contiguous": 0.9, "compiled": 0.5}, DEFAULT),
        ({"compiled": None}, DEFAULT),
    ],
    ids=str,
)
def test_a_candidate_that_gains_more_than_a_tenth_is_chosen(
    select: Selection, gains: dict[str, float | None], chosen: NumericsConfig
) -> None:
    assert select(FakeTimer(rates(**gains))).numerics == chosen


@given(st.dictionaries(st.sampled_from(list(rates())), st.floats(0.01, 1e4), min_size=1))
def test_the_default_stays_without_a_gain(timed: dict[NumericsConfig, float]) -> None:
    best = faster(DEFAULT, timed)
    if DEFAULT in timed:
        assert best == DEFAULT or timed[best] > LEAST_GAIN * timed[DEFAULT]
        assert max(timed.values()) <= LEAST_GAIN * timed[DEFAULT] or timed[best] == max(timed.values())


@pytest.mark.parametrize(
    "request_",
    [
        {"precision": "bf16", "memory_format": "contiguous", "compile": False},
        {"precision": "fp32", "memory_format": "channels_last", "compile": True},
    ],
)
def test_a_full_request_is_not_timed(select: Selection, request_: dict[str, Any]) -> None:
    timer = FakeTimer(rates(bf16=0.1, contiguous=0.1, compiled=0.1))
    choice = select(timer, **request_)
    assert (choice.numerics, choice.why, timer.trials) == (NumericsConfig(**request_), "as requested", [])
    assert choice.as_dict()["asked"]


def test_a_partial_request_holds_for_every_candidate(select: Selection) -> None:
    timer = FakeTimer(rates(bf16=5.0, contiguous=5.0, compiled=5.0))
    choice = select(timer, precision="fp32", compile=False)
    assert choice.numerics == CONTIGUOUS
    assert timer.trials == [[DEFAULT, CONTIGUOUS]]
    assert select(timer, precision="fp32", memory_format="channels_last", compile=True).numerics == COMPILED


def test_a_short_study_is_not_timed(select: Selection) -> None:
    timer = FakeTimer(rates(compiled=9.0))
    choice = select(timer, seconds=LEAST_STUDY - 1)
    assert (choice.numerics, timer.trials) == (DEFAULT, [])
    assert "not timed" in str(choice)


def test_compiling_is_timed_only_for_long_trainings(select: Selection) -> None:
    """At one image per second there are as many images as seconds."""
    timer = FakeTimer(rates(compiled=9.0))
    assert not select(timer, images=LEAST_COMPILED - 1).numerics.compile
    assert all(not each.compile for trial in timer.trials for each in trial)
    assert select(timer, images=LEAST_COMPILED + 1).numerics.compile


def test_the_memory_format_is_timed_only_for_long_trainings(select: Selection) -> None:
    timer = FakeTimer(rates(contiguous=9.0))
    assert select(timer, images=LEAST_FORMATTED - 1).numerics == DEFAULT
    assert {each.memory_format for trial in timer.trials for each in trial} == {"channels_last"}
    assert select(timer, images=LEAST_FORMATTED + 1).numerics == CONTIGUOUS


def test_nothing_is_compiled_without_a_compiler(select: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "can_compile", lambda device: False)
    assert select(FakeTimer(rates(compiled=9.0))).numerics == DEFAULT


def test_emulated_bf16_is_not_a_candidate(select: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "bf16_is_worth_timing", lambda device: False)
    timer = FakeTimer(rates(bf16=9.0))
    assert select(timer).numerics == DEFAULT
    assert {each.precision for trial in timer.trials for each in trial} == {"fp32"}


def test_only_the_precision_of_an_untrained_network_is_timed(select: Selection) -> None:
    """Its rates are cached apart from those of its training."""
    timer = FakeTimer(rates(bf16=2.0, contiguous=9.0, compiled=9.0))
    choice = select(timer, workload=replace(WORKLOAD, trained=False))
    assert (choice.numerics, timer.trials) == (BF16, [[DEFAULT, BF16]])
    assert "forward examples/s: fp32" in str(choice)
    assert select(FakeTimer(rates())).numerics == DEFAULT


def test_a_choice_shows_its_rates(select: Selection) -> None:
    text = str(select(FakeTimer(rates(contiguous=120.0, bf16=7.0, compiled=None))))
    assert text.startswith("bf16 contiguous eager (timed here;")
    assert "bf16 contiguous eager 840" in text
    assert "compiled failed" in text


# -- the cache -----------------------------------------------------------------------------------------------


def test_a_workload_is_timed_once(select: Selection) -> None:
    first = select(FakeTimer(rates(contiguous=1.5)))
    unused = FakeTimer({})
    again = select(unused)
    assert unused.trials == []
    assert (again.numerics, dict(again.rates)) == (first.numerics, dict(first.rates))
    assert (first.why, again.why) == ("timed here", "timed before")


def test_later_rates_are_scaled_to_earlier_ones(select: Selection) -> None:
    """A machine that is four times as busy when compiling is timed does not distort the comparison."""
    select(FakeTimer(rates()), images=1)
    busy = FakeTimer({each: rate and rate / 4 for each, rate in rates(compiled=1.5).items()})
    choice = select(busy)
    assert choice.rates[DEFAULT] == 1.0
    assert choice.rates[COMPILED] == pytest.approx(1.5)
    assert choice.numerics == COMPILED


@pytest.mark.parametrize(
    "change", [{"model": "resnet14"}, {"batch": 20}, {"inputs": InputSpec.square(1, 16)}, {"threads": 2}]
)
def test_another_workload_is_timed_again(select: Selection, change: dict[str, Any]) -> None:
    timer = FakeTimer(rates())
    select(timer)
    count = len(timer.trials)
    select(timer, workload=replace(WORKLOAD, **change))
    assert len(timer.trials) == 2 * count


def test_the_key_of_a_workload_is_that_of_earlier_versions(select: Selection) -> None:
    select(FakeTimer(rates()))
    [key] = json.loads(select.cache.path.read_text())
    assert key.endswith("; resnet8; 1x8x8; batch 10; 1 threads")


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', "\x00"])
def test_an_unreadable_file_is_replaced(select: Selection, content: str) -> None:
    select.cache.path.parent.mkdir()
    select.cache.path.write_text(content)
    timer = FakeTimer(rates(bf16=2.0))
    assert select(timer).numerics == BF16
    assert timer.trials
    assert any("resnet8" in key for key in json.loads(select.cache.path.read_text()))


@pytest.mark.parametrize("entry", [1, "fast", [2], {"fp32 channels_last eager": "fast"}])
def test_entries_that_are_no_rates_are_replaced(select: Selection, entry: Any) -> None:
    select(FakeTimer(rates()))
    held = json.loads(select.cache.path.read_text())
    select.cache.path.write_text(json.dumps(dict.fromkeys(held, entry)))
    assert select(FakeTimer(rates(bf16=2.0))).numerics == BF16


def test_a_cache_that_cannot_be_written_is_no_error(select: Selection) -> None:
    select.cache.path.parent.write_text("a file where the folder should be")
    assert select(FakeTimer(rates(bf16=2.0))).numerics == BF16


def test_nothing_else_is_left_beside_the_file(select: Selection) -> None:
    select(FakeTimer(rates()))
    assert [path.name for path in select.cache.path.parent.iterdir()] == ["arithmetic.json"]


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"DISTILLAB_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own/arithmetic.json"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/distillab/arithmetic.json"),
        ({"HOME": "/data/me"}, "/data/me/.cache/distillab/arithmetic.json"),
    ],
)
def test_the_file_is_in_the_cache_folder_of_the_user(
    variables: dict[str, str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISTILLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert BenchmarkCache.of_user().path == Path(path)
