"""Corruptions of images by name and severity, as in robustness benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices, Pixels
from distillab.data.randomness import random_bits
from distillab.errors import RequestError
from distillab.extras import install_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = "imagecorruptions-imaug"
_SMALLEST_SIDE = 32  # pixels that every corruption accepts

Corruption = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "gaussian_blur",
    "snow",
    "frost",
    "fog",
    "spatter",
    "brightness",
    "contrast",
    "saturate",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
]
# These take a seed instead of drawing from NumPy's global state.
_SEEDED = frozenset({"impulse_noise", "glass_blur"})


@dataclass(frozen=True)
class Corrupted:
    """Images corrupted by the package imagecorruptions-imaug (Hendrycks and Dietterich, "Benchmarking neural
    network robustness to common corruptions and perturbations", ICLR 2019).

    The choice among several corruptions, and the draws of the one chosen, are functions of the image's row
    alone: they are the same for every seed of a study, as in a benchmark, so teacher outputs are reused.

    Attributes:
        corruptions: Names; of several, each image gets one.
        severity: 1 to 5.
    """

    corruptions: tuple[Corruption, ...]
    severity: int

    @property
    def facts(self) -> Mapping[str, object]:
        return {
            "operation": "corrupted",
            "corruptions": list(self.corruptions),
            "severity": self.severity,
            "package": version(PACKAGE),
        }

    def shape(self, before: tuple[int, int, int], /) -> tuple[int, int, int]:
        return before

    def __call__(self, pixels: Pixels, rows: Indices, /) -> Pixels:
        bits = random_bits(rows)
        which = (random_bits(rows, 1) % np.uint64(len(self.corruptions))).astype(np.int64)
        seeds = (bits & np.uint64(2**31 - 1)).astype(np.int64)
        out = np.empty_like(pixels)
        with _global_state_restored():
            for i, (image, kind, seed) in enumerate(zip(pixels, which, seeds, strict=True)):
                out[i] = self._one(image, self.corruptions[kind], int(seed))
        return out

    def _one(self, image: Pixels, name: Corruption, seed: int) -> Pixels:
        """Corrupt one image, uint8 ``[C, H, W]``; of a gray image, the green channel of its RGB version."""
        gray = image.shape[0] == 1
        color = np.repeat(image, 3, axis=0) if gray else image
        np.random.seed(seed)  # the package draws from the global state
        extra = {"seed": seed} if name in _SEEDED else {}
        made = corrupt()(
            np.ascontiguousarray(color.transpose(1, 2, 0)),
            severity=self.severity,
            corruption_name=name,
            **extra,
        )
        back = made.transpose(2, 0, 1)
        return back[1:2] if gray else back


@contextmanager
def _global_state_restored() -> Iterator[None]:
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


@cache
def corrupt() -> Callable[..., npt.NDArray[np.uint8]]:
    """Return the package's function. Raises RequestError if the package is not installed."""
    try:
        import cv2
        import imagecorruptions
    except ImportError as error:
        raise RequestError(
            f"corruptions need the package {PACKAGE}",
            where="shift",
            allowed=install_command("corruptions"),
        ) from error
    cv2.setNumThreads(0)  # images are small, and threads do not survive the fork of workers
    function: Callable[..., npt.NDArray[np.uint8]] = imagecorruptions.corrupt
    return function


def check_corruptible(shape: tuple[int, int, int]) -> None:
    """Raise RequestError unless the package is installed and accepts images of (channels, height, width)."""
    corrupt()
    channels, height, width = shape
    if min(height, width) < _SMALLEST_SIDE:
        raise RequestError(
            f"images of {height}x{width} pixels are too small to corrupt",
            where="shift",
            allowed=f"images of at least {_SMALLEST_SIDE}x{_SMALLEST_SIDE}",
        )
    if channels not in (1, 3):
        raise RequestError(
            f"images of {channels} channels cannot be corrupted", where="shift", allowed="1 or 3 channels"
        )
