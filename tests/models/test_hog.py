"""Histograms of oriented gradients: votes, invariances, and the program that they are compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.models import InputSpec, build_model, inspect_network
from distillab.models.hog import OrientedGradients

BINS = 9
FEATURES = OrientedGradients()


def images(seed: int, side: int = 32, channels: int = 3) -> torch.Tensor:
    return torch.rand(3, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("degrees", [5, 25, 45, 85, 95, 130, 175, 205, 300])
def test_a_ramp_votes_for_its_orientation(degrees: int) -> None:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ramp = rows * math.sin(math.radians(degrees)) + columns * math.cos(math.radians(degrees))
    inner = FEATURES(ramp[None, None])[0].reshape(3, 3, 2, 2, BINS)[1, 1]  # without the border
    assert (inner.argmax(dim=-1) == degrees % 180 // 20).all()
    assert (inner > 0).sum(dim=-1).eq(1).all()


@given(seed=st.integers(0, 1000), offset=st.floats(-5, 5), scale=st.floats(0.5, 20))
@settings(max_examples=20, deadline=None)
def test_brightness_and_contrast_do_not_matter(seed: int, offset: float, scale: float) -> None:
    x = images(seed)
    torch.testing.assert_close(FEATURES(scale * x + offset), FEATURES(x), rtol=1e-3, atol=2e-3)


def test_every_block_has_unit_length_and_an_even_image_none() -> None:
    blocks = FEATURES(images(0)).reshape(3, 9, 36)
    torch.testing.assert_close(blocks.norm(dim=-1), torch.ones(3, 9), rtol=1e-4, atol=1e-4)
    assert FEATURES(torch.full((1, 3, 32, 32), 0.7)).eq(0).all()


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (32, 1), (16, 3), (8, 1), (64, 3)])
def test_features_are_those_of_scikit_image(side: int, channels: int) -> None:
    feature = pytest.importorskip("skimage.feature")
    x = images(side, side, channels)
    for image, found in zip(x, FEATURES(x), strict=True):
        pixels = image.permute(1, 2, 0).double().numpy()
        expected = feature.hog(
            pixels if channels == 3 else pixels[..., 0],
            orientations=BINS,
            pixels_per_cell=(side // 4, side // 4),
            cells_per_block=(2, 2),
            block_norm="L2-Hys",
            channel_axis=2 if channels == 3 else None,
        )
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_the_embedding_of_the_network_is_the_function() -> None:
    network = build_model("hog", classes=4, inputs=InputSpec(3, 32, 32))
    info = inspect_network(network, InputSpec(3, 32, 32), classes=4)
    assert info.shapes.embedding == 324 and not info.shapes.maps
    assert [name for name, _ in network.named_parameters()] == ["fc.weight", "fc.bias"]
    other = build_model("hog", classes=4, inputs=InputSpec(3, 32, 32))
    caught: list[torch.Tensor] = []
    for each in (network, other):
        layer = each.get_submodule("fc")
        layer.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
        each(images(0))
    assert torch.equal(caught[0], caught[1]), "no weights take part"
