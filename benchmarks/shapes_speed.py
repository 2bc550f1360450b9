"""Speed of generated shapes: images per second on one core, and loading 100,000 of them as studies do.

    python benchmarks/shapes_speed.py

Images are drawn by ``draw`` from their class and number, 4,096 at a time at 32 pixels, with the default
nuisances, in one thread and in processor time; the fastest of the rounds is taken. The last line is
``load_dataset``: drawing, finding duplicates, carving val. Takes about 20 seconds of one idle core.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from distillab.sources.drawing import draw
from distillab.sources.ingest import load_dataset
from distillab.sources.shapes import Shapes

ROUNDS = 5
GOAL = 20_000  # images per second at 32 pixels
LOADED = 100_000


def rate(side: int, channels: int, define: tuple[str, ...]) -> float:
    """Return images per second."""
    source = Shapes(define=define)
    count = max(64, 4096 * 32**2 // side**2)
    best = 0.0
    for number in range(ROUNDS):
        rows = np.arange(number * count, (number + 1) * count)
        classes = len(source.tree.classes)
        started = time.process_time()
        draw(source.scene.sketch("train", rows % classes, rows // classes), side, channels)
        best = max(best, count / (time.process_time() - started))
    return best


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print(f"{'define':<20}{'side':>6}{'channels':>10}{'images/s/core':>16}")
    for define in (("shape",), ("shape", "texture")):
        for side in (28, 32, 64, 224):
            for channels in (1, 3):
                found = rate(side, channels, define)
                mark = "" if side != 32 else "  enough" if found >= GOAL else f"  below {GOAL:,}"
                print(f"{', '.join(define):<20}{side:>6}{channels:>10}{found:>16,.0f}{mark}")
    each = LOADED // 20  # 16 classes, a quarter as many test images
    started, processor = time.perf_counter(), time.process_time()
    dataset = load_dataset(Shapes(images=each, test_images=each // 4))
    wall, processor = time.perf_counter() - started, time.process_time() - processor
    read = len(dataset.train) + len(dataset.val) + len(dataset.eval["test"])
    print(f"\n{read:,} images of 32 pixels read in {wall:.1f} s, {processor:.1f} s of processor time")


if __name__ == "__main__":
    main()
