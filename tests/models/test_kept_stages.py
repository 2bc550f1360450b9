"""Stages that are kept: what comes out of them stays as it is while the rest of the network is trained."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models import InputSpec, build_model, inspect_network
from distillab.models.kept_stages import KeptStages, keep_stages

INPUTS = InputSpec(3, 32, 32)
NETWORKS = [
    "resnet8",
    "vgg5_half",
    "wrn16-1",
    "alexnet_dsc",
    "efficientnet_lite0",
    "densenet121_mini",
    "vit_mini",
]


def built(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(name, classes=4, inputs=INPUTS)


def images(seed: int) -> Tensor:
    return torch.randn(6, *INPUTS.shape, generator=torch.Generator().manual_seed(seed))


def output_of(network: nn.Module, path: str) -> Tensor:
    """Return the output of a module in training mode, with every module that training would change."""
    caught: list[Tensor] = []
    handle = network.get_submodule(path).register_forward_hook(
        lambda _, __, made: caught.append(made.detach())
    )
    network.train()(images(1))
    handle.remove()
    return caught[0]


def step(network: nn.Module) -> None:
    trained = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)
    network.train()(images(2)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", NETWORKS)
def test_output_of_kept_stages_does_not_change(name: str) -> None:
    network = built(name)
    paths = [stage.path for stage in inspect_network(network, INPUTS).taps.stages]
    kept = keep_stages(network, INPUTS, 2, name=name)
    before = output_of(network, paths[1]), output_of(network, paths[-1])
    state = {key: value.clone() for key, value in network.state_dict().items()}
    step(network)
    assert torch.equal(output_of(network, paths[1]), before[0])
    assert not torch.equal(output_of(network, paths[-1]), before[1])
    fixed = kept.state_keys(network)
    assert all(torch.equal(network.state_dict()[key], state[key]) for key in fixed)
    frozen = {key for key, each in network.named_parameters() if not each.requires_grad}
    assert frozen == kept.parameters and 0 < kept.size < kept.total


def test_copy_of_a_network_keeps_its_own_stages() -> None:
    network = built("resnet8")
    keep_stages(network, INPUTS, 1, name="resnet8")
    other = copy.deepcopy(network).train()
    assert not other.stages[0].training and other.stages[1].training
    step(other)
    assert torch.equal(other.bn1.running_mean, network.bn1.running_mean)


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_more_stages_are_kept_with_those_before_them(stages: int) -> None:
    network = built("resnet8")
    found = [KeptStages.of(network, INPUTS, each, name="resnet8") for each in range(1, stages + 1)]
    assert all(a.parameters < b.parameters for a, b in itertools.pairwise(found))
    assert {"conv1.weight", "bn1.bias"} <= found[0].parameters
    assert not any(key.startswith("fc") for key in found[-1].parameters)


def test_stages_that_there_are_not_are_refused() -> None:
    with pytest.raises(RequestError, match="more than its 3 stages") as caught:
        KeptStages.of(built("resnet8"), INPUTS, 4, name="resnet8")
    assert caught.value.allowed == "1 to 3"
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    with pytest.raises(RequestError, match="has no stages"):
        KeptStages.of(flat, INPUTS, 1, name="flat")
