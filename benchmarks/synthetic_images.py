"""Speed of synthetic images (dead leaves, noise, crops of one photograph): images per second on one core.

    python benchmarks/synthetic_images.py

Processor time, one thread, the fastest of the rounds. A study generates each image once. Takes about 10
seconds of one idle core.
"""

from __future__ import annotations

import time

import numpy as np

from distillab.data.generated import Maker
from distillab.modalities.image.synthetic import Crops, DeadLeaves, Noise

ROUNDS = 3


def rate(maker: Maker, side: int) -> float:
    """Return images per second."""
    count = max(16, 512 * 32**2 // side**2)
    best = 0.0
    for number in range(ROUNDS):
        started = time.process_time()
        maker(np.arange(number * count, (number + 1) * count), (3, side, side))
        best = max(best, count / (time.process_time() - started))
    return best


def main() -> None:
    """Print the table."""
    photo = np.random.default_rng(0).integers(0, 256, (3, 500, 700), dtype=np.uint8)
    print(f"{'images':<12}{'side':>6}{'images/s/core':>16}")
    for maker in (DeadLeaves(1), Noise(1), Crops(photo, 1)):
        for side in (32, 224):
            print(f"{type(maker).__name__:<12}{side:>6}{rate(maker, side):>16,.0f}")


if __name__ == "__main__":
    main()
