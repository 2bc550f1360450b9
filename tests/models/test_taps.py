"""Taps read the outputs of a network at its stages without changing it."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models import (
    STORABLE,
    InputSpec,
    Outputs,
    TappedModel,
    Taps,
    attention_map,
    build_model,
    inspect_network,
    models,
)
from distillab.models.registry import DETECTORS, TEXT_NETWORKS, TRACKING_NETWORKS
from distillab.models.stages import Stage

EXTERNAL = {
    "torchvision:resnet18": ("fc", ["layer1", "layer2", "layer3", "layer4"]),
    "torchvision:mobilenet_v3_small": ("classifier.3", None),
    "timm:test_efficientnet": ("classifier", ["blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4"]),
    "timm:vit_tiny_patch16_224": ("head", ["blocks.2", "blocks.5", "blocks.8", "blocks.11"]),
}
# Deeper networks differ from these in the number of blocks alone.
NAMES = ["resnet8", "resnet14", "resnet8x4", "wrn16-1", "wrn16-2", "convnet3"]
NEEDS = frozenset({"embedding", "maps", "attention", "labels", "logits"})
INPUTS = InputSpec.square(3, 16)
ALL = [*NAMES, *EXTERNAL]


def build(name: str, channels: int = 3, resolution: int = 16) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(name, classes=6, inputs=InputSpec.square(channels, resolution))


def images(n: int = 2, channels: int = 3, resolution: int = 16) -> Tensor:
    return torch.randn(n, channels, resolution, resolution, generator=torch.Generator().manual_seed(3))


def tap(model: nn.Module, needs: Iterable[str]) -> TappedModel:
    """The network with the taps that a dry run on images of 16x16 pixels finds."""
    return TappedModel(model, needs, inspect_network(model, INPUTS).taps)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


TRANSFORMERS = [name for name in models if name.startswith("vit")]
MINIS = [name for name in models if name.endswith("_mini") and name not in TRANSFORMERS]
FIVE_LAYERS = [name for name in models if name.startswith("vgg5")]


@pytest.mark.parametrize("name", MINIS)
def test_classifier_and_stages_of_small_relatives_are_found(name: str) -> None:
    model = build(name, 1, 20)
    info = inspect_network(model, InputSpec.square(1, 20), classes=6)
    classifier = model.get_submodule(info.taps.classifier)
    assert isinstance(classifier, nn.Linear)
    assert info.shapes.embedding == classifier.in_features
    assert len(info.shapes.maps) >= 3
    sides = [height for _, height, _ in info.shapes.maps]
    assert sides == sorted(sides, reverse=True) and sides[0] > sides[-1]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in models
        if not name.startswith(("efficientnet", "alexnet", "eeea", "hog", "groupnorm"))
        and name not in (*MINIS, *FIVE_LAYERS, *TRANSFORMERS, *TEXT_NETWORKS, *DETECTORS, *TRACKING_NETWORKS)
    ],
)
def test_stages_of_the_cifar_networks_are_found(name: str) -> None:
    model = build(name, 1, 20)
    info = inspect_network(model, InputSpec.square(1, 20), classes=6)
    taps, shapes = info.taps, info.shapes
    assert taps == Taps(
        "fc", tuple(replace(Stage(f"stages.{i}"), relu=taps.stages[i].relu) for i in range(3))
    )
    assert isinstance(model.fc, nn.Linear)
    last = model.fc.in_features
    assert shapes.embedding == last
    assert shapes.maps == ((last // 4, 20, 20), (last // 2, 10, 10), (last, 5, 5))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_blocks_of_a_small_transformer_are_maps_of_its_patches(name: str) -> None:
    info = inspect_network(build(name, 1, 32), InputSpec.square(1, 32), classes=6)
    assert [stage.path for stage in info.taps.stages] == [f"stages.{place}" for place in range(4)]
    assert info.shapes.maps == ((96, 8, 8),) * 4
    assert info.taps.classifier == "fc" and info.shapes.embedding == 96


@pytest.mark.parametrize("name", ["alexnet", "alexnet_dsc"])
def test_stages_of_alexnet_end_before_its_poolings(name: str) -> None:
    info = inspect_network(build(name, 1, 20), InputSpec.square(1, 20), classes=6)
    assert [stage.path for stage in info.taps.stages] == ["stages.0", "stages.1", "stages.2"]
    assert info.taps.classifier == "fc" and info.shapes.embedding == 256
    assert info.shapes.maps == ((64, 10, 10), (192, 5, 5), (256, 3, 3))


@pytest.mark.parametrize("name", FIVE_LAYERS)
def test_each_layer_of_a_plain_network_is_a_stage(name: str) -> None:
    info = inspect_network(build(name, 1, 20), InputSpec.square(1, 20), classes=6)
    assert [height for _, height, _ in info.shapes.maps] == [20, 10, 5, 3, 3]
    assert info.shapes.embedding == info.shapes.maps[-1][0]


@pytest.mark.parametrize("name", EXTERNAL)
def test_classifier_and_stages_of_external_networks_are_found(name: str) -> None:
    classifier, stages = EXTERNAL[name]
    taps = inspect_network(build(name), INPUTS).taps
    assert taps.classifier == classifier
    if stages is not None:
        assert [stage.path for stage in taps.stages] == stages


@pytest.mark.parametrize("name", ALL)
def test_outputs_are_those_of_the_network(name: str) -> None:
    model = build(name).eval()
    x = images(3)
    expected = model(x)
    info = inspect_network(model, INPUTS, classes=6)
    classifier = model.get_submodule(info.taps.classifier or "")
    with tap(model, NEEDS) as tapped:
        outputs = tapped(x)
    torch.testing.assert_close(outputs.logits, expected)
    assert outputs.embedding is not None and len(outputs.maps) >= 3
    torch.testing.assert_close(classifier(outputs.embedding), expected)
    shapes = info.shapes
    assert shapes.classes == 6 and shapes.embedding == outputs.embedding.shape[1]
    assert shapes.maps == tuple(tuple(found.shape[1:]) for found in outputs.maps)
    sides = [found.shape[2] for found in outputs.maps]
    assert sides == sorted(sides, reverse=True)
    assert all(found.shape[0] == 3 and found.shape[2] == found.shape[3] for found in outputs.maps)
    assert shapes.attention == tuple(tuple(found.shape[1:]) for found in outputs.attention)
    for attention, found in zip(outputs.attention, outputs.maps, strict=True):
        power = found.pow(2).sum(1)
        expected = power / power.pow(2).sum((1, 2), keepdim=True).sqrt()
        torch.testing.assert_close(attention, expected)


@pytest.mark.parametrize("name", ALL)
def test_tapping_does_not_change_the_network(name: str) -> None:
    model = build(name).train()
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.eval()
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    random_state, hooked = torch.get_rng_state(), hooks(model)
    inspect_network(model, INPUTS, classes=6)
    with tap(model, NEEDS) as tapped, torch.no_grad():
        model.eval()
        tapped(images())
        assert hooks(model) > hooked
    model.train()
    first.eval()
    assert hooks(model) == hooked
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("name", ["resnet8", "wrn16-1", "torchvision:resnet18", "timm:vit_tiny_patch16_224"])
def test_gradients_flow_from_every_depth(name: str) -> None:
    model = build(name).train()
    with tap(model, NEEDS) as tapped:
        outputs = tapped(images(4))
        assert outputs.embedding is not None
        for output in (outputs.embedding, *outputs.maps, *outputs.attention):
            model.zero_grad()
            output.pow(3).sum().backward(retain_graph=True)  # squares of attention have the constant sum 1
            first = next(iter(model.parameters()))
            assert first.grad is not None and first.grad.abs().max() > 0


def test_only_needed_outputs_are_hooked() -> None:
    model, x = build("resnet8"), images()
    counts = {}
    for needs in (
        set(),
        {"logits", "labels", "ids"},
        {"embedding"},
        {"maps"},
        {"attention"},
        {"embedding", "maps"},
    ):
        with tap(model, needs) as tapped:
            outputs = tapped(x)
            counts[tuple(sorted(needs))] = hooks(model)
            assert (outputs.embedding is not None) == ("embedding" in needs)
            assert bool(outputs.maps) == ("maps" in needs)
            assert bool(outputs.attention) == ("attention" in needs)
    assert list(counts.values()) == [0, 0, 1, 3, 3, 4]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_attention_is_computed_in_full_precision(dtype: torch.dtype) -> None:
    maps = 60_000 * torch.randn(3, 8, 4, 4, generator=torch.Generator().manual_seed(1)).sign().to(dtype)
    maps[0] = 0
    maps.requires_grad_()
    attention = attention_map(maps)
    assert attention.dtype == torch.float32
    norms = attention.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.tensor([0.0, 1, 1]))
    attention.sum().backward()
    assert maps.grad is not None and maps.grad.isfinite().all()
    assert attention_map(torch.ones(1, 1, 2, 2, dtype=torch.float64)).dtype == torch.float64


def test_storable_outputs_are_small() -> None:
    names = {field.name for field in dataclasses.fields(Outputs)}
    assert names - STORABLE == {"maps", "preactivations", "classifier", "backbone", "towers"}
    with tap(build("resnet8"), STORABLE) as tapped, torch.no_grad():
        outputs = tapped(images(1))
    shapes = inspect_network(build("resnet8"), INPUTS, classes=6).shapes
    small = sum(attention.numel() for attention in outputs.attention) + outputs.logits.numel()
    assert small < sum(math.prod(shape) for shape in shapes.maps) / 10


@pytest.mark.parametrize("name", ["resnet8", "resnet20", "wrn16-1"])
def test_preactivations_are_the_maps_before_their_relu(name: str) -> None:
    """Stages that do not end in a ReLU have their maps as preactivations."""
    model = build(name)
    with tap(model, {"maps", "preactivations", "classifier"}) as tapped:
        outputs = tapped(images())
    assert outputs.classifier is model.fc
    for before, after in zip(outputs.preactivations, outputs.maps, strict=True):
        if name.startswith("resnet"):
            assert (before < 0).any()
            torch.testing.assert_close(before.relu(), after)
        else:
            assert before is after
    sum(before.sum() for before in outputs.preactivations).backward()
    assert model.conv1.weight.grad is not None


def test_the_last_use_of_a_relu_counts() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            self.last = self.conv2(self.relu(self.conv1(x)))
            self.kept = self.last.detach().clone()
            return self.relu(self.last)

    block = Block()
    model = nn.Sequential(
        OrderedDict(layer1=block, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(4, 6))
    )
    with tap(model, {"preactivations"}) as tapped:
        outputs = tapped(images())
    assert torch.equal(outputs.preactivations[0], block.kept)


def test_a_tapped_model_takes_batches_of_any_size() -> None:
    model = build("resnet8")
    tapped = tap(model, {"maps"})
    assert [tapped(images(n)).maps[0].shape[0] for n in (5, 2, 3)] == [5, 2, 3]
    tapped.close()
    tapped.close()
    assert hooks(model) == 0
    with pytest.raises(RuntimeError, match="closed"):
        tapped(images())


def test_hooks_are_removed_after_an_error() -> None:
    model = build("resnet8")
    with pytest.raises(RuntimeError), tap(model, NEEDS) as tapped:
        tapped(images())
        tapped(torch.zeros(2, 5, 16, 16))
    assert hooks(model) == 0
    with pytest.raises(RequestError, match="cannot take 16x16 images of 5 channels"):
        inspect_network(model, InputSpec(5, 16, 16))
    assert hooks(model) == 0 and model.training


def test_given_taps_are_used() -> None:
    model = build("resnet8")
    taps = Taps("fc", (Stage("conv1"), Stage("stages.2.0.conv1")))
    with TappedModel(model, NEEDS, taps) as tapped:
        outputs = tapped(images())
    assert [tuple(found.shape) for found in outputs.maps] == [(2, 16, 16, 16), (2, 64, 4, 4)]


# Unknown networks


class Block(nn.Module):
    """Expands inside, with a squeeze to 1x1 beside: neither is a stage."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(inputs, 8 * inputs, 1)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8 * inputs, 8 * inputs, 1))
        self.reduce = nn.Conv2d(8 * inputs, outputs, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x)
        return self.reduce(x * self.squeeze(x).sigmoid())


class Logits(nn.Module):
    """Returns its logits in a mapping, and ends in a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.conv(x).mean((2, 3))}


def unknown() -> nn.Sequential:
    body = nn.Sequential(
        Block(3, 4, 1), Block(4, 5, 2), nn.ReLU(inplace=True), Block(5, 7, 2), Block(7, 7, 1)
    )
    return nn.Sequential(
        body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 6)
    )


def test_stages_of_an_unknown_network_are_found_by_size() -> None:
    model = unknown()
    info = inspect_network(model, INPUTS, classes=6)
    assert info.taps == Taps("5", (Stage("0.0"), Stage("0.2", relu="0.2"), Stage("0")))
    shapes = info.shapes
    assert (shapes.embedding, shapes.maps) == (9, ((4, 16, 16), (5, 8, 8), (7, 4, 4)))


def test_pooling_to_a_fixed_size_is_no_stage() -> None:
    convs = nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, 1, 1)
    )
    model = nn.Sequential(convs, nn.MaxPool2d(8), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(245, 6))
    assert inspect_network(model, INPUTS, classes=6).shapes.maps == ((4, 16, 16), (5, 8, 8))


@pytest.mark.parametrize(
    ("layout", "shape"), [("NHWC", (2, 5, 5, 7)), ("tokens", (2, 27, 7)), ("NCHW", (2, 7, 5, 5))]
)
def test_every_layout_is_read_as_a_map(layout: str, shape: tuple[int, ...]) -> None:
    target = torch.arange(2 * 7 * 25.0).reshape(2, 7, 5, 5)
    output = {
        "NCHW": target,
        "NHWC": target.permute(0, 2, 3, 1),
        "tokens": torch.cat((torch.full((2, 2, 7), -1.0), target.flatten(2).transpose(1, 2)), dim=1),
    }[layout]
    assert output.shape == shape
    stage = Stage("anywhere", layout, prefix=2 if layout == "tokens" else 0)  # type: ignore[arg-type]
    assert torch.equal(stage.as_map(output), target)


def test_missing_outputs_are_refused_when_needed() -> None:
    model = Logits()
    with tap(model, {"logits"}) as tapped:
        assert tapped(images()).logits.shape == (2, 6)
    with pytest.raises(RequestError, match="no linear layer"), tap(model, {"embedding"}) as tapped:
        tapped(images())
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 6))
    for need in ("maps", "attention"):
        with pytest.raises(RequestError, match="no stages"), tap(flat, {need}) as tapped:
            tapped(images())
    shapes = inspect_network(flat, INPUTS, classes=6).shapes
    assert (shapes.embedding, shapes.maps, shapes.attention) == (768, (), ())
    assert hooks(model) == hooks(flat) == 0


def test_outputs_without_logits_are_refused() -> None:
    class Scores(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"scores": x}

    with pytest.raises(RequestError, match="returns dict, which holds no logits"):
        inspect_network(Scores(), INPUTS, classes=6)
    with pytest.raises(RequestError, match=r"gives \[1, 6\] for one input, not \[1, 7\]"):
        inspect_network(unknown(), INPUTS, classes=7)
