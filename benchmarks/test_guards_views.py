"""Batched views and cached teacher outputs against the usual way, as ratios within one process.

    make bench, or: python -m pytest benchmarks/test_guards_views.py

The usual way of views renders one image after the other with torchvision; that of teacher outputs is a
forward pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torchvision.transforms import v2

from distillab.data.examples import Examples
from distillab.modalities.image import PixelNormalization
from distillab.modalities.views import Views
from distillab.models import InputSpec, build_model, inspect_network
from distillab.training.teachers.cache import CacheFormat, TeacherCache
from distillab.training.teachers.feed import LiveTeacher

CPU = torch.device("cpu")
BATCH, EPOCHS, ROUNDS = 64, 3, 30
LEAST = {"views": 4.0, "cached outputs": 10.0}

Call = Callable[[], Any]


@pytest.fixture(scope="module")
def images() -> Examples:
    """Images of noise, whose content does not affect the time."""
    pixels = np.random.default_rng(0).integers(0, 256, (512, 3, 32, 32), dtype=np.uint8)
    return Examples.of(pixels, np.arange(512) % 100, tuple(str(label) for label in range(100)))


def views(images: Examples, folder: Path) -> tuple[Call, Call]:
    """Crop and flip a batch, one image after the other and all at once."""
    drawn, positions = Views("crop_flip", 4), np.arange(BATCH)
    transform = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])
    single = [torch.from_numpy(pixels) for pixels in images.pixels(positions)]
    return (
        lambda: torch.stack([transform(image) for image in single]),
        lambda: drawn.batch(images, positions, 0, 1, CPU),
    )


def cached_outputs(images: Examples, folder: Path) -> tuple[Call, Call]:
    """Compute the outputs of a small teacher for a batch, and read them from the cache."""
    model = build_model("resnet20", classes=100, inputs=InputSpec.square(3, 32))
    normalize = PixelNormalization(np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32))
    info = inspect_network(model, InputSpec(3, 32, 32), classes=100)
    teacher = LiveTeacher(model, info.taps, {"logits"}, CPU, "fp32")
    kept = CacheFormat.of({"logits"}, info.shapes)
    cache, drawn = TeacherCache(folder, {}, kept, len(images)), Views("crop_flip", 4)
    cache.fill(
        images, drawn, 1, EPOCHS, lambda pixels: teacher.query(pixels, normalize), batch=BATCH, device=CPU
    )
    stored, batches = cache.read(images, drawn, 1), itertools.cycle(np.arange(512).reshape(-1, BATCH))
    return (
        lambda: teacher.query(drawn.batch(images, np.arange(BATCH), 0, 1, CPU).items, normalize),
        lambda: stored(next(batches), 1, CPU),
    )


@pytest.mark.parametrize("what", [views, cached_outputs], ids=["views", "cached outputs"])
def test_batched_or_cached_is_many_times_as_fast(
    benchmark: BenchmarkFixture,
    images: Examples,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    what: Callable[[Examples, Path], tuple[Call, Call]],
) -> None:
    turns = itertools.cycle(what(images, tmp_path))
    # Alternately, so that other work on the machine affects both equally.
    benchmark.pedantic(lambda: next(turns)(), rounds=2 * ROUNDS, iterations=1, warmup_rounds=4)
    assert benchmark.stats
    times = benchmark.stats.stats.data
    usual, faster = (sorted(times[start::2])[ROUNDS // 2] for start in (0, 1))
    name = request.node.callspec.id
    benchmark.extra_info["ratio"] = usual / faster
    print(f"{name}: {usual / faster:.1f} times as fast as the usual way")
    assert usual / faster > LEAST[name]
