"""How networks compute: what is asked is taken, the rest is timed and remembered, and old ids stay."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from distillab.methods import parse_method
from distillab.models import InputSpec, TappedModel, inspect_network
from distillab.training.loop.cohort import train
from distillab.training.loop.trainee import Member, Trained
from distillab.training.numerics import benchmark as trial
from distillab.training.numerics import config as numerics
from distillab.training.numerics import selection as tuning
from distillab.training.numerics.benchmark import Rates, Workload
from distillab.training.numerics.config import NumericsConfig, compiled, laid_out, placed
from distillab.training.numerics.selection import (
    LEAST_COMPILED,
    LEAST_FORMATTED,
    LEAST_GAIN,
    LEAST_STUDY,
    Choice,
    Memory,
    choose,
    faster,
)
from distillab.training.recipe import Recipe, ResolvedRecipe
from support.training import CPU, SEEDS, equal, examples_of, normalisation, recipe, role_sets

USUAL = NumericsConfig()
BF16 = NumericsConfig("bf16")
PLAIN_LAYOUT = NumericsConfig(memory_format="contiguous")
COMPILED = NumericsConfig(compile=True)
WORK = Workload("resnet8", classes=3, inputs=InputSpec.square(1, 8), batch=10)
LONG = 1e7  # seconds, or images at a rate of one: worth every trial

needs_compiler = pytest.mark.skipif(not trial.can_compile(CPU), reason="there is no C++ compiler here")


class Stopwatch:
    """A timer that tells given rates, and remembers what it was asked."""

    def __init__(self, rates: Rates) -> None:
        self.told, self.asked = rates, list[list[NumericsConfig]]()

    def __call__(self, workload: Workload, chosen: Sequence[NumericsConfig], device: torch.device) -> Rates:
        self.asked.append(list(chosen))
        return {each: self.told[each] for each in chosen}


class Trial:
    """``choose`` on a machine where everything is possible and takes the given time."""

    def __init__(self, path: Path) -> None:
        self.memory = Memory(path / "cache" / "arithmetic.json")

    def __call__(
        self,
        timer: Stopwatch,
        seconds: float = LONG,
        images: float = LONG,
        work: Workload = WORK,
        **keys: Any,
    ) -> Choice:
        return choose(
            work, Recipe(**keys), CPU, study_seconds=seconds, images=images, timer=timer, memory=self.memory
        )


@pytest.fixture
def trying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setattr(tuning, "bf16_is_worth_timing", lambda device: True)
    monkeypatch.setattr(tuning, "can_compile", lambda device: True)
    return Trial(tmp_path)


def rates(**known: float | None) -> Rates:
    """Rates of every arithmetic; 1 but for ``bf16``, ``contiguous``, ``compiled``, which multiply."""
    every = [
        NumericsConfig(p, m, c)
        for p in ("fp32", "bf16")
        for m in ("channels_last", "contiguous")
        for c in (False, True)
    ]
    gains = dict.fromkeys(("bf16", "contiguous", "compiled"), 1.0) | known

    def rate(each: NumericsConfig) -> float | None:
        parts = [gains[part] for part in str(each).split() if part in gains]
        return None if None in parts else float(np.prod(parts))  # type: ignore[arg-type]

    return {each: rate(each) for each in every}


# -- the choice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ({}, USUAL),
        ({"bf16": 2.0}, BF16),
        ({"contiguous": 1.5}, PLAIN_LAYOUT),
        ({"compiled": 1.3}, COMPILED),
        ({"bf16": 2.0, "contiguous": 1.5, "compiled": 1.2}, NumericsConfig("bf16", "contiguous", True)),
        ({"bf16": 1.09, "compiled": 1.09}, USUAL),
        ({"bf16": 0.1, "contiguous": 0.9, "compiled": 0.5}, USUAL),
        ({"compiled": None}, USUAL),
    ],
    ids=str,
)
def test_what_is_more_than_a_tenth_faster_is_taken(
    trying: Trial, gains: dict[str, float | None], chosen: NumericsConfig
) -> None:
    assert trying(Stopwatch(rates(**gains))).numerics == chosen


@given(st.dictionaries(st.sampled_from(list(rates())), st.floats(0.01, 1e4), min_size=1))
def test_no_change_without_a_gain(timed: dict[NumericsConfig, float]) -> None:
    best = faster(USUAL, timed)
    if USUAL in timed:
        assert best == USUAL or timed[best] > LEAST_GAIN * timed[USUAL]
        assert max(timed.values()) <= LEAST_GAIN * timed[USUAL] or timed[best] == max(timed.values())


@pytest.mark.parametrize(
    "asked",
    [
        {"precision": "bf16", "memory_format": "contiguous", "compile": False},
        {"precision": "fp32", "memory_format": "channels_last", "compile": True},
    ],
)
def test_what_is_asked_is_not_timed(trying: Trial, asked: dict[str, Any]) -> None:
    timer = Stopwatch(rates(bf16=0.1, contiguous=0.1, compiled=0.1))
    choice = trying(timer, **asked)
    assert (choice.numerics, choice.why, timer.asked) == (NumericsConfig(**asked), "as asked", [])
    assert choice.as_dict()["asked"]


def test_what_is_asked_in_part_is_held_in_every_candidate(trying: Trial) -> None:
    timer = Stopwatch(rates(bf16=5.0, contiguous=5.0, compiled=5.0))
    choice = trying(timer, precision="fp32", compile=False)
    assert choice.numerics == PLAIN_LAYOUT
    assert timer.asked == [[USUAL, PLAIN_LAYOUT]]
    assert trying(timer, precision="fp32", memory_format="channels_last", compile=True).numerics == COMPILED


def test_a_short_study_is_not_timed_and_says_so(trying: Trial) -> None:
    timer = Stopwatch(rates(compiled=9.0))
    choice = trying(timer, seconds=LEAST_STUDY - 1)
    assert (choice.numerics, timer.asked) == (USUAL, [])
    assert "not timed" in str(choice)


def test_compiling_is_tried_only_where_it_can_repay_its_start(trying: Trial) -> None:
    """At one image a second, as many images as seconds."""
    timer = Stopwatch(rates(compiled=9.0))
    assert not trying(timer, images=LEAST_COMPILED - 1).numerics.compile
    assert all(not each.compile for asked in timer.asked for each in asked)
    assert trying(timer, images=LEAST_COMPILED + 1).numerics.compile


def test_a_format_of_memory_is_tried_only_where_it_can_repay_its_trial(trying: Trial) -> None:
    timer = Stopwatch(rates(contiguous=9.0))
    assert trying(timer, images=LEAST_FORMATTED - 1).numerics == USUAL
    assert {each.memory_format for asked in timer.asked for each in asked} == {"channels_last"}
    assert trying(timer, images=LEAST_FORMATTED + 1).numerics == PLAIN_LAYOUT


def test_what_is_far_behind_is_timed_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """It drops out after the first rounds; its median is told all the same."""
    calls = dict.fromkeys(("quick", "near", "slow"), 0)
    took = {"quick": 1.0, "near": 1.4, "slow": 1.6}

    def step(name: str) -> Callable[[], None]:
        def call() -> None:
            calls[name] += 1
            now[0] += took[name]

        return call

    now = [0.0]
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)
    steps = {name: step(name) for name in calls}
    medians = trial._medians(list(steps.values()), lambda: now[0])
    assert calls == {"quick": trial.LEAST_ROUNDS, "near": trial.LEAST_ROUNDS, "slow": trial.FIRST_ROUNDS}
    assert {name: medians[call] for name, call in steps.items()} == pytest.approx(took)


def test_without_a_compiler_nothing_is_compiled(trying: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "can_compile", lambda device: False)
    assert trying(Stopwatch(rates(compiled=9.0))).numerics == USUAL


def test_emulated_bf16_is_not_a_candidate(trying: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "bf16_is_worth_timing", lambda device: False)
    timer = Stopwatch(rates(bf16=9.0))
    assert trying(timer).numerics == USUAL
    assert {each.precision for asked in timer.asked for each in asked} == {"fp32"}


@pytest.mark.parametrize(("compiler", "present"), [("no-such-compiler", False), (sys.executable, True)])
def test_the_named_compiler_is_looked_for(
    compiler: str, present: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler)
    assert trial.can_compile(CPU) is present


def test_of_a_network_that_is_only_asked_the_precision_is_timed(trying: Trial) -> None:
    """Its rates are remembered apart from those of its training."""
    timer = Stopwatch(rates(bf16=2.0, contiguous=9.0, compiled=9.0))
    asked = trying(timer, work=replace(WORK, trained=False))
    assert (asked.numerics, timer.asked) == (BF16, [[USUAL, BF16]])
    assert "images/s, asked: fp32" in str(asked)
    assert trying(Stopwatch(rates())).numerics == USUAL


def test_a_choice_tells_its_rates(trying: Trial) -> None:
    told = str(trying(Stopwatch(rates(contiguous=120.0, bf16=7.0, compiled=None))))
    assert told.startswith("bf16 contiguous eager (timed here;")
    assert "bf16 contiguous eager 840" in told
    assert "compiled failed" in told


def test_the_trial_times_real_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every candidate has a rate, the caller's random state and threads are as they were."""
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    timed = trial.measure(WORK, [USUAL, PLAIN_LAYOUT], CPU)
    assert all(rate is not None and rate > 0 for rate in timed.values())
    assert list(timed) == [USUAL, PLAIN_LAYOUT]
    [forwards] = trial.measure(replace(WORK, trained=False), [USUAL], CPU).values()
    assert forwards is not None and forwards > 0
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_a_compiler_that_fails_loses_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(numerics, "_compiler", lambda: broken_compiler)
    timed = trial.measure(WORK, [USUAL, COMPILED], CPU)
    assert timed[USUAL] is not None
    assert timed[COMPILED] is None


def broken_compiler(*_: object) -> None:
    raise RuntimeError("the C++ compiler is broken")


# -- its memory ---------------------------------------------------------------------------------------------


def test_a_trial_is_made_once(trying: Trial) -> None:
    first = trying(Stopwatch(rates(contiguous=1.5)))
    silent = Stopwatch({})
    again = trying(silent)
    assert silent.asked == []
    assert (again.numerics, dict(again.rates)) == (first.numerics, dict(first.rates))
    assert (first.why, again.why) == ("timed here", "remembered")


def test_later_rates_are_put_to_the_scale_of_earlier_ones(trying: Trial) -> None:
    """The machine is four times as busy when compiling is timed, which says nothing of the earlier rates."""
    trying(Stopwatch(rates()), images=1)
    busy = Stopwatch({each: rate and rate / 4 for each, rate in rates(compiled=1.5).items()})
    choice = trying(busy)
    assert choice.rates[USUAL] == 1.0
    assert choice.rates[COMPILED] == pytest.approx(1.5)
    assert choice.numerics == COMPILED


@pytest.mark.parametrize(
    "change", [{"model": "resnet14"}, {"batch": 20}, {"inputs": InputSpec.square(1, 16)}, {"threads": 2}]
)
def test_another_workload_is_timed_anew(trying: Trial, change: dict[str, Any]) -> None:
    timer = Stopwatch(rates())
    trying(timer)
    count = len(timer.asked)
    choose(
        replace(WORK, **change),
        Recipe(),
        CPU,
        study_seconds=LONG,
        images=LONG,
        timer=timer,
        memory=trying.memory,
    )
    assert len(timer.asked) == 2 * count


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', "\x00"])
def test_an_unreadable_file_is_measured_anew_and_replaced(trying: Trial, content: str) -> None:
    trying.memory.path.parent.mkdir()
    trying.memory.path.write_text(content)
    timer = Stopwatch(rates(bf16=2.0))
    assert trying(timer).numerics == BF16
    assert timer.asked
    assert any("resnet8" in key for key in json.loads(trying.memory.path.read_text()))


@pytest.mark.parametrize("entry", [1, "fast", [2], {"fp32 channels_last eager": "fast"}])
def test_entries_that_are_no_rates_are_measured_anew(trying: Trial, entry: Any) -> None:
    trying(Stopwatch(rates()))
    held = json.loads(trying.memory.path.read_text())
    trying.memory.path.write_text(json.dumps(dict.fromkeys(held, entry)))
    assert trying(Stopwatch(rates(bf16=2.0))).numerics == BF16


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_trial(trying: Trial) -> None:
    trying.memory.path.parent.write_text("a file where the folder should be")
    assert trying(Stopwatch(rates(bf16=2.0))).numerics == BF16


def test_nothing_else_is_left_beside_the_file(trying: Trial) -> None:
    trying(Stopwatch(rates()))
    assert [path.name for path in trying.memory.path.parent.iterdir()] == ["arithmetic.json"]


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"DISTILLAB_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own/arithmetic.json"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/distillab/arithmetic.json"),
        ({"HOME": "/home/me"}, "/home/me/.cache/distillab/arithmetic.json"),
    ],
)
def test_where_the_file_is(variables: dict[str, str], path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISTILLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Memory.of_user().path == Path(path)


# -- recipes ------------------------------------------------------------------------------------------------


def test_defaults_stay_out_of_the_written_recipe() -> None:
    """Run ids are hashes of it: a study that uses nothing new keeps the ids that it had."""
    written = recipe().as_dict()
    assert {"memory_format", "compile"}.isdisjoint(written)
    assert ResolvedRecipe.from_dict(written) == recipe()


@pytest.mark.parametrize("keys", [{"memory_format": "contiguous"}, {"compile": True}, {"precision": "bf16"}])
def test_what_changes_numbers_is_written(keys: dict[str, Any]) -> None:
    resolved = recipe(**keys)
    assert resolved.as_dict() == recipe().as_dict() | keys
    assert ResolvedRecipe.from_dict(resolved.as_dict()) == resolved


def test_the_recipe_goes_before_the_choice() -> None:
    chosen = NumericsConfig("bf16", "contiguous", compile=True)
    resolved = Recipe(precision="fp32", compile=False).resolve(examples_of(), chosen)
    assert (resolved.precision, resolved.memory_format, resolved.compile) == ("fp32", "contiguous", False)


# -- computing ----------------------------------------------------------------------------------------------


class SmallNetwork(nn.Module):
    """Quick to compile, with a stage to tap, batch statistics and a classifier."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(x).mean((2, 3)))
        return logits


def small(num_classes: int, in_chans: int) -> nn.Module:
    return SmallNetwork(in_chans, num_classes)


def run(**keys: Any) -> Trained:
    sets = role_sets()
    member = Member(
        "test_arithmetic:small", parse_method("ce", ""), sets.train, sets.val, recipe(**keys), SEEDS
    )
    return train(member, normalisation(), device=CPU)


@pytest.fixture
def compilations() -> Iterator[Callable[[], int]]:
    """How many graphs were compiled since the test began."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    yield lambda: counters["stats"]["unique_graphs"] - before


@needs_compiler
def test_compiled_training_repeats_and_stays_close_to_eager(compilations: Callable[[], int]) -> None:
    """The second network uses the code of the first, although the first was evaluated in between."""
    first, again, eager = run(compile=True), run(compile=True), run()
    assert compilations() == 1
    assert equal(first.last, again.last)
    assert all(
        torch.allclose(first.last[key].float(), eager.last[key].float(), atol=1e-4) for key in eager.last
    )


@needs_compiler
def test_compiled_training_repeats_in_another_process() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_numerics as t; "
        "print(sorted((k, float(v.double().sum()).hex()) for k, v in t.run(compile=True).last.items()))"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    here = sorted((k, float(v.double().sum()).hex()) for k, v in run(compile=True).last.items())
    assert other.stdout.strip() == str(here)


@needs_compiler
def test_a_compiled_tapped_network_says_what_it_says(compilations: Callable[[], int]) -> None:
    """Logits, embedding and maps, for each of several networks; one graph a set of needs."""
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for needs in ({"embedding", "maps"}, set[str]()):
        for _ in range(2):
            network = placed(small(3, 1), CPU).train()
            taps = inspect_network(network, InputSpec(1, 8, 8)).taps
            with TappedModel(network, needs, taps) as tapped:
                seen, said = tapped(images), compiled(tapped)(images)
            assert torch.allclose(seen.logits, said.logits, atol=1e-5)
            assert len(said.maps) == len(seen.maps) == ("maps" in needs)
            assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(seen.maps, said.maps, strict=True))
            assert (said.embedding is None) == (seen.embedding is None)
    assert compilations() == 2


def test_a_compiler_that_fails_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """No eager code takes over in silence: it would give other numbers."""
    monkeypatch.setattr(numerics, "_compiler", lambda: broken_compiler)
    with pytest.raises(RuntimeError, match="compiler is broken"):
        run(compile=True)


def test_what_is_not_to_be_compiled_is_left_as_it_is() -> None:
    network = small(3, 1)
    assert compiled(network, enabled=False) is network


@pytest.mark.parametrize(
    ("name", "form"), [("channels_last", torch.channels_last), ("contiguous", torch.contiguous_format)]
)
def test_networks_and_images_lie_as_asked(name: Any, form: torch.memory_format) -> None:
    network = placed(small(3, 3), CPU, name)
    assert isinstance(network, SmallNetwork)
    convolution = network.features[0]
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.is_contiguous(memory_format=form)
    images = laid_out(torch.rand(2, 3, 8, 8), name)
    assert images.is_contiguous(memory_format=form)
    assert laid_out(images, name) is images


def test_the_memory_format_changes_no_more_than_rounding() -> None:
    first, second = run(memory_format="contiguous"), run()
    assert all(torch.allclose(first.last[k].float(), second.last[k].float(), atol=1e-4) for k in second.last)
