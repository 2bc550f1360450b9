"""Pictures of real digits before and after a factor, as a report shows them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from distillab.report.contents.pictures import Check, Pictures, Strip, Tile

DIGITS = load_digits()
CLASSES = tuple(str(digit) for digit in range(10))
SIZES = (10.0, 25.0, 50.0, 100.0)


def digit(position: int) -> npt.NDArray[np.uint8]:
    """Return a digit as uint8 ``[1, 8, 8]``."""
    pixels: npt.NDArray[np.uint8] = np.minimum(DIGITS.images[position] * 16, 255).astype(np.uint8)
    return pixels[None]


def size_pictures() -> Pictures:
    """Return examples that levels of size remove."""
    chosen = [int(p) for digit_ in range(10) for p in np.flatnonzero(DIGITS.target == digit_)[:3]]
    label = [CLASSES[DIGITS.target[p]] for p in chosen]
    before = Strip(
        "As read", tuple(Tile(digit(p), (name,)) for p, name in zip(chosen, label, strict=True)), (120,) * 10
    )

    def after(size: float, kept: int) -> Strip:
        tiles = tuple(
            Tile(digit(p), (name,), dropped=i % 3 >= kept)
            for i, (p, name) in enumerate(zip(chosen, label, strict=True))
        )
        return Strip(f"{size:g} examples per class", tiles, (int(size),) * 10)

    checks = tuple(
        Check(
            "size", f"{size:g} examples per class, seed {seed}", "examples per class", size, size, 0.5, True
        )
        for size in SIZES
        for seed in range(2)
    )
    strips = (after(100, 2), after(10, 1))
    return Pictures(
        "size", "digits", CLASSES, before, strips, checks, "The first three images of every class."
    )


def noise_pictures() -> Pictures:
    """Return examples whose labels are changed, with a check that fails."""
    rng = np.random.default_rng(3)
    chosen = [int(p) for digit_ in range(10) for p in np.flatnonzero(DIGITS.target == digit_)[3:6]]
    draw, other = rng.random(len(chosen)), rng.integers(1, 10, len(chosen))

    def strip(title: str, level: float) -> Strip:
        tiles = []
        for i, p in enumerate(chosen):
            true = int(DIGITS.target[p])
            new = (true + other[i]) % 10 if draw[i] < level else true
            tiles.append(Tile(digit(p), (CLASSES[true],), (CLASSES[new],)))
        return Strip(title, tuple(tiles))

    checks = tuple(
        Check(
            "label_noise",
            f"level {requested:g}",
            "share of changed labels",
            requested,
            got,
            0.02,
            abs(requested - got) <= 0.02,
        )
        for requested, got in ((0.0, 0.0), (0.2, 0.204), (0.4, 0.357))
    )
    return Pictures(
        "label_noise",
        "digits",
        CLASSES,
        strip("As read", 0.0),
        (strip("Label noise 0.2", 0.2), strip("Label noise 0.4", 0.4)),
        checks,
        "The same images at every level; changed labels are framed.",
    )
