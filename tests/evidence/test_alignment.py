"""Alignment of two networks: bounds, invariances, and values by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.evidence.alignment import linear_cka, orbit_cosine, orbit_spread


def drawn(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=shape)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), first=st.integers(1, 8), second=st.integers(1, 8))
def test_cka_lies_between_zero_and_one_and_is_symmetric(seed: int, n: int, first: int, second: int) -> None:
    x, y = drawn(seed, n, first), drawn(seed + 1, n, second)
    assert 0 <= linear_cka(x, y) <= 1
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x))
    assert linear_cka(x, x) == pytest.approx(1)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 10))
def test_cka_does_not_change_under_rotations_scales_and_shifts(seed: int, scale: float) -> None:
    x, y = drawn(seed, 20, 5), drawn(seed + 1, 20, 3)
    rotation, _ = np.linalg.qr(drawn(seed + 2, 5, 5))
    assert linear_cka(scale * x @ rotation + 7, y) == pytest.approx(linear_cka(x, y))


def test_cka_of_uncorrelated_and_of_constant_features() -> None:
    x, y = np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert linear_cka(x, y) == 0
    assert np.isnan(linear_cka(x, np.ones((4, 2))))


def test_cosine_ignores_scale_and_constants_and_skips_constant_rows() -> None:
    logits = drawn(0, 4, 8, 5)
    assert orbit_cosine(logits, 3 * logits + 2) == pytest.approx(1)
    assert orbit_cosine(logits, -logits) == pytest.approx(-1)
    half = logits.copy()
    half[:2] = 1.0
    assert orbit_cosine(half, logits) == pytest.approx(1)
    assert np.isnan(orbit_cosine(np.ones((1, 8, 5)), logits[:1]))


@pytest.mark.parametrize(
    ("predicted", "spread"), [([0] * 8, 0.0), ([0] * 6 + [1] * 2, 0.25), ([0, 1] * 4, 0.5)]
)
def test_spread_counts_views_of_another_class(predicted: list[int], spread: float) -> None:
    assert orbit_spread(np.eye(3)[predicted][None]) == pytest.approx(spread)
