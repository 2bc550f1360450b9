"""A dataset larger than memory: is it kept out of memory, and is it read as fast as with torchvision?

    python benchmarks/larger_than_memory.py --folder DIR [--images 200000] [--side 224]
                                            [--torchvision-images 20000]

Makes ``--images`` JPEG files of ``--side`` pixels in DIR (once), in ten class folders. Then, each in a
process of its own:

- torchvision: ``ImageFolder`` and a ``DataLoader`` with two workers, random crops and flips by its
  transforms, over ``--torchvision-images`` of the files: first reading only, then training steps;
- distillab: load the folder (decode, check, find duplicates, split), compute mean and standard deviation of
  the train split, run the same network without gradients on as many images as above, read as many (the same
  crops and flips, in random order), and one epoch of the same training steps over all of train;
- torchvision again; its better time counts, as other work on the machine varies.

Batches hold 64 images. Prints images per second, the peak of resident memory, ``ratio_reading`` and
``ratio_first_epoch`` (loading included, which distillab does once per study), and last ``ratio=X``, the
images per second of a training epoch; each is distillab's rate over torchvision's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from distillab.modalities import normalization_of
from distillab.sources import parse_source
from distillab.sources.ingest import load_dataset
from distillab.training.batches import training_batches
from distillab.training.evaluation import predict
from distillab.training.recipe import Recipe

CLASSES, BATCH, LOADERS = 10, 64, 2
CPU = torch.device("cpu")


# -- the images ----------------------------------------------------------------------------------------------


def make_images(folder: Path, images: int, side: int) -> None:
    """Write JPEG files of smooth noise, about as large as photographs of that size, in class folders."""
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
    starts = range(0, images, 1000)
    with ProcessPoolExecutor() as pool:
        list(pool.map(_make_some, *zip(*((folder, start, images, side) for start in starts), strict=True)))


def _make_some(folder: Path, start: int, images: int, side: int) -> None:
    for number in range(start, min(start + 1000, images)):
        path = folder / f"class{number % CLASSES}" / f"{number:06}.jpg"
        if path.exists():
            continue
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (28, 28, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)


# -- training ------------------------------------------------------------------------------------------------


def train(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[int, float]:
    """Train on batches of float32 images and labels; return the number of images and the seconds."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    seen, started = 0, time.perf_counter()
    for inputs, labels in batches:
        optimizer.zero_grad(set_to_none=True)
        loss: Tensor = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seen += len(labels)
    return seen, time.perf_counter() - started


def network() -> nn.Module:
    """Return a network so small that reading matters: 16-pixel patches, a 3x3 convolution, mean, linear."""
    layers = [
        *(nn.Conv2d(3, 32, 16, 16), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES)),
    ]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def print_rate(stage: str, rate: float) -> None:
    """Print images per second."""
    print(f"  {stage} {rate:,.0f}", flush=True)


def reading_rate(batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Read batches without using them; return images per second."""
    started = time.perf_counter()
    seen = sum(len(labels) for _, labels in batches)
    return seen / (time.perf_counter() - started)


def distillab(options: argparse.Namespace) -> dict[str, float]:
    """Load, read all images and train as a study does."""
    os.environ["DISTILLAB_CACHE"] = str(options.folder / "cache")
    entry = {"source": "folder", "path": str(options.images_folder), "val": 0.02, "test": 0.02}
    started = time.perf_counter()
    dataset = load_dataset(parse_source(entry, Path(), "--folder"))
    loading = time.perf_counter() - started
    print_rate("load", options.images / loading)
    count, model = len(dataset.train), network()
    started = time.perf_counter()
    normalize = normalization_of(dataset)
    found = {"load": options.images / loading, "statistics": count / (time.perf_counter() - started)}
    print_rate("statistics", found["statistics"])
    recipe = Recipe(epochs=1, batch_size=BATCH, views="crop_flip").resolve(dataset.train)

    labels = torch.from_numpy(dataset.train.labels)

    def epoch() -> Iterable[tuple[Tensor, Tensor]]:
        steps = training_batches(dataset.train, recipe, normalize, order_seed=0, view_seed=0, device=CPU)
        return ((step.inputs, labels[step.positions]) for step in steps)

    started = time.perf_counter()
    some = dataset.train.select(np.arange(min(options.torchvision_images, count)))
    predict(model, some, normalize, CPU, "fp32")
    found["predict"] = len(some) / (time.perf_counter() - started)
    print_rate("predict", found["predict"])
    found["read"] = reading_rate(islice(epoch(), options.torchvision_images // BATCH))
    print_rate("read", found["read"])
    seen, seconds = train(model, epoch())
    found["train"] = seen / seconds
    return found | {"first_epoch": options.images / (loading + options.images * seconds / seen)}


def torchvision(options: argparse.Namespace) -> dict[str, float]:
    """Read and train as torchvision's reference scripts do."""
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import datasets, transforms

    chain = transforms.Compose(
        [
            transforms.RandomCrop(options.side, padding=options.side // 8),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    folder = datasets.ImageFolder(str(options.images_folder), chain)
    count = min(options.torchvision_images, len(folder))

    def epoch() -> Iterable[tuple[Tensor, Tensor]]:
        sampler = RandomSampler(folder, num_samples=count)
        loader: Any = DataLoader(
            folder, batch_size=BATCH, sampler=sampler, num_workers=LOADERS, drop_last=True
        )
        return ((x.to(memory_format=torch.channels_last), y) for x, y in loader)

    reading = reading_rate(epoch())
    seen, seconds = train(network(), epoch())
    return {"read": reading, "train": seen / seconds, "first_epoch": seen / seconds}


# -- processes -----------------------------------------------------------------------------------------------


def in_process(
    job: Callable[[argparse.Namespace], dict[str, float]], options: argparse.Namespace
) -> dict[str, float]:
    """Run a job in a process of its own, and add the peaks of memory of it and its children, in MiB."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(job, options, writer))
    process.start()
    writer.close()
    found: dict[str, float] = reader.recv()
    process.join()
    return found


def _do(
    job: Callable[[argparse.Namespace], dict[str, float]], options: argparse.Namespace, writer: Any
) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    found = job(options)
    peaks = (resource.getrusage(kind).ru_maxrss for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own, child = (peak / 1024 for peak in peaks)
    writer.send(found | {"peak_mib": own, "largest_child_mib": child})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or print what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, help="where the images are made; they stay there")
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--torchvision-images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=224)
    options = parser.parse_args(arguments)
    if options.folder is None:
        print("nothing to measure on: give --folder")
        return
    options.images_folder = options.folder / f"{options.images}-of-{options.side}"
    started = time.perf_counter()
    make_images(options.images_folder, options.images, options.side)
    print(
        f"{options.images} JPEG files of {options.side} pixels, made in {time.perf_counter() - started:.0f} s"
    )
    found = []
    for job in (torchvision, distillab, torchvision):
        found.append(in_process(job, options))
        rates = ", ".join(f"{name} {value:,.0f}" for name, value in found[-1].items())
        print(f"{job.__name__}: {rates}", flush=True)
    before, own, after = found
    for name, rate in (("ratio_reading", "read"), ("ratio_first_epoch", "first_epoch"), ("ratio", "train")):
        print(f"{name}={own[rate] / max(before[rate], after[rate]):.2f}")


if __name__ == "__main__":
    main()
