"""Drawn images: identical on every machine, and geometrically correct."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data import storage
from distillab.data.storage import FileItems
from distillab.modalities.image.decoding import decode_images
from distillab.sources.drawing import draw
from distillab.sources.drawing.compose import _TURN
from distillab.sources.drawing.figures import FIGURES
from distillab.sources.drawing.patterns import BACKGROUNDS, TEXTURES
from distillab.sources.ingest import load_dataset
from support.drawn import digest, pictures, shapes

STILL = {"rotation": 0, "tilt": 0, "scale": [0.8, 0.8], "position": 0, "contrast": [1, 1], "noise": 0}

GOLDEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "02a1483ce8c0abf3": ({}, {"count": 320}),
    "bbc7ba5ee8be12a2": (
        {"seed": 7, "define": ["shape", "texture"]},
        {"count": 256, "side": 28, "channels": 1},
    ),
    "9a76dbdf8ef82e29": (
        {
            "seed": -1,
            "define": "colour",
            "cues": {"background": 0.8},
            "nuisances": {"rotation": 180, "noise": 0.1},
        },
        {"count": 40, "side": 64, "split": "test"},
    ),
    "8ee09c47dec8a616": ({"seed": 2**40}, {"count": 16, "side": 224}),
}


@pytest.mark.parametrize("expected", GOLDEN)
def test_pixels_equal_the_golden_digests(expected: str) -> None:
    keys, size = GOLDEN[expected]
    assert digest(pictures(shapes(**keys), **size)) == expected


def test_pixels_do_not_depend_on_processor_features() -> None:
    """NumPy and the matrix products are run without the wide instructions of this machine."""
    source = shapes(seed=3)
    script = (
        "import numpy as np, hashlib; from distillab.sources.drawing import draw;"
        "from distillab.sources.shapes import Shapes;"
        "rows = np.arange(400);"
        "pixels = draw(Shapes(seed=3).scene.sketch('train', rows % 16, rows // 16), 32, 3);"
        "print(hashlib.sha256(pixels.tobytes()).hexdigest()[:16])"
    )
    features = " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
    plain = {"NPY_DISABLE_CPU_FEATURES": features, "OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | plain, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == digest(pictures(source, 400))


def test_no_sine_of_the_table_is_near_a_rounding_boundary() -> None:
    sines = np.sin(np.arange(_TURN) * (2 * np.pi / _TURN)) * 2**14
    assert np.abs(sines % 1 - 0.5).min() > 1e-6


@settings(max_examples=25, deadline=None)
@given(data=st.data(), side=st.sampled_from([8, 28, 33]), channels=st.sampled_from([1, 3]))
def test_image_does_not_depend_on_its_batch(data: st.DataObject, side: int, channels: int) -> None:
    source = shapes(define=["shape", "texture"], seed=data.draw(st.integers(-(2**40), 2**70)))
    labels = np.array(data.draw(st.lists(st.integers(0, 127), min_size=2, max_size=9)))
    numbers = np.array(data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=9, max_size=9)))[: len(labels)]
    together = draw(source.scene.sketch("train", labels, numbers), side, channels)
    for row in range(len(labels)):
        alone = draw(source.scene.sketch("train", labels[[row]], numbers[[row]]), side, channels)
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("side", [28, 32, 224])
@pytest.mark.parametrize("channels", [1, 3, None])
def test_read_images_equal_drawn_images(side: int, channels: int | None) -> None:
    """Rows are read in any order, across blocks, and without being resized."""
    count = 3 * 2**18 // side**2
    source = shapes(images=-(-count // 16), test_images=1, resolution=side, channels=channels)
    raw = source.read().train
    drawn = pictures(source, count, side=side, channels=channels or 3)
    for row in (count - 1, 0, count // 2, 1):
        found = decode_images([raw.items[row]], ["x"], resolution=side, channels=channels)
        np.testing.assert_array_equal(found.items[:], drawn[[row]])


def test_images_on_disk_equal_images_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shapes(images=6, test_images=2)
    usual = load_dataset(source)
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(storage, "LARGE", 0)
    large = load_dataset(source)
    assert isinstance(large.train.pool.items, FileItems)
    assert large.digest == usual.digest


def test_images_are_drawn_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def count(sketch: Any, side: int, channels: int) -> Any:
        drawn.append(len(sketch))
        return draw(sketch, side, channels)

    monkeypatch.setattr("distillab.sources.shapes.draw", count)
    raw = shapes(images=1000, test_images=1).read()
    assert drawn == []
    images: Any = raw.train.items
    for row in (5000, 5001, 4999):
        images[row]()
    assert drawn == [256]


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("disc", np.pi * 0.82**2),
        ("square", 1.4**2),
        ("ring", 4 * np.pi * 0.68 * 0.22),
        ("oval", np.pi * 0.98**2 / 1.9),
        ("triangle", 0.75 * np.sqrt(3)),
        ("pentagon", 5 * 0.74**2 * np.tan(np.pi / 5)),
        ("hexagon", 6 * 0.79**2 * np.tan(np.pi / 6)),
        ("cross", 4 * 0.29 * (2 * 0.88 - 0.29)),
        ("star", 5 * 0.42 * np.sin(np.pi / 5)),
        ("spark", 4 * 0.32),
    ],
)
def test_figures_have_the_area_of_their_geometry(name: str, area: float) -> None:
    axis = ((np.arange(800) + 0.5) / 400 - 1).astype(np.float32)
    inside = FIGURES[name](axis[None, None, :], axis[None, :, None]) < 0
    assert inside.mean() * 4 == pytest.approx(area, rel=5e-3)


@pytest.mark.parametrize("name", FIGURES)
@given(angle=st.floats(0, 2 * np.pi), radius=st.floats(1.001, 14))
def test_figures_lie_in_the_unit_circle(name: str, angle: float, radius: float) -> None:
    x, y = (np.full((1, 1, 1), radius * f(angle), np.float32) for f in (np.cos, np.sin))
    value = FIGURES[name](x, y)
    assert value.dtype == np.float32
    assert value > 0


@pytest.mark.parametrize("name", [name for name, pattern in (TEXTURES | BACKGROUNDS).items() if pattern])
def test_patterns_are_shares(name: str) -> None:
    pattern = (TEXTURES | BACKGROUNDS)[name]
    assert pattern is not None
    axis = np.linspace(-4, 4, 257, dtype=np.float32)
    share = pattern(axis[None, None, :], axis[None, :, None], np.full((1, 1, 1), 8, np.float32))
    assert share.dtype == np.float32
    assert share.min() >= 0 and share.max() <= 1
    assert name in ("solid", "plain") or 0.2 < share.mean() < 0.8


@pytest.mark.parametrize("side", [28, 32, 56])
def test_small_images_are_downsampled_large_ones(side: int) -> None:
    """Edges are antialiased: a pixel is the mean over its area."""
    source = shapes(nuisances={"noise": 0}, values={"background": ["plain"]})
    large, small = pictures(source, 64, side=224), pictures(source, 64, side=side)
    step = 224 // side
    means = large.reshape(64, 3, side, step, side, step).mean(axis=(3, 5))
    assert np.abs(means - small).mean() < 1.5


def test_gray_images_are_the_luma_of_color_images() -> None:
    source = shapes(nuisances={"noise": 0})
    gray, color = pictures(source, 128, channels=1), pictures(source, 128, channels=3)
    luma = np.tensordot(color, np.array([0.299, 0.587, 0.114]), axes=(1, 0))
    assert np.abs(luma - gray[:, 0]).max() < 2


@pytest.mark.parametrize("channels", [1, 3])
def test_figures_contrast_with_their_background(channels: int) -> None:
    """For every color and ground, in color and gray, the least difference is over 25 levels."""
    values = {"texture": ["solid", "dots"], "shape": ["disc", "square"], "background": ["plain", "horizon"]}
    source = shapes(nuisances=STILL, values=values, images=100)
    found = pictures(source, 4000, channels=channels).astype(int)
    center, border = found[:, :, 14:18, 14:18], found[:, :, [0, 0, 31, 31], [0, 31, 0, 31]]
    apart = np.abs(center[:, :, :, :, None] - border[:, :, None, None, :]).mean(axis=1)
    assert apart.min() > 25


def test_noise_has_the_requested_strength() -> None:
    quiet, loud = (shapes(nuisances={**STILL, "noise": noise}) for noise in (0, 0.05))
    difference = (pictures(loud, 200).astype(float) - pictures(quiet, 200)) / 255
    middle = (pictures(quiet, 200) > 60) & (pictures(quiet, 200) < 195)  # where no value is clipped
    assert difference[middle].std() == pytest.approx(0.05, rel=0.05)
    assert abs(difference[middle].mean()) < 0.002


def test_poses_stay_within_their_ranges() -> None:
    rows = np.arange(4000)
    drawn = {"rotation": 90, "tilt": 0.4, "scale": [0.3, 0.5], "position": 0.5, "contrast": [0.5, 0.6]}
    sketch = shapes(nuisances=drawn).scene.sketch("train", rows % 16, rows // 16)
    for values, low, high in (
        (sketch.rotation, -0.25, 0.25),
        (sketch.tilt, 0, 0.4),
        (sketch.scale, 0.3, 0.5),
        (sketch.x / (1 - sketch.scale), -0.5, 0.5),
        (sketch.y / (1 - sketch.scale), -0.5, 0.5),
        (sketch.contrast, 0.5, 0.6),
    ):
        assert low <= values.min() and values.max() <= high
        assert values.min() < low + (high - low) / 100 and values.max() > high - (high - low) / 100
        assert values.mean() == pytest.approx((low + high) / 2, abs=(high - low) / 40)


def test_rotation_and_position_move_the_figure() -> None:
    """A quarter turn is NumPy's, and a figure moved to the right appears further right."""
    source = shapes(nuisances=STILL, values={"background": ["plain"], "texture": ["solid", "stripes"]})
    sketch = source.scene.sketch("train", np.arange(16), np.arange(16))
    turned = draw(replace(sketch, rotation=sketch.rotation + 0.25), 32, 1)
    np.testing.assert_allclose(turned[:, 0], np.rot90(draw(sketch, 32, 1)[:, 0], axes=(1, 2)), atol=1)
    still = draw(replace(sketch, scale=sketch.scale / 2), 32, 1)
    moved = draw(replace(sketch, scale=sketch.scale / 2, x=sketch.x + 0.25, y=sketch.y + 0.5), 32, 1)
    np.testing.assert_allclose(moved[:, :, :-8, 4:], still[:, :, 8:, :-4], atol=1)
