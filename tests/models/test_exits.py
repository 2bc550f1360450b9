"""Networks with exits: what they compute, what each exit costs, and how they are named."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.models import (
    InputSpec,
    NetworkWithExits,
    build_model,
    check_model_name,
    count_macs,
    count_parameters,
    inspect_network,
    network_revision,
)
from distillab.models.alexnet import SeparableConv
from distillab.models.exits import exit_costs, exits_name, new_exits, split_exits
from distillab.models.outputs import OutputShapes

INPUTS = InputSpec(3, 32, 32)


def with_exits(name: str = "vote(alexnet_dsc)", inputs: InputSpec = INPUTS) -> NetworkWithExits:
    network = build_model(name, classes=10, inputs=inputs).eval()
    assert isinstance(network, NetworkWithExits)
    return network


def conv_weights(network: nn.Module) -> list[int]:
    return [m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d)]


def test_alexnet_has_about_two_and_a_half_million_parameters() -> None:
    network = build_model("alexnet", classes=100, inputs=INPUTS)
    assert count_parameters(network) == pytest.approx(2.5e6, rel=0.02)
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [64, 192, 384, 256, 256], "as published"


@pytest.mark.parametrize(("size", "inputs", "outputs"), [(5, 64, 192), (3, 192, 384), (3, 384, 256)])
def test_separable_layers_have_k2_cin_plus_cin_cout_weights(size: int, inputs: int, outputs: int) -> None:
    assert sum(conv_weights(SeparableConv(inputs, outputs, size))) == size**2 * inputs + inputs * outputs


def test_separable_alexnet_replaces_each_convolution_but_the_first() -> None:
    plain, separable = (build_model(name, classes=10, inputs=INPUTS) for name in ("alexnet", "alexnet_dsc"))
    layers = [
        (m.kernel_size[0], m.in_channels, m.out_channels) for m in plain.modules() if isinstance(m, nn.Conv2d)
    ]
    first, *rest = layers
    expected = first[0] ** 2 * first[1] * first[2] + sum(k**2 * i + i * o for k, i, o in rest)
    assert sum(conv_weights(separable)) == expected
    assert [m.shape for m in map(torch.zeros, inspect_network(plain, INPUTS).shapes.maps)] == [
        m.shape for m in map(torch.zeros, inspect_network(separable, INPUTS).shapes.maps)
    ]


@pytest.mark.parametrize("name", ["alexnet_dsc", "resnet8", "convnet3", "wrn16-2"])
def test_vote_is_the_mean_of_all_exits(name: str) -> None:
    network, x = with_exits(f"vote({name})"), torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        exits, answer = network.exit_logits(x), network(x)
        assert torch.equal(network.network(x), exits[-1]), "the last exit is the network itself"
    assert len(exits) == len(inspect_network(network, INPUTS).shapes.maps)
    assert torch.allclose(answer, torch.stack(exits).mean(0))


def test_without_vote_the_network_answers_alone() -> None:
    network, x = with_exits("exits(resnet8)"), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), network.network(x))
    assert count_macs(network, INPUTS) == count_macs(network.network, INPUTS)


def test_training_mode_returns_the_logits_of_the_network_alone() -> None:
    network, calls = with_exits().train(), []
    network.exits[0].register_forward_hook(lambda *arguments: calls.append(arguments))
    network(torch.rand(4, 3, 32, 32))
    assert not calls


@pytest.mark.parametrize("name", ["alexnet_dsc", "resnet8", "torchvision:mobilenet_v2"])
def test_deeper_exits_cost_more(name: str) -> None:
    network = with_exits(f"vote({name})")
    costs = exit_costs(network, INPUTS)
    *early, last, vote = costs.values()
    assert list(costs) == [*(f"exit {i + 1}" for i in range(len(early) + 1)), "vote"]
    assert all(a.macs < b.macs for a, b in pairwise(early)) and last.macs < vote.macs
    assert last.params == count_parameters(network.network) and vote.params == count_parameters(network)
    assert vote.macs == count_macs(network, INPUTS)
    assert all(each.requires_grad for each in network.parameters())


def test_cost_of_an_exit_is_counted_by_hand() -> None:
    costs = exit_costs(with_exits("exits(convnet3)"), INPUTS)
    first = 16 * 27 + 2 * 16  # the first layer, and its normalization
    neck = 16 * 64 + 2 * 64 + 64 * 10 + 10
    assert costs["exit 1"].params == first + neck
    assert costs["exit 1"].macs == 32 * 32 * 16 * 27 + 8 * 8 * 16 * 64 + 64 * 10


def test_exits_leave_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    plain = build_model("resnet8", classes=10, inputs=INPUTS).eval()
    torch.manual_seed(0)
    network, x = with_exits("vote(resnet8)"), torch.rand(2, 3, 32, 32)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    exit_costs(network, INPUTS)
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    with torch.no_grad():
        assert torch.equal(network.exit_logits(x)[-1], plain(x)), "same initial weights"
    assert not any(m._forward_hooks for m in network.modules()), "no hook is left"


def test_a_copy_reads_its_own_stages() -> None:
    network, x = with_exits(), torch.rand(2, 3, 32, 32)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for each in other.network.parameters():
            each.zero_()
        assert torch.equal(with_zeros := other(x), other(torch.rand(2, 3, 32, 32)))
        assert not torch.equal(with_zeros, network(x))


def test_taps_are_those_of_the_network_without_exits() -> None:
    network = with_exits("vote(resnet8)")
    found, plain = inspect_network(network, INPUTS), inspect_network(network.network, INPUTS)
    assert found.shapes == plain.shapes
    assert found.taps.classifier_of(network) is network.network.fc
    assert [stage.path for stage in found.taps.stages] == [f"network.{s.path}" for s in plain.taps.stages]
    assert [stage.relu for stage in found.taps.stages] == [
        s.relu and f"network.{s.relu}" for s in plain.taps.stages
    ]


@pytest.mark.parametrize("vote", [True, False])
@pytest.mark.parametrize("name", ["resnet8", "torchvision:resnet18#original@64"])
def test_names_are_read_as_written(name: str, vote: bool) -> None:
    assert split_exits(exits_name(name, vote=vote)) == (name, vote)
    assert split_exits(name) is None
    assert network_revision(exits_name(name, vote=vote), INPUTS) == network_revision(name, INPUTS)


def test_names_of_networks_with_exits_are_no_request() -> None:
    with pytest.raises(RequestError, match=r"'vote\(resnet8\)' is what a method makes.*exits or tskd"):
        check_model_name("vote(resnet8)")


@pytest.mark.parametrize("maps", [(), ((64, 8, 8),)])
def test_a_network_that_cannot_be_cut_is_refused(maps: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(RequestError, match=r"tskd needs two stages in the student, and it has (none|one)"):
        new_exits(OutputShapes(10, 64, maps), "tskd")


def test_exits_are_given_once() -> None:
    network = with_exits()
    with pytest.raises(RequestError, match="has exits already"):
        NetworkWithExits(network, (), nn.ModuleList(), vote=True)


@pytest.mark.parametrize("sides", [(33, 33), (32, 40), (28, 28), (64, 101)])
def test_exits_take_sides_that_do_not_divide(sides: tuple[int, int]) -> None:
    inputs = InputSpec(1, *sides)
    network = with_exits("vote(resnet8)", inputs)
    assert network(torch.rand(2, *inputs.shape)).shape == (2, 10)
