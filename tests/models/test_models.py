"""Networks by name: published sizes, logits for all shapes, costs, and errors of unknown names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models import (
    InputSpec,
    build_model,
    count_macs,
    count_parameters,
    inspect_network,
    list_models,
    models,
)
from distillab.models.eeea import SqueezeExcitation
from distillab.models.registry import DETECTORS, TEXT_NETWORKS, TRACKING_NETWORKS
from distillab.models.vision_transformer import positions
from support.source_tree import ROOT

# Computed from the architectures, for 100 classes and 3 channels.
PARAMETERS = {
    "resnet8": 83_892,
    "resnet14": 181_108,
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet44": 667_188,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn16-1": 180_916,
    "wrn16-2": 703_284,
    "wrn40-1": 569_780,
    "wrn40-2": 2_255_156,
    # Counted when they were written: no paper has them.
    "alexnet": 2_475_044,  # 5 convolutions, 2 per channel for normalization, the classifier
    "alexnet_dsc": 290_468,
    "densenet121_mini": 110_368,
    "densenet169_mini": 189_316,
    "inception_mini": 88_340,
    "mobilenet_mini": 274_100,
    "resnet50_mini": 162_548,
    "xception_mini": 61_604,
    "convnet3": 30_196,
    "convnet3_small": 18_352,
    "convnet3x2": 106_372,
    "convnet3x4": 396_964,
    "hog": 32_500,  # a linear layer of 324 features
    "vgg5": 1_004_932,
    "vgg5_half": 401_796,
    # The backbones of detectors, and a linear layer.
    "groupnorm_resnet_s": 320_724,
    "groupnorm_resnet_m": 710_476,
    "groupnorm_resnet_l": 2_821_828,
    "groupnorm_dwnet_s": 61_892,
    "groupnorm_dwnet_m": 231_460,
    # Networks for texts: a table of 5,000 characters, then what their docstrings state.
    "bert_2x128": 1_115_364,
    "bert_4x256": 4_596_580,
    "bilstm": 929_892,
    "textcnn": 5000 * 128 + 128 * 128 * 9 + 3 * 128 + 385 * 100,
    "textcnn_small": 5000 * 32 + 32 * 32 * 9 + 3 * 32 + 97 * 100,
    "eeea_c2": 4_732_838 + 86 * 1281,  # 4,732,838 with 14 labels
    "eeea_mini": 114_100,
    "vit_mini": 371_164,
    # Detectors: stages, pyramid, and heads of 100 classes.
    "fcos_dwnet_m": 419_769,
    "fairmot_resnet_l": 2_112_032,
    "fairmot_resnet_m": 798_496,
    "fairmot_resnet_s": 357_144,
    "fcos_dwnet_s": 151_593,
    "fcos_resnet_l": 3_292_809,
    "fcos_resnet_m": 898_785,
    "fcos_resnet_s": 410_425,
    "retinanet_dwnet_m": 779_400,
    "retinanet_dwnet_s": 391_624,
    "retinanet_resnet_l": 3_771_784,
    "retinanet_resnet_m": 1_258_416,
    "retinanet_resnet_s": 650_456,
    # Those of 1,000 classes, 4,652,008 and so on, less 900 rows of 1,281.
    "efficientnet_lite0": 3_499_108,
    "efficientnet_lite1": 4_263_780,
    "efficientnet_lite2": 4_939_172,
}
# Small enough to be trained for a step here.
UNTRAINED = {"hog"}  # features that nothing trains
SMALL = [
    name
    for name, size in PARAMETERS.items()
    if size < 300_000 and name not in TEXT_NETWORKS | UNTRAINED | DETECTORS | TRACKING_NETWORKS
]


def build(name: str, classes: int = 10, channels: int = 3, resolution: int = 32, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(name, classes=classes, inputs=InputSpec.square(channels, resolution))


def test_every_registered_network_has_a_published_size() -> None:
    assert set(models) == set(PARAMETERS)


@pytest.mark.parametrize("name", models)
def test_sizes_are_those_of_the_literature(name: str) -> None:
    inputs = InputSpec(1, 1, 32) if name in TEXT_NETWORKS else InputSpec(3, 32, 32)
    assert count_parameters(build_model(name, classes=100, inputs=inputs)) == PARAMETERS[name]


@pytest.mark.parametrize(("channels", "resolution"), [(1, 8), (3, 16), (1, 28), (3, 32), (3, 45)])
@pytest.mark.parametrize("name", sorted(set(models) - TEXT_NETWORKS - DETECTORS - TRACKING_NETWORKS))
def test_images_of_any_size_give_logits(name: str, channels: int, resolution: int) -> None:
    model = build(name, classes=7, channels=channels, resolution=resolution).eval()
    images = torch.randn(2, channels, resolution, resolution, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits: Tensor = model(images)
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("name", [*SMALL, "torchvision:shufflenet_v2_x0_5", "timm:test_resnet"])
def test_initial_weights_depend_on_the_seed(name: str) -> None:
    first, again, other = (build(name, seed=seed).state_dict() for seed in (0, 0, 1))
    assert list(first) == list(again)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_has_a_gradient(name: str) -> None:
    model = build(name, resolution=8)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 3])).backward()
    dead = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert dead == []


def test_eeea_c2_has_the_published_size_and_cost() -> None:
    """Counted with the 14 labels of ChestX-ray14; published are 4.7 M parameters and 0.3 G operations."""
    inputs = InputSpec.square(3, 224)
    network = build_model("eeea_c2", classes=14, inputs=inputs)
    assert count_parameters(network) == 4_732_838
    assert 0.25e9 < count_macs(network, inputs) < 0.35e9
    kernels = [
        module.kernel_size[0]
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and module.groups > 1
    ]
    assert kernels == [3, 3, 5, 3, 7, 3, 7, 5, 7, 5, 3, 7, 5, 3, 3, 5, 3, 5, 7]
    assert sum(isinstance(module, SqueezeExcitation) for module in network.modules()) == 11


def test_stages_of_eeea_c2_are_its_spatial_sizes() -> None:
    info = inspect_network(
        build("eeea_c2", classes=6, channels=1, resolution=96), InputSpec.square(1, 96), classes=6
    )
    assert info.shapes.maps == ((24, 24, 24), (40, 12, 12), (112, 6, 6), (160, 3, 3))
    assert info.taps.classifier == "fc" and info.shapes.embedding == 1280


def test_relatives_for_small_images_have_the_stated_sizes() -> None:
    inputs = InputSpec(1, 96, 96)
    names = ("eeea_mini", "vit_mini")
    sizes = {name: count_parameters(build_model(name, classes=14, inputs=inputs)) for name in names}
    assert round(sizes["eeea_mini"] / 1e6, 1) == 0.1
    assert round(sizes["vit_mini"] / 1e6, 1) == 0.4


def test_squeeze_excitation_keeps_or_silences_whole_channels() -> None:
    block = SqueezeExcitation(16)
    with torch.no_grad():
        block.expand.weight.zero_()
        block.expand.bias.copy_(torch.tensor([-9.0, 9.0] * 8))
    x = torch.randn(2, 16, 3, 3)
    y = block(x)
    assert torch.equal(y[:, ::2], torch.zeros(2, 8, 3, 3))
    assert torch.equal(y[:, 1::2], x[:, 1::2])


def test_positions_of_a_transformer_differ_and_decide() -> None:
    added = positions(96, 6, 5)
    flat = added.flatten(1).T
    assert torch.cdist(flat, flat).fill_diagonal_(1).min() > 0.1
    assert torch.equal(positions(96, 9, 9)[:, :6, :5], added), "whatever the size of the image"
    network = build("vit_mini", channels=1).eval()
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, 4:9, 4:9] = 1
    with torch.no_grad():
        assert not torch.allclose(network(image), network(image.flip(3)), atol=1e-5)


# Cost


def test_macs_of_resnet8_are_those_counted_by_hand() -> None:
    pixels = 32 * 32
    stem = 3 * 16 * 9 * pixels
    first = 2 * 16 * 16 * 9 * pixels
    second = (16 * 32 * 9 + 32 * 32 * 9 + 16 * 32) * pixels // 4
    third = (32 * 64 * 9 + 64 * 64 * 9 + 32 * 64) * pixels // 16
    model = build("resnet8", classes=100)
    assert count_macs(model, InputSpec(3, 32, 32)) == stem + first + second + third + 64 * 100
    assert count_macs(model, InputSpec(3, 16, 16)) == (stem + first + second + third) // 4 + 64 * 100


def test_macs_of_attention_are_counted() -> None:
    width, tokens, heads = 32, 65, 4

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, width, 4, 4)
            self.first = nn.Parameter(torch.zeros(1, 1, width))
            self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
            self.head = nn.Linear(width, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.cat((self.first, self.patches(x).flatten(2).transpose(1, 2)), dim=1)
            return self.head(self.attention(x, x, x, need_weights=False)[0][:, 0])

    patches = 64 * width * 3 * 16
    projections = 4 * tokens * width * width
    products = 2 * tokens * tokens * width
    model = Attention()
    for frozen in (False, True):
        model.requires_grad_(not frozen)
        assert count_macs(model, InputSpec(3, 32, 32)) == patches + projections + products + width * 10


def test_counting_does_not_change_the_network() -> None:
    model = build("resnet8").train()
    model.bn1.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    count_macs(model, InputSpec(3, 32, 32))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and not model.bn1.training and model.fc.training
    assert all(p.grad is None for p in model.parameters())


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(4, 4)
    assert count_parameters(nn.Sequential(layer, layer)) == 20
    assert count_parameters(layer.requires_grad_(False)) == 20


# Names


def test_the_list_has_every_network_and_form() -> None:
    listed = {info.name: info.summary for info in list_models()}
    forms = {"timm:NAME", "torchvision:NAME", "MODULE:FACTORY", "NAME@PIXELS", "NAME#original", "object:NAME"}
    assert set(listed) == {*models, *forms}
    assert all(summary and "\n" not in summary for summary in listed.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet8x5", "unknown model 'resnet8x5', did you mean 'resnet8x4'?"),
        ("wrn-16-2", "unknown model 'wrn-16-2', did you mean 'wrn16-2'?"),
        ("", "unknown model ''"),
        ("torchvision:resnet19", "unknown torchvision model 'resnet19', did you mean 'torchvision:resnet1"),
        ("torchvision:fcn_resnet50", "unknown torchvision model 'fcn_resnet50'"),
        ("timm:resnett18", "unknown timm model 'resnett18', did you mean 'timm:resnet18'?"),
        ("no_such_module_here:net", "no_such_module_here:net: there is no module 'no_such_module_here'"),
        ("math:sqrd", "math: unknown model factory 'sqrd', did you mean 'sqrt'?"),
        ("math:sqrt", "math:sqrt: could not be called"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        build(name)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"classes": 1}, "at least 2 classes"),
        ({"channels": 4}, "1 or 3 channels"),
        ({"resolution": 7}, "too small"),
    ],
)
def test_unsupported_inputs_are_refused(facts: dict[str, int], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        build("resnet8", **facts)


def test_a_missing_timm_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RequestError, match=r"timm:resnet18 needs the timm package .*distillab\[timm\]"):
        build("timm:resnet18")


# Factories in a user's module

FACTORIES = """
from torch import nn

def net(features):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(features))

class Net(nn.Sequential):
    def __init__(self, num_classes, in_chans=3):
        super().__init__(nn.Conv2d(in_chans, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, num_classes))

def all_arguments(*, classes, channels, resolution):
    assert (classes, channels, resolution) == (5, 1, 12)
    return Net(classes, channels)

def any_keyword(**facts):
    assert facts == {"classes": 5, "channels": 1, "resolution": 12}
    return Net(5, 1)

def ten_classes(channels):
    return Net(10, channels)

def number(classes):
    return 3
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "nets_for_test.py").write_text(FACTORIES)
    (tmp_path / "broken_nets_for_test.py").write_text("import no_such_dependency")
    (tmp_path / "wrong_nets_for_test.py").write_text("def (")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = list(sys.path)
    yield "nets_for_test"
    assert sys.path == path
    sys.modules.pop("nets_for_test", None)


@pytest.mark.parametrize("factory", ["Net", "all_arguments", "any_keyword"])
def test_a_factory_gets_the_arguments_of_its_signature(factories: str, factory: str) -> None:
    model = build(f"{factories}:{factory}", classes=5, channels=1, resolution=12)
    assert model(torch.zeros(2, 1, 12, 12)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nets_for_test:net", "could not be called: TypeError"),
        ("nets_for_test:number", "returned int, not a network"),
        ("nets_for_test:nett", r"unknown model factory 'nett', did you mean 'net'\?"),
        ("nets_for_test:ten_classes", r"gives \[1, 10\] for one input, not \[1, 5\]"),
        ("broken_nets_for_test:net", "cannot be imported: No module named 'no_such_dependency'"),
        ("wrong_nets_for_test:net", "cannot be imported: SyntaxError"),
    ],
)
def test_errors_of_a_factory_are_one_line(factories: str, name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        build(name, classes=5, channels=1, resolution=12)
    assert str(caught.value).startswith(name.partition(":")[0])


@pytest.mark.parametrize("name", [name for name in models if not name.startswith(("resnet", "wrn"))])
def test_docs_name_every_network(name: str) -> None:
    """Of the ResNets, docs name the first and the last of each series."""
    assert f"`{name}`" in (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
