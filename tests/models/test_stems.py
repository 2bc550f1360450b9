"""Stems of networks made for large images: fitted to small ones, or refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distillab.errors import RequestError
from distillab.models import InputSpec, build_model, inspect_network, network_revision, stem_change
from distillab.models.stems import (
    FEWEST_PATCHES,
    FITTED_UP_TO,
    MADE_FOR_SMALL_IMAGES,
    MOST_PATCHES,
    first_convolution,
    fitting_patch,
)


def build(name: str, channels: int, resolution: int) -> nn.Module:
    return build_model(name, classes=10, inputs=InputSpec.square(channels, resolution))


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18"])
def test_a_resnet_keeps_the_resolution_of_small_images(name: str) -> None:
    model = build(name, 1, 32)
    assert isinstance(model.conv1, nn.Conv2d)
    assert (model.conv1.kernel_size, model.conv1.stride, model.conv1.in_channels) == ((3, 3), (1, 1), 1)
    shapes = inspect_network(model, InputSpec.square(1, 32), classes=10).shapes
    assert shapes.maps == ((64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4))
    assert shapes.embedding == 512
    # 11,689,512 published for 1000 classes, less 990 classes of 512 + 1, with 3 * 3 * 1 instead of 7 * 7 * 3.
    assert sum(p.numel() for p in model.parameters()) == 11_689_512 - 990 * 513 - 64 * (147 - 9)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18"])
def test_large_images_get_the_published_stem(name: str) -> None:
    model = build(name, 3, FITTED_UP_TO + 1)
    assert isinstance(model.conv1, nn.Conv2d) and isinstance(model.maxpool, nn.MaxPool2d)
    assert (model.conv1.kernel_size, model.conv1.stride) == ((7, 7), (2, 2))
    assert sum(p.numel() for p in model.parameters()) == 11_689_512 - 990 * 513


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "name",
    [
        "timm:mobilenetv3_small_050",
        "timm:test_efficientnet",
        "torchvision:mobilenet_v3_small",
        "torchvision:shufflenet_v2_x0_5",
    ],
)
def test_no_stem_shrinks_a_small_image(name: str, channels: int) -> None:
    model = build(name, channels, 32)
    found = first_convolution(model)
    assert found is not None
    sizes: list[torch.Size] = []
    handle = found[1].register_forward_hook(lambda module, inputs, output: sizes.append(output.shape))
    with torch.no_grad():
        logits = model.eval()(torch.zeros(2, channels, 32, 32))
    handle.remove()
    assert logits.shape == (2, 10)
    assert sizes[0][2:] == (32, 32)
    last = inspect_network(model, InputSpec.square(channels, 32), classes=10).shapes.maps[-1]
    assert min(last[1:]) >= 2


@pytest.mark.parametrize(
    "name",
    [
        "timm:convnext_atto",
        "timm:mixer_s32_224",
        "torchvision:alexnet",
        "torchvision:swin_t",
        "torchvision:vit_b_16",
    ],
)
def test_a_stem_without_a_small_form_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="made for larger images than 32x32") as caught:
        build(name, 3, 32)
    assert str(caught.value).startswith(f"{name}: ")
    assert "above 64 pixels" in str(caught.value) and "resnet8x4" in str(caught.value)


@pytest.mark.parametrize(("resolution", "side"), [(8, 1), (28, 4), (32, 4), (48, 6), (64, 8), (96, 16)])
def test_patches_of_a_transformer_fit_the_image(resolution: int, side: int) -> None:
    model = build("timm:test_vit", 1, resolution)
    grid = resolution // side
    assert model(torch.zeros(2, 1, resolution, resolution)).shape == (2, 10)
    info = inspect_network(model, InputSpec.square(1, resolution), classes=10)
    assert len(info.shapes.maps) == 4 and set(info.shapes.maps) == {(64, grid, grid)}
    assert {stage.layout for stage in info.taps.stages} == {"tokens"}


@given(patch=st.sampled_from([2, 4, 8, 14, 16, 32]), resolution=st.integers(8, 512))
def test_patches_divide_the_image(patch: int, resolution: int) -> None:
    try:
        side = fitting_patch("net", patch, InputSpec.square(1, resolution))
    except RequestError as error:
        assert "net: " in str(error) and "resolution" in str(error)
        if resolution > FITTED_UP_TO:
            assert resolution % patch
        return
    assert resolution % side == 0 and 1 <= side <= patch
    if resolution > FITTED_UP_TO:
        assert side == patch
    else:
        assert FEWEST_PATCHES <= resolution // side <= MOST_PATCHES


def test_a_resolution_that_patches_do_not_divide_is_refused() -> None:
    with pytest.raises(RequestError, match=r"do not divide 100x100 \(allowed: .*resolution of 96 or 112\)"):
        build("timm:test_vit", 3, 100)
    with pytest.raises(RequestError, match="31x31 pixels"):
        build("timm:test_vit", 3, 31)


# -- networks made for small images --------------------------------------------------------------------------


@pytest.mark.parametrize("side", [96, 224])
@pytest.mark.parametrize("name", sorted(MADE_FOR_SMALL_IMAGES))
def test_large_images_are_shrunk_four_times_before_the_stages(name: str, side: int) -> None:
    large, small = InputSpec.square(3, side), InputSpec.square(3, side // 4)
    fitted = build_model(name, classes=10, inputs=large)
    shapes = inspect_network(fitted, large, classes=10).shapes
    assert shapes == inspect_network(build(name, 3, side // 4), small, classes=10).shapes
    assert "max pooling with stride 2 follows" in stem_change(name, large)
    assert stem_change(name, InputSpec.square(3, FITTED_UP_TO)) == ""


@pytest.mark.parametrize("name", sorted(MADE_FOR_SMALL_IMAGES))
def test_a_stem_for_small_images_is_kept_on_request_and_takes_the_same_weights(name: str) -> None:
    original = build(f"{name}#original", 3, 72)
    found = first_convolution(original)
    assert found is not None and found[1].stride == (1, 1)
    original.load_state_dict(build(name, 3, 72).state_dict())


def test_a_network_with_one_stem_has_no_original_one() -> None:
    with pytest.raises(RequestError, match="stem of this network is never changed"):
        build("efficientnet_lite0#original", 3, 96)


@pytest.mark.parametrize(
    ("name", "side", "revision"),
    [("resnet8", 64, 1), ("resnet8", 65, 2), ("resnet8#original", 65, 1), ("wrn16-2@32", 224, 1)],
)
def test_runs_with_another_stem_have_another_id(name: str, side: int, revision: int) -> None:
    assert network_revision(name, InputSpec.square(3, side)) == revision
