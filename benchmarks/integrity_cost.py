"""What the digests of stored files cost: processor time of reading with and without them, in turns.

    python benchmarks/integrity_cost.py [--repeats 15]

The least of several is shown. "Without" reads the same bytes through the same code, from folders without
digests.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from distillab.artefacts import LOGITS, load_logits, save_logits
from distillab.data import storage
from distillab.data.examples import Examples
from distillab.data.storage import open_items
from distillab.integrity import DIGESTS, write_digests
from distillab.models import Outputs, OutputShapes
from distillab.training.recipe import Recipe
from distillab.training.teachers.cache import CachedOutputs, CacheFormat, TeacherCache

CPU = torch.device("cpu")
EXAMPLES, CLASSES, BATCH = 5_120, 100, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="distillab-"))
    print("| what is read | without | with digests | more |\n|---|---|---|---|")
    for name, prepare in CASES.items():
        (folder / prepare.__name__).mkdir()
        with_digests, without, unit, count = prepare(folder / prepare.__name__)
        best = in_turns(without, with_digests, repeats)
        plain, checked = (1e6 * seconds / count for seconds in best)
        print(f"| {name} | {plain:,.0f} us {unit} | {checked:,.0f} us | {checked - plain:+,.1f} us |")


Case = tuple[Callable[[], object], Callable[[], object], str, int]


def in_turns(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the least processor time of each in seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, found in zip((first, second), times, strict=True):
            started = time.process_time()
            call()
            found.append(time.process_time() - started)
    return min(times[0]), min(times[1])


def pairs(folder: Path, write: Callable[[Path], None]) -> tuple[Path, Path]:
    """Return two folders with the same files: with digests, and without."""
    folders = folder / "with", folder / "without"
    for each in folders:
        each.mkdir()
        write(each)
    write_digests(folders[0])
    return folders


def mapped_pool(folder: Path) -> Case:
    """A pool of CIFAR-100's size, opened and read once."""
    items = np.random.default_rng(0).integers(0, 256, (50_000, 3, 32, 32), dtype=np.uint8)
    one, two = pairs(folder, lambda place: np.save(place / "items.npy", items))
    return (
        lambda: int(open_items(one / "items.npy")[::7].max()),
        lambda: int(open_items(two / "items.npy")[::7].max()),
        "each opening",
        1,
    )


def large_pool(folder: Path) -> Case:
    """A pool that is read batch by batch: an epoch in random order."""
    storage.LARGE = 1
    items = np.random.default_rng(0).integers(0, 256, (4_000, 3, 64, 64), dtype=np.uint8)
    one, two = pairs(folder, lambda place: np.save(place / "items.npy", items))
    batches = np.random.default_rng(1).permutation(len(items)).reshape(-1, 100)

    def epoch(place: Path) -> None:
        opened = open_items(place / "items.npy")
        for batch in batches:
            opened[batch]

    return lambda: epoch(one), lambda: epoch(two), "a batch", len(batches)


def cached_outputs(folder: Path) -> Case:
    """Cached logits of 100 classes: the batches of an epoch."""
    images = Examples.of(np.zeros((EXAMPLES, 1, 8, 8), np.uint8), [0, 1] * (EXAMPLES // 2), ("a", "b"))
    views = Recipe(views="none").resolve(images).view_spec
    stored = CacheFormat.of({"logits"}, OutputShapes(CLASSES))

    def compute(pixels: torch.Tensor) -> Outputs:
        return Outputs(torch.randn(len(pixels), CLASSES))

    def outputs(name: str) -> CachedOutputs:
        cache = TeacherCache(folder, {"weights": name}, stored, EXAMPLES)
        cache.fill(images, views, 0, 1, compute, batch=1000, device=CPU)
        if name == "without":
            for file in cache.folder.glob("*.digests"):
                file.unlink()
        return cache.read(images, views, 0)

    batches = np.random.default_rng(1).permutation(EXAMPLES)[: EXAMPLES // BATCH * BATCH].reshape(-1, BATCH)

    def epoch(read: CachedOutputs) -> None:
        for batch in batches:
            read(batch, 0, CPU)

    one, two = outputs("with"), outputs("without")
    return lambda: epoch(one), lambda: epoch(two), "a batch", len(batches)


def logits_of_runs(folder: Path) -> Case:
    """The logits of 20 runs on 10,000 test images, as a report reads them."""
    values = np.random.default_rng(0).normal(size=(10_000, CLASSES)).astype(np.float16)

    def write(place: Path) -> None:
        for run in range(20):
            (place / str(run)).mkdir()
            save_logits({"test.last": values}, place / str(run) / LOGITS)

    one, two = pairs(folder, write)
    assert not list(two.rglob(DIGESTS))
    return (
        lambda: [load_logits(one / str(run) / LOGITS) for run in range(20)],
        lambda: [load_logits(two / str(run) / LOGITS) for run in range(20)],
        "a run",
        20,
    )


CASES = {
    "a mapped pool, 154 MB": mapped_pool,
    "a pool of 49 MB read batch by batch, 100 images": large_pool,
    "cached logits, 128 of 100 classes": cached_outputs,
    "test logits, 2 MB": logits_of_runs,
}

if __name__ == "__main__":
    main()
