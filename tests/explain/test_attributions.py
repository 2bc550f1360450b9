"""Attributions: closed forms, the library beside them, and networks that lack what they read."""

from __future__ import annotations

from typing import get_args

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.explain import ExplainedNetwork, attribute, attributions
from distillab.explain.attributions.grad_cam import grad_cam
from distillab.models import InputSpec
from distillab.study.spec.explain import AttributionName
from support.explained import counted_passes, planted, random_inputs, small_network

OF_OUTPUTS = [name for name in attributions if attributions[name].reads == "outputs"]
WITHOUT_MAPS = [name for name in attributions if attributions[name].reads != "maps"]


def test_study_files_accept_every_attribution_and_no_other() -> None:
    assert set(get_args(AttributionName)) == set(attributions)


@pytest.mark.parametrize("name", sorted(attributions))
def test_maps_have_the_size_of_the_input_and_a_maximum_of_one(name: str) -> None:
    network, x = small_network(), random_inputs()
    maps = attribute(name, network, x, network.predicted(x))
    assert maps.shape == (2, 16, 16)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert set(maps.max(axis=(1, 2)).round(6)) <= {0.0, 1.0}


@pytest.mark.parametrize("side", [8, 16, 28])
@pytest.mark.parametrize("name", sorted(attributions))
def test_the_cost_that_plans_count_is_that_of_the_maps(name: str, side: int) -> None:
    network, x = small_network(side=side), random_inputs(side=side)
    classes = network.predicted(x)
    assert len(network.mapped_parts) == 1  # a dry run, once per network
    with counted_passes() as counted:
        attribute(name, network, x, classes)
    each = 1 if attributions[name].reads == "outputs" else 3  # with the backward pass
    assert each * counted["resnet8"] == len(x) * attributions[name].passes


@pytest.mark.parametrize("name", sorted(attributions))
def test_maps_are_the_same_every_time_and_leave_no_trace(name: str) -> None:
    network, x = small_network(), random_inputs()
    assert network.network is not None
    before = {key: value.clone() for key, value in network.network.state_dict().items()}
    state = torch.random.get_rng_state()
    first, second = (attribute(name, network, x, torch.tensor([0, 1])) for _ in range(2))
    assert np.array_equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[key], value) for key, value in network.network.state_dict().items())
    assert not any(module._forward_hooks for module in network.network.modules())
    assert all(parameter.grad is None for parameter in network.network.parameters())


@pytest.mark.parametrize("name", WITHOUT_MAPS)
def test_attribution_lies_where_the_network_reads(name: str) -> None:
    network, read = planted()
    maps = attribute(name, network, torch.ones(1, 1, 16, 16), torch.tensor([0]))
    outside = maps[0][~read].sum() / maps[0].sum()
    assert outside < (0.35 if name == "occlusion" else 0.02)  # windows reach over the edge
    against = attribute(name, network, torch.ones(1, 1, 16, 16), torch.tensor([1]))
    assert against[0][read].sum() < 0.05 * maps[0][read].sum()


def test_integrated_gradients_of_a_linear_network_are_its_input() -> None:
    network, read = planted()
    x = torch.rand(1, 1, 16, 16)
    maps = attribute("integrated_gradients", network, x, torch.tensor([0]))
    expected = x[0, 0].numpy() * read
    assert np.allclose(maps[0], expected / expected.max(), atol=1e-5)


@pytest.mark.parametrize("model", ["resnet8", "convnet3"])
def test_grad_cam_is_that_of_captum_on_the_last_map(model: str) -> None:
    network, x, classes = small_network(model), random_inputs(), torch.tensor([0, 3])
    assert network.network is not None
    layer = network.network.get_submodule(network.taps.stages[-1].path)
    found = captum.attr.LayerGradCam(network.forward, layer).attribute(
        x, target=classes, relu_attributions=True
    )
    expected = nn.functional.interpolate(found, size=(16, 16), mode="bilinear")[:, 0]
    assert torch.allclose(grad_cam(network, x, classes), expected, atol=1e-5)


def test_grad_cam_of_a_transformer_reads_patches_that_the_class_depends_on() -> None:
    network, x = small_network("timm:vit_tiny_patch16_224", side=32), random_inputs(side=32)
    assert network.taps.stages[-1].layout == "tokens"
    maps = attribute("grad_cam", network, x, network.predicted(x))
    assert maps.shape == (2, 32, 32)
    assert maps.max(axis=(1, 2)).tolist() == [1.0, 1.0]


def test_inputs_that_are_not_square_are_explained() -> None:
    inputs = InputSpec(1, 24, 40)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    network = ExplainedNetwork.of(module, inputs, name="wide")
    for name in attributions:
        assert attribute(name, network, torch.rand(1, 1, 24, 40), torch.tensor([1])).shape == (1, 24, 40)


def test_network_without_a_feature_map_is_one_line() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    network = ExplainedNetwork.of(module, InputSpec(1, 8, 8), name="linear")
    with pytest.raises(RequestError, match=r"linear: grad_cam needs a feature map, .*allowed: occlusion"):
        attribute("grad_cam", network, torch.rand(1, 1, 8, 8), torch.tensor([0]))
    for name in WITHOUT_MAPS:
        attribute(name, network, torch.rand(1, 1, 8, 8), torch.tensor([0]))


@pytest.mark.parametrize("name", sorted(set(attributions) - set(OF_OUTPUTS)))
def test_graph_gives_no_gradients(name: str) -> None:
    graph = ExplainedNetwork("model.onnx", InputSpec(1, 8, 8), lambda x: x.flatten(1)[:, :2])
    with pytest.raises(RequestError, match=f"model.onnx: {name} needs gradients"):
        attribute(name, graph, torch.rand(1, 1, 8, 8), torch.tensor([0]))


def test_unknown_attribution_names_those_that_exist() -> None:
    network, x = small_network(), random_inputs()
    with pytest.raises(RequestError, match="unknown attribution 'gradcam', did you mean 'grad_cam'"):
        attribute("gradcam", network, x, torch.tensor([0, 0]))


def test_outputs_that_are_not_finite_are_refused() -> None:
    graph = ExplainedNetwork("broken", InputSpec(1, 8, 8), lambda x: x.flatten(1)[:, :2] * float("nan"))
    with pytest.raises(RequestError, match="not finite"):
        attribute("occlusion", graph, torch.rand(1, 1, 8, 8), torch.tensor([0]))
