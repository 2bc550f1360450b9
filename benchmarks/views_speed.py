"""Speed of augmentation: images per second on one core, beside torchvision's transforms.

    python benchmarks/views_speed.py

Views are rendered by ``Views.batch``, from the pixels of a training set to a batch of uint8, 64 images at a
time at 32 pixels, as in training; the first line is the batch without augmentation. torchvision is run as its
users do: image by image, since a transform makes one random choice per call (``flip`` of a batch would flip
all or none). For mixup and cutmix it is run on whole batches: one share and one rectangle then apply to all
images, which are mixed with one another, whereas here each image has its own, and a partner from the dataset.
Both are timed alternately, in processor time, and the fastest of the rounds is taken. The last table is the
step from bytes to normalized floats. Takes about half a minute of one idle core.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from distillab.data.examples import Examples
from distillab.modalities import modalities
from distillab.modalities.image import PixelNormalization

SIDE, POOL, BATCH, CLASSES = 32, 4096, 64, 10
SECONDS_PER_ROUND, ROUNDS = 0.15, 7
CPU = torch.device("cpu")

EACH: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda image: image,
    "flip": v2.RandomHorizontalFlip(),
    "crop": v2.RandomCrop(SIDE, padding=SIDE // 8),
    "crop_flip": v2.Compose([v2.RandomCrop(SIDE, padding=SIDE // 8), v2.RandomHorizontalFlip()]),
    "random_resized_crop": v2.RandomResizedCrop(SIDE),
    "color_jitter": v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "rand_augment": v2.RandAugment(2, 10),
}
WHOLE = {
    "mixup": v2.MixUp(alpha=0.2, num_classes=CLASSES),
    "cutmix": v2.CutMix(alpha=1.0, num_classes=CLASSES),
}


def training_set() -> Examples:
    """Return smooth random images: the cost of an operation depends little on their content."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((POOL, 3, 5, 5), dtype=np.float32))
    pixels = torch.nn.functional.interpolate(coarse, size=SIDE, mode="bicubic").clamp(0, 1) * 255
    labels = rng.integers(0, CLASSES, POOL)
    return Examples.of(pixels.byte().numpy(), labels, tuple("abcdefghij"))


def distillab(images: Examples, kind: str) -> Callable[[np.ndarray], object]:
    """Return a function that renders the batch at some positions."""
    views = modalities["image"].views(kind, (3, SIDE, SIDE))
    return lambda positions: views.batch(images, positions, 3, 12345, CPU)


def torchvision(images: Examples, kind: str) -> Callable[[np.ndarray], object]:
    """Return the same function with torchvision."""
    labels = torch.from_numpy(images.labels)

    def render(positions: np.ndarray) -> object:
        pixels = torch.from_numpy(images.pixels(positions))
        if kind in WHOLE:
            return WHOLE[kind](pixels.float(), labels[positions])
        return torch.stack([EACH[kind](image) for image in pixels])

    return render


def rates(images: Examples, *renderers: Callable[[np.ndarray], object]) -> list[float]:
    """Return images per second of each, the best of the rounds, measured alternately."""
    rng = np.random.default_rng(1)
    best = [0.0] * len(renderers)
    for _ in range(ROUNDS):
        for place, render in enumerate(renderers):
            seen, started = 0, time.process_time()
            while (passed := time.process_time() - started) < SECONDS_PER_ROUND:
                render(rng.integers(0, len(images), BATCH))
                seen += BATCH
            best[place] = max(best[place], seen / passed)
    return best


def broadcast(pixels: Tensor) -> Tensor:
    """Normalize as it is usually written."""
    mean = torch.tensor([0.5, 0.45, 0.4]).view(1, -1, 1, 1)
    std = torch.tensor([0.25, 0.24, 0.23]).view(1, -1, 1, 1)
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    images = training_set()
    print(f"{'views':<22}{'images/s':>12}{'torchvision':>14}{'ratio':>9}")
    for kind in (*EACH, *WHOLE):
        mine, other = rates(images, distillab(images, kind), torchvision(images, kind))
        print(f"{kind:<22}{mine:>12,.0f}{other:>14,.0f}{mine / other:>9.1f}")
    normalize = PixelNormalization(
        np.array([0.5, 0.45, 0.4], np.float32), np.array([0.25, 0.24, 0.23], np.float32)
    )
    crops = modalities["image"].views("crop_flip", (3, SIDE, SIDE))
    batch = crops.batch(images, np.arange(BATCH), 0, 0, CPU).items
    mine, other = rates(images, lambda _: normalize(batch), lambda _: broadcast(batch))
    print(f"\n{'normalization':<22}{'images/s':>12}{'broadcast':>14}{'ratio':>9}")
    print(f"{'bytes to floats':<22}{mine:>12,.0f}{other:>14,.0f}{mine / other:>9.1f}")


if __name__ == "__main__":
    main()
