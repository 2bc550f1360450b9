"""Networks that resize or rescale their inputs."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from distillab.errors import RequestError
from distillab.models import InputSpec, TappedModel, build_model, count_macs, inspect_network
from distillab.models.input_transforms import rescale_inputs

IMAGES = torch.sin(torch.arange(2 * 3 * 16 * 16, dtype=torch.float32) ** 1.5).view(2, 3, 16, 16)


def seeded(name: str, resolution: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name, classes=4, inputs=InputSpec.square(3, resolution)).eval()


@pytest.mark.parametrize("name", ["resnet8", "timm:test_resnet", "timm:test_vit"])
@pytest.mark.parametrize("pixels", [8, 32])
def test_a_network_with_a_size_resizes_its_inputs(name: str, pixels: int) -> None:
    usual, resized = seeded(name, pixels), seeded(f"{name}@{pixels}", 16)
    assert resized.state_dict().keys() == usual.state_dict().keys()
    smaller = interpolate(IMAGES, (pixels, pixels), mode="bilinear", antialias=True)
    torch.testing.assert_close(resized(IMAGES), usual(smaller))
    info = inspect_network(resized, InputSpec.square(3, 16), classes=4)
    assert info == inspect_network(usual, InputSpec.square(3, pixels), classes=4)
    assert count_macs(resized, InputSpec(3, 16, 16)) == count_macs(usual, InputSpec(3, pixels, pixels))


def test_gradients_flow_through_the_resizing() -> None:
    resized = seeded("resnet8@32", 16).train()
    taps = inspect_network(resized, InputSpec(3, 16, 16)).taps
    with TappedModel(resized, {"embedding"}, taps) as tapped:
        tapped(IMAGES).logits.sum().backward()
    assert all(p.grad is not None for p in resized.parameters())


def test_an_invalid_size_is_refused() -> None:
    with pytest.raises(RequestError, match=r"'resnet8@large' is not a model .*number of pixels"):
        build_model("resnet8@large", classes=4, inputs=InputSpec.square(3, 16))
    with pytest.raises(RequestError, match="4x4 inputs are too small"):
        build_model("resnet8@4", classes=4, inputs=InputSpec.square(3, 16))


def test_rescaled_inputs_are_normalized_as_the_weights_expect() -> None:
    pixels = torch.rand(2, 3, 16, 16)
    study, weights = (
        torch.tensor([[0.4, 0.5, 0.6], [0.2, 0.2, 0.3]]),
        torch.tensor([[0.1, 0.2, 0.3], [1, 2, 3]]),
    )

    def normalized(by: torch.Tensor) -> torch.Tensor:
        return (pixels - by[0][:, None, None]) / by[1][:, None, None]

    usual, rescaled = seeded("resnet8", 16), seeded("resnet8", 16)
    rescale_inputs(
        rescaled, (study[1] / weights[1]).tolist(), ((study[0] - weights[0]) / weights[1]).tolist()
    )
    expected = usual(normalized(weights))
    torch.testing.assert_close(rescaled(normalized(study)), expected, rtol=1e-4, atol=1e-5)


def test_square_inputs_may_be_given_by_their_resolution() -> None:
    network = build_model("resnet8", classes=3, channels=1, resolution=16)
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 3)
    with pytest.raises(ValueError, match="either the shape of the inputs, or their resolution"):
        build_model("resnet8", classes=3)
