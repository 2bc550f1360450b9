"""Training under other numerics: recipes and ids, compiled networks, memory formats."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distillab.methods import parse_method
from distillab.models import InputSpec, TappedModel, inspect_network
from distillab.training.loop import CohortMember, TrainedNetwork, train
from distillab.training.numerics import (
    NumericsConfig,
    compile_call,
    config,
    place_model,
    to_memory_format,
)
from distillab.training.numerics.benchmark import can_compile
from distillab.training.recipe import Recipe, ResolvedRecipe
from support.training import CPU, SEEDS, equal, examples_of, normalization, recipe, role_sets

needs_compiler = pytest.mark.skipif(not can_compile(CPU), reason="there is no C++ compiler here")


class SmallNetwork(nn.Module):
    """Quick to compile."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(x).mean((2, 3)))
        return logits


def small(num_classes: int, in_chans: int) -> nn.Module:
    """A factory for ``module:factory``."""
    return SmallNetwork(in_chans, num_classes)


def run(**keys: Any) -> TrainedNetwork:
    sets = role_sets()
    member = CohortMember(
        f"{Path(__file__).stem}:small", parse_method("ce", ""), sets.train, sets.val, recipe(**keys), SEEDS
    )
    return train(member, normalization(), device=CPU)


@pytest.fixture
def compilations() -> Iterator[Callable[[], int]]:
    """Returns how many graphs were compiled since the test began."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    yield lambda: counters["stats"]["unique_graphs"] - before


# -- recipes -------------------------------------------------------------------------------------------------


def test_default_numerics_are_left_out_of_the_written_recipe() -> None:
    """Run ids are hashes of it: a study that uses nothing new keeps its ids."""
    written = recipe().as_dict()
    assert {"memory_format", "compile"}.isdisjoint(written)
    assert ResolvedRecipe.from_dict(written) == recipe()


@pytest.mark.parametrize("keys", [{"memory_format": "contiguous"}, {"compile": True}, {"precision": "bf16"}])
def test_other_numerics_are_written(keys: dict[str, Any]) -> None:
    resolved = recipe(**keys)
    assert resolved.as_dict() == recipe().as_dict() | keys
    assert ResolvedRecipe.from_dict(resolved.as_dict()) == resolved


def test_a_recipe_overrides_the_choice() -> None:
    chosen = NumericsConfig("bf16", "contiguous", compile=True)
    resolved = Recipe(precision="fp32", compile=False).resolve(examples_of(), chosen)
    assert (resolved.precision, resolved.memory_format, resolved.compile) == ("fp32", "contiguous", False)


# -- compiled networks ---------------------------------------------------------------------------------------


@needs_compiler
def test_compiled_training_repeats_and_is_close_to_eager(compilations: Callable[[], int]) -> None:
    """The second network uses the code of the first, although the first was evaluated in between."""
    first, again, eager = run(compile=True), run(compile=True), run()
    assert compilations() == 1
    assert equal(first.last, again.last)
    assert all(
        torch.allclose(first.last[key].float(), eager.last[key].float(), atol=1e-4) for key in eager.last
    )


@needs_compiler
def test_compiled_training_repeats_in_another_process() -> None:
    here = Path(__file__)
    script = (
        f"import sys; sys.path[:0] = [{str(here.parent)!r}, {str(here.parent.parent)!r}]; "
        f"import {here.stem} as t; "
        "print(sorted((k, float(v.double().sum()).hex()) for k, v in t.run(compile=True).last.items()))"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    sums = sorted((k, float(v.double().sum()).hex()) for k, v in run(compile=True).last.items())
    assert other.stdout.strip() == str(sums)


@needs_compiler
def test_a_compiled_tapped_network_gives_the_same_outputs(compilations: Callable[[], int]) -> None:
    """Logits, embedding and maps, for each of several networks; one graph per set of needs."""
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for needs in ({"embedding", "maps"}, set[str]()):
        for _ in range(2):
            network = place_model(small(3, 1), CPU).train()
            taps = inspect_network(network, InputSpec(1, 8, 8)).taps
            with TappedModel(network, needs, taps) as tapped:
                eager, compiled = tapped(images), compile_call(tapped)(images)
            assert torch.allclose(eager.logits, compiled.logits, atol=1e-5)
            assert len(compiled.maps) == len(eager.maps) == ("maps" in needs)
            assert all(
                torch.allclose(a, b, atol=1e-5) for a, b in zip(eager.maps, compiled.maps, strict=True)
            )
            assert (compiled.embedding is None) == (eager.embedding is None)
    assert compilations() == 2


def test_a_compiler_that_fails_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eager code never takes over silently: it would give other numbers."""

    def broken(*_: object) -> None:
        raise RuntimeError("the C++ compiler is broken")

    monkeypatch.setattr(config, "_compiler", lambda: broken)
    with pytest.raises(RuntimeError, match="compiler is broken"):
        run(compile=True)


def test_a_network_that_is_not_compiled_is_called_directly() -> None:
    network = nn.Identity()
    assert compile_call(network, enabled=False) is network


# -- memory formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "form"),
    [("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)],
)
def test_weights_and_images_have_the_requested_format(name: Any, form: torch.memory_format) -> None:
    network = place_model(small(3, 3), CPU, name)
    assert isinstance(network, SmallNetwork)
    convolution = network.features[0]
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.is_contiguous(memory_format=form)
    images = to_memory_format(torch.rand(2, 3, 8, 8), name)
    assert images.is_contiguous(memory_format=form)
    assert to_memory_format(images, name) is images


def test_the_memory_format_changes_no_more_than_rounding() -> None:
    first, second = run(memory_format="contiguous"), run()
    assert all(torch.allclose(first.last[k].float(), second.last[k].float(), atol=1e-4) for k in second.last)
