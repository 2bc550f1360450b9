"""Means of networks over the orbit of their input, and how they are named and stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.modalities.image import PixelNormalization
from distillab.modalities.views.dihedral import ORDER, dihedral_view
from distillab.models import (
    InputSpec,
    OrbitMean,
    build_model,
    check_model_name,
    count_macs,
    inspect_network,
    network_revision,
)
from distillab.models.orbit import orbit_name, split_orbit
from distillab.training.loop.member import Seeds
from distillab.training.recipe import Recipe
from distillab.training.stages import RoleSets, ensemble_teacher, open_network, teacher_outputs, train_teacher
from distillab.training.stages.outputs import CacheReference, OutputsToStore
from support.studies import CPU

INPUTS = InputSpec(3, 16, 16)


@pytest.mark.parametrize("name", ["resnet8", "mean(resnet8+convnet3)"])
def test_logits_are_the_mean_over_eight_views_and_invariant(name: str) -> None:
    network = build_model(orbit_name(name), classes=4, inputs=INPUTS).eval()
    assert isinstance(network, OrbitMean)
    x = torch.rand(2, *INPUTS.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        each = torch.stack([network.network(dihedral_view(x, number)) for number in range(ORDER)])
        torch.testing.assert_close(network(x), each.mean(0))
        for number in range(ORDER):
            torch.testing.assert_close(network(dihedral_view(x, number)), network(x), rtol=1e-4, atol=1e-5)
    assert each.std(0).max() > 1e-3, "the network itself is not invariant"


def test_it_costs_eight_forward_passes_and_has_no_features() -> None:
    network, plain = (build_model(name, classes=4, inputs=INPUTS) for name in ("orbit(resnet8)", "resnet8"))
    assert count_macs(network, INPUTS) == ORDER * count_macs(plain, INPUTS)
    assert inspect_network(network, INPUTS).shapes.embedding is None
    assert inspect_network(network, INPUTS).shapes.maps == ()


@pytest.mark.parametrize("name", ["resnet8", "greedy(resnet8+resnet14)", "torchvision:resnet18"])
def test_names_of_orbits_are_read_as_written(name: str) -> None:
    check_model_name(orbit_name(name))
    assert split_orbit(orbit_name(name)) == name and split_orbit(name) is None
    assert network_revision(orbit_name(name), INPUTS) == network_revision(name, INPUTS)


@pytest.mark.parametrize("name", ["orbit(resnet)", "orbit(greedy(resnet8+resnet))"])
def test_names_inside_are_checked(name: str) -> None:
    with pytest.raises(RequestError, match="unknown model 'resnet'"):
        check_model_name(name)


@pytest.mark.parametrize("name", ["greedy(resnet8)", "mean(resnet8)", "orbit(greedy(resnet8))"])
def test_an_ensemble_of_one_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match=r"at least two networks .allowed: \w+.NAME\+NAME"):
        check_model_name(name)


def test_inputs_that_are_not_square_are_refused() -> None:
    with pytest.raises(RequestError, match=r"orbit\(resnet8\): quarter turns need square images"):
        build_model("orbit(resnet8)", classes=4, inputs=InputSpec(3, 16, 24))


def test_outputs_over_an_orbit_are_stored_once_per_image(tmp_path: Path) -> None:
    """Any view of an image is given the mean over all eight, from the cache, for one query per image."""
    rng = np.random.default_rng(0)
    images = Examples.of(rng.integers(0, 256, (8, 3, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
    normalize = PixelNormalization(np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32))
    sets = RoleSets(images, images, {"test": images}, normalize)
    recipe = Recipe(steps=4, batch_size=4, precision="fp32", views="dihedral").resolve(images)
    for name in ("plain", "orbit", "outputs"):
        (tmp_path / name).mkdir()
    seeds = Seeds(1, 2, 3)
    train_teacher(tmp_path / "plain", "resnet8", sets, recipe, seeds, device=CPU)
    record = ensemble_teacher(
        tmp_path / "orbit", "orbit(resnet8)", sets, recipe, seeds, members=[tmp_path / "plain"], device=CPU
    )
    assert record.model == "orbit(resnet8)"
    keep = OutputsToStore(tmp_path / "caches", frozenset({"logits"}))
    stored = teacher_outputs(
        tmp_path / "outputs", tmp_path / "orbit", sets, recipe, view_seed=3, keep=keep, device=CPU
    )
    assert stored.queries == stored.forwards == 8
    reference = CacheReference.read(tmp_path / "outputs")
    assert reference.originals
    teacher = open_network(tmp_path / "orbit", images, CPU)
    pixels = torch.from_numpy(images.items(np.arange(8)))
    views = Recipe(steps=4, batch_size=4, views="none").resolve(images).view_spec
    found = reference.open(tmp_path / "caches", images).read(images, views, 3)(np.arange(8), 0, CPU).logits
    with torch.no_grad():
        for number in (0, 3, 6):
            expected = teacher(normalize(dihedral_view(pixels, number).contiguous()))
            torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize(("views", "originals"), [("flip", True), ("none", True), ("crop_flip", False)])
def test_views_outside_the_orbit_have_outputs_of_their_own(
    tmp_path: Path, views: str, originals: bool
) -> None:
    images = Examples.of(np.zeros((4, 3, 8, 8), np.uint8), [0, 1] * 2, ("a", "b"))
    normalize = PixelNormalization(np.zeros(3, np.float32), np.ones(3, np.float32))
    sets = RoleSets(images, images, {"test": images}, normalize)
    recipe = Recipe(steps=2, batch_size=4, precision="fp32", views=views).resolve(images)
    for name in ("plain", "orbit", "outputs"):
        (tmp_path / name).mkdir()
    seeds = Seeds(1, 2, 3)
    train_teacher(tmp_path / "plain", "convnet3", sets, recipe, seeds, device=CPU)
    members = [tmp_path / "plain"]
    ensemble_teacher(tmp_path / "orbit", "orbit(convnet3)", sets, recipe, seeds, members=members, device=CPU)
    keep = OutputsToStore(tmp_path / "caches", frozenset({"logits"}))
    teacher_outputs(
        tmp_path / "outputs", tmp_path / "orbit", sets, recipe, view_seed=3, keep=keep, device=CPU
    )
    assert CacheReference.read(tmp_path / "outputs").originals is originals
