"""Networks take inputs that are not square, such as spectrograms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.models import InputSpec, TappedModel, build_model, count_macs, inspect_network, models
from distillab.models.registry import DETECTORS, TEXT_NETWORKS, TRACKING_NETWORKS

SPECTROGRAM = InputSpec(1, 64, 101)  # mel bins x frames
SHORT = InputSpec(1, 32, 51)
SMALL = ["resnet8", "wrn16-1", "timm:test_resnet", "timm:mobilenetv3_small_050"]


def build(name: str, inputs: InputSpec = SPECTROGRAM) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(name, classes=5, inputs=inputs)


def images(inputs: InputSpec, n: int = 2) -> torch.Tensor:
    return torch.randn(n, *inputs.shape, generator=torch.Generator().manual_seed(0))


def test_properties_follow_from_the_sides() -> None:
    assert (SPECTROGRAM.size, SPECTROGRAM.shorter_side, SPECTROGRAM.is_square) == ("64x101", 64, False)
    assert InputSpec.square(3, 32) == InputSpec(3, 32, 32) and InputSpec.square(3, 32).is_square
    assert InputSpec(3, 40, 30).shorter_side == 30


@pytest.mark.parametrize(
    "name", sorted(set(models) - TEXT_NETWORKS - DETECTORS - TRACKING_NETWORKS - {"hog"})
)
def test_registered_networks_take_spectrograms(name: str) -> None:
    info = inspect_network(build(name), SPECTROGRAM, classes=5)
    halved = [(64, 101), (32, 51), (16, 26), (8, 13), (4, 7)]
    if name.startswith("vit"):  # all of its maps are those of its patches
        assert {shape[1:] for shape in info.shapes.maps} == {halved[2]}
        return
    # A pooling or a stride follows their first convolution.
    first = 1 if name.startswith(("alexnet", "eeea_c2")) else 2 if name.startswith("groupnorm") else 0
    assert [shape[1:] for shape in info.shapes.maps[:3]] == halved[first : first + 3]


@pytest.mark.parametrize("name", [*SMALL, "torchvision:mobilenet_v3_small", "timm:test_efficientnet"])
def test_convolutional_networks_give_all_their_maps(name: str) -> None:
    """As many stages as for a square of the shorter side, each with the proportions of the input."""
    model, square = build(name, SHORT), InputSpec.square(1, 32)
    info = inspect_network(model, SHORT)
    as_square = inspect_network(build(name, square), square)
    assert [stage.path for stage in info.taps.stages] == [stage.path for stage in as_square.taps.stages]
    assert [shape[:2] for shape in info.shapes.maps] == [shape[:2] for shape in as_square.shapes.maps]
    needs = {"embedding", "maps", "attention"}
    with TappedModel(model.eval(), needs, info.taps) as tapped, torch.no_grad():
        outputs = tapped(images(SHORT))
    assert info.shapes.maps == tuple(tuple(found.shape[1:]) for found in outputs.maps)
    assert info.shapes.attention == tuple(tuple(found.shape[1:]) for found in outputs.attention)
    assert outputs.embedding is not None and info.shapes.embedding == outputs.embedding.shape[1]
    assert count_macs(model, SHORT) > count_macs(model, square)


@pytest.mark.parametrize(
    "inputs", [InputSpec(1, 64, 96), InputSpec(3, 48, 32), InputSpec(1, 80, 160)], ids=str
)
def test_vision_transformers_of_timm_take_a_grid_of_patches(inputs: InputSpec) -> None:
    model = build("timm:test_vit", inputs)
    info = inspect_network(model, inputs)
    patch = 16 if inputs.shorter_side > 64 else {64: 8, 32: 4}[inputs.shorter_side]
    assert {shape[1:] for shape in info.shapes.maps} == {(inputs.height // patch, inputs.width // patch)}
    with TappedModel(model, {"maps"}, info.taps) as tapped, torch.no_grad():
        assert tapped(images(inputs)).maps[0].shape[1:] == info.shapes.maps[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:test_vit", "has no patches that divide 64x101 pixels"),
        ("torchvision:vit_b_16", "takes square inputs only, not 64x101"),
        ("timm:convnext_atto", "made for larger images than 64x101"),
    ],
)
def test_networks_that_do_not_fit_are_refused(name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        build(name)


@pytest.mark.parametrize("name", ["resnet8@32", "timm:test_vit@32"])
def test_a_network_of_another_size_gets_a_square(name: str) -> None:
    info = inspect_network(build(name), SPECTROGRAM)
    assert info == inspect_network(
        build(name.removesuffix("@32"), InputSpec(1, 32, 32)), InputSpec(1, 32, 32)
    )


def test_the_shorter_side_must_be_large_enough() -> None:
    with pytest.raises(RequestError, match="7x101 inputs are too small"):
        build("resnet8", InputSpec(1, 7, 101))


FACTORIES = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes, in_chans):
        super().__init__(nn.Conv2d(in_chans, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, num_classes))

def of_inputs(*, classes, inputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs.channels * inputs.height * inputs.width, classes))

def of_everything(*, classes, channels, inputs):
    assert channels == inputs.channels
    return Net(classes, channels)

def of_a_side(classes, img_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(img_size**2, classes))

def of_anything(**facts):
    return Net(facts["classes"], facts["channels"])
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "factories_for_test.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    yield "factories_for_test"


@pytest.mark.parametrize("factory", ["Net", "of_inputs", "of_everything"])
def test_factories_without_a_resolution_take_spectrograms(factories: str, factory: str) -> None:
    assert build(f"{factories}:{factory}")(images(SPECTROGRAM)).shape == (2, 5)


@pytest.mark.parametrize("factory", ["of_inputs", "of_everything", "of_a_side", "of_anything"])
def test_every_factory_takes_squares(factories: str, factory: str) -> None:
    square = InputSpec.square(1, 16)
    assert build(f"{factories}:{factory}", square)(images(square)).shape == (2, 5)


@pytest.mark.parametrize("factory", ["of_a_side", "of_anything"])
def test_a_factory_that_takes_a_resolution_needs_squares(factories: str, factory: str) -> None:
    with pytest.raises(RequestError, match="takes a resolution, and inputs of 64x101 have none"):
        build(f"{factories}:{factory}")
