"""Embeddings of images: deterministic, and similar images have near vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.examples import Examples, Pool
from distillab.data.storage import FileItems
from distillab.errors import RequestError
from distillab.modalities.embedding import embed, embeddings, fit_embedding
from distillab.modalities.embedding.principal import PrincipalAxes


def pictures(count: int = 120, side: int = 16, channels: int = 3, seed: int = 0) -> Examples:
    """Two classes of gratings, vertical and horizontal, of random phase and wavelength, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    ramp = np.arange(side) / side
    waves = np.sin(2 * np.pi * (rng.uniform(2, 4, (count, 1)) * ramp + rng.uniform(0, 1, (count, 1))))
    grating = np.where(labels[:, None, None] == 0, waves[:, None, :], waves[:, :, None])
    images = 128 + 80 * grating[:, None] + rng.normal(0, 12, (count, channels, side, side))
    return Examples.of(images.clip(0, 255).astype(np.uint8), labels, ("upright", "level"))


@pytest.mark.parametrize("kind", [name for name in embeddings if embeddings[name].modality == "image"])
def test_embeddings_are_deterministic_and_similar_images_are_near(kind: str) -> None:
    images = pictures(40)
    first, again = (embed(images, dimensions=8, kind=kind) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == (40, 8)
    np.testing.assert_array_equal(first, again)
    assert (first**2).sum(axis=1).mean() == pytest.approx(1.0, rel=1e-3)
    means = np.stack([first[images.labels == label].mean(axis=0) for label in (0, 1)])
    nearest = ((first[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == images.labels).mean() > 0.95


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [4, 8, 28, 32, 64, 224])
def test_images_of_any_size_and_number_of_channels_are_embedded(side: int, channels: int) -> None:
    vectors = embed(pictures(24, side, channels), dimensions=6)
    assert vectors.shape == (24, 6) and np.isfinite(vectors).all() and vectors.std() > 0


def test_images_need_not_be_square() -> None:
    wide = Examples.of(
        np.random.default_rng(0).integers(0, 256, (20, 3, 12, 80), np.uint8), [0, 1] * 10, ("a", "b")
    )
    assert np.isfinite(embed(wide, dimensions=4)).all()


@given(order=st.permutations(range(60)))
@settings(max_examples=5)
def test_vectors_do_not_depend_on_the_order_of_images(order: list[int]) -> None:
    """The same images in another order are embedded by the same map."""
    images = pictures(60)
    shuffled = embed(images.select(np.array(order)), dimensions=5)
    np.testing.assert_allclose(shuffled, embed(images, dimensions=5)[order], atol=2e-5)


def test_vectors_do_not_depend_on_labels() -> None:
    images = pictures(60)
    np.testing.assert_array_equal(embed(images), embed(images.relabel(1 - images.labels)))


def test_two_sets_are_embedded_by_one_fit() -> None:
    images, others = pictures(60), pictures(30, seed=1)
    fitted = fit_embedding(images, dimensions=5)
    np.testing.assert_array_equal(embed(others, fitted_on=images, dimensions=5), fitted.vectors(others))
    gray = pictures(30, channels=1)
    equal = Examples.of(gray.images.repeat(3, axis=1), gray.labels, gray.classes)
    assert fitted.vectors(gray).shape == (30, 5), "a gray image is a color image of equal channels"
    np.testing.assert_allclose(fitted.vectors(gray), fitted.vectors(equal), atol=1e-6)


def test_few_images_span_few_dimensions() -> None:
    assert embed(pictures(10), dimensions=128).shape == (10, 9)
    assert embed(pictures(10).select(np.array([], dtype=int)), fitted_on=pictures(10)).shape == (0, 9)


def test_images_in_a_file_are_embedded_alike(tmp_path: Path) -> None:
    images = pictures(40)
    np.save(tmp_path / "pixels.npy", images.images)
    stored = replace(images, pool=Pool.of(FileItems(tmp_path / "pixels.npy")))
    np.testing.assert_array_equal(embed(stored, dimensions=4), embed(images, dimensions=4))


def test_principal_axes_are_those_of_the_covariance() -> None:
    """Vectors are uncorrelated, with the square roots of the variances of the standardized features."""
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(3000, 4)) @ rng.normal(size=(4, 6)) + 5).astype(np.float32)
    vectors = PrincipalAxes.of(features, 4)(features)
    covariance = np.cov(vectors.T, bias=True)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-5)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = np.sort(np.linalg.eigvalsh(np.cov(standard.T, bias=True)))[::-1][:4] ** 0.5
    np.testing.assert_allclose(np.diag(covariance), expected / expected.sum(), rtol=1e-3)


def test_constant_images_have_finite_vectors() -> None:
    flat = Examples.of(np.full((12, 3, 8, 8), 7, np.uint8), [0, 1] * 6, ("a", "b"))
    assert np.isfinite(embed(flat)).all()


def test_unknown_embedding_is_refused() -> None:
    with pytest.raises(RequestError, match="unknown embedding 'patch', did you mean 'patches'"):
        embed(pictures(4), kind="patch")


def test_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(RequestError, match=r"distillab\[imagenet\]"):
        embed(pictures(4), kind="imagenet")


@pytest.mark.real
def test_real_classes_are_separated(real_data: Path) -> None:
    """The nearest neighbor of a CIFAR-100 image has its class far more often than in pixel space."""
    from distillab.sources import parse_source
    from distillab.sources.ingest import load_dataset

    entry: dict[str, Any] = {"source": "parquet", "train": "cifar100/test.parquet", "label": "coarse_label"}
    images = load_dataset(parse_source(entry, real_data, "data")).train.select(np.arange(3000))
    vectors = embed(images, dimensions=64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pixels = images.images.reshape(3000, -1).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    raw = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)

    def accuracy(v: Any) -> float:
        near = v @ v.T
        np.fill_diagonal(near, -2)
        return float((images.labels[near.argmax(axis=1)] == images.labels).mean())

    assert accuracy(unit) > 1.25 * accuracy(raw)
