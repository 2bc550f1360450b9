"""Networks given as Python objects: equal ones have equal names, and other processes build them."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from operator import itemgetter
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torchvision.models import resnet18

from distillab.artefacts import load_state
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.models.definitions import network_digest
from distillab.models.object_files import add_place, copy_objects
from distillab.models.objects import write_factory, write_network
from support.documents import environment
from support.source_tree import ROOT

INPUTS = InputSpec(3, 16, 16)
WIDTH = 4


class Net(nn.Module):
    """A network with settings, a parameter of its own and a buffer that is not saved."""

    def __init__(self, scale: float = 1.0, classes: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(3, WIDTH, 3, stride=2)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.offset = nn.Parameter(torch.full((WIDTH, 1, 1), 0.5))
        self.register_buffer("mean", torch.tensor(0.25), persistent=False)
        self.fc = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x - self.mean)) * self.scale + self.offset
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class Doubled(Net):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def seeded(build: Callable[..., nn.Module], *arguments: Any, seed: int = 0, **settings: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(*arguments, **settings)


def make_net(classes: int) -> nn.Module:
    return Net(classes=classes)


def built(name: str, seed: int = 0) -> nn.Module:
    return seeded(build_model, name, seed=seed, classes=2, inputs=INPUTS).eval()


def refusal(given: nn.Module) -> str:
    with pytest.raises(RequestError) as caught:
        write_network(given, "teacher")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_written_network_computes_the_same() -> None:
    network = seeded(Net, 0.5).eval()
    network(torch.rand(4, 3, 16, 16))
    name, weights = write_network(network, "teacher")
    again = built(name)
    load_state(again, weights)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(again(images), network(images))
    assert type(again) is Net


def test_equal_networks_have_one_name_whatever_their_identity() -> None:
    first, weights = write_network(seeded(Net), "teacher")
    assert write_network(seeded(Net), "teacher") == (first, weights)
    second, other = write_network(seeded(Net, seed=1), "teacher")
    assert second == first and other != weights


@pytest.mark.parametrize(
    "other",
    [partial(Net, 2.0), partial(Net, classes=3), Doubled],
    ids=["setting", "shape", "code"],
)
def test_different_definitions_have_different_names(other: Callable[[], nn.Module]) -> None:
    assert write_network(seeded(other), "teacher")[0] != write_network(seeded(Net), "teacher")[0]


@dataclass(frozen=True, slots=True)
class Slotted:
    width: int


@pytest.mark.parametrize(
    "kind",
    [
        np.int64,
        np.float32,
        Slotted,
        itemgetter,
        SimpleNamespace,
        lambda number: SimpleNamespace(inner=SimpleNamespace(number=number)),
        lambda number: deque([number]),
        lambda number: Path(str(number)),
        lambda number: re.compile(str(number)),
        lambda number: torch.distributions.Normal(float(number), 1.0),
        lambda number: [torch.ops.aten.relu, torch.ops.aten.tanh][number],
        lambda number: [np.tanh, np.sin][number],
        lambda number: [Tensor.exp, Tensor.log][number],
    ],
)
def test_settings_of_any_kind_are_part_of_the_definition(kind: Callable[..., Any]) -> None:
    def digest(number: int) -> str:
        network = seeded(Net)
        network.setting = kind(number=number) if kind is SimpleNamespace else kind(number)
        return network_digest(network)

    assert digest(0) == digest(0) != digest(1)


def test_settings_that_cannot_be_reduced_are_described_by_their_class() -> None:
    digests = set()
    for _ in range(2):
        network = seeded(Net)
        network.setting = [Lock(), ref(network), getLogger("a")]
        digests.add(network_digest(network))
    assert len(digests) == 1


def test_own_parameters_and_unsaved_buffers_are_part_of_the_definition() -> None:
    network = seeded(Net)
    assert isinstance(network, Net)
    network.mean = torch.tensor(0.75)
    name, _ = write_network(network, "teacher")
    assert name != write_network(seeded(Net), "teacher")[0]
    again = built(name)
    assert isinstance(again, Net)
    assert again.mean == 0.75 and (again.offset == 0.5).all()


def test_layers_get_initial_weights_from_the_seed() -> None:
    name, _ = write_network(seeded(Net), "teacher")
    first, same, other = built(name, 1), built(name, 1), built(name, 2)
    assert torch.equal(first.conv.weight, same.conv.weight)  # type: ignore[arg-type, union-attr]
    assert not torch.equal(first.conv.weight, other.conv.weight)  # type: ignore[arg-type, union-attr]
    assert (first.norm.running_var == 1).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("wrapper", [nn.DataParallel, torch.compile, torch.optim.swa_utils.AveragedModel])
def test_wrappers_are_taken_off(wrapper: Callable[[nn.Module], nn.Module]) -> None:
    name, weights = write_network(seeded(Net), "teacher")
    assert write_network(wrapper(seeded(Net)), "teacher") == (name, weights)


def test_half_precision_becomes_float32() -> None:
    name, weights = write_network(seeded(Net).half(), "teacher")
    assert name == write_network(seeded(Net), "teacher")[0]
    load_state(built(name), weights)


def test_tied_weights_stay_tied() -> None:
    network = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
    )
    network[3].weight = network[2].weight
    name, weights = write_network(network, "teacher")
    again = built(name)
    load_state(again, weights)
    assert isinstance(again, nn.Sequential)
    assert again[3].weight is again[2].weight
    assert torch.equal(again[3].weight, network[2].weight)  # type: ignore[arg-type]


def test_the_given_network_is_not_changed() -> None:
    network = seeded(Net).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    write_network(network, "teacher")
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


FACTORIES: dict[str, Callable[..., nn.Module]] = {
    "class": Net,
    "function": make_net,
    "lambda": lambda: Net(3.0),
    "partial": partial(Net, 4.0),
    "of a package": partial(resnet18, num_classes=2),
}


@pytest.mark.parametrize("kind", FACTORIES)
def test_factories_build_a_new_network_per_seed(kind: str) -> None:
    name = write_factory(FACTORIES[kind], "students")
    first, other = built(name, 1), built(name, 2)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert write_factory(FACTORIES[kind], "students") == name


def test_functions_of_libraries_are_their_models() -> None:
    assert write_factory(resnet18, "students") == "torchvision:resnet18"


def test_factories_are_named_by_what_they_build() -> None:
    names = {write_factory(lambda scale=scale: Net(scale), "students") for scale in (1.0, 2.0)}
    assert len(names) == 2


def closure(width: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, width), nn.Linear(width, 2)
    )


def test_what_a_factory_refers_to_is_part_of_its_name() -> None:
    assert write_factory(closure(3), "students") == write_factory(closure(3), "students")
    assert write_factory(closure(3), "students") != write_factory(closure(4), "students")


def test_networks_that_cannot_be_written_are_refused_in_one_line() -> None:
    assert "scripted network" in refusal(torch.jit.script(nn.Linear(2, 2)))
    assert "shape of weight is not known yet" in refusal(nn.LazyLinear(2))
    assert "meta device" in refusal(nn.Linear(2, 2, device="meta"))
    assert "cannot be written" in refusal(parametrizations.weight_norm(nn.Linear(2, 2)))
    locked = nn.Linear(2, 2)
    locked.handle = sys.stdout  # type: ignore[assignment]
    assert "cannot be written" in refusal(locked)


def test_unknown_objects_are_refused() -> None:
    with pytest.raises(RequestError, match="was given in Python and is not in this process"):
        built("object:Net-000000000000")


SCRIPT = """
from pathlib import Path
import sys, torch
from torch import nn
from distillab.models.object_files import copy_objects
from distillab.models.objects import write_factory, write_network

DEPTH = {depth}

class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
    def forward(self, x):
        for _ in range(DEPTH):
            x = helper(x)
        return self.fc(x)

def helper(x):
    return x.mean((2, 3), keepdim=True).flatten(1) if x.ndim == 4 else x

torch.manual_seed(0)
name, weights = write_network(Inside(), "teacher")
copy_objects([name, str(weights), write_factory(Inside, "students")], Path(sys.argv[1]))
print(name, write_factory(Inside, "students"), weights.name)
"""


def run_script(folder: Path, script: str) -> list[str]:
    (folder / "script.py").write_text(textwrap.dedent(script))
    run = subprocess.run(
        [sys.executable, "script.py", "objects"],
        cwd=folder,
        env=environment(ROOT),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_classes_of_a_script_are_built_in_other_processes(tmp_path: Path) -> None:
    network, factory, weights = run_script(tmp_path, SCRIPT.format(depth=1))
    add_place(tmp_path / "objects")
    for name in (network, factory):
        assert built(name)(torch.zeros(1, 3, 16, 16)).shape == (1, 2)
    load_state(built(network), tmp_path / "objects" / weights)
    commented = SCRIPT.format(depth=1).replace("def helper", "# a comment\ndef helper")
    assert run_script(tmp_path, commented) == [network, factory, weights]
    changed = run_script(tmp_path, SCRIPT.format(depth=2))
    assert changed[0] != network and changed[1] != factory and changed[2] == weights


def test_copied_files_are_found_in_their_folder(tmp_path: Path) -> None:
    name, weights = write_network(seeded(Net, 7.0), "teacher")
    copy_objects([f"{name}@32", f"mean({name}+resnet8)", str(weights), "resnet8"], tmp_path / "objects")
    assert {path.name for path in (tmp_path / "objects").iterdir()} == {
        f"{name.removeprefix('object:')}.pickle.z",
        weights.name,
    }
