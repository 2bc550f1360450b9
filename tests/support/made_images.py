"""Synthetic images for tests of reading: equal content gives equal pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.targets import Labels
from distillab.sources import ImageSource, RawSplit, RawSplits

Split = Sequence[tuple[int, int]]  # (content, label) of each image


def picture(content: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(content).integers(0, 256, (4, 4), dtype=np.uint8)


class Made(ImageSource):
    """A synthetic source: equal content gives equal pixels, and content below 0 is damaged."""

    train: tuple[tuple[int, int], ...]
    given_val: tuple[tuple[int, int], ...] | None = None
    given_test: tuple[tuple[int, int], ...] | None = None
    class_names: tuple[str, ...] = ("a", "b")

    def read(self) -> RawSplits:
        splits = {"train": self.train, "val": self.given_val, "test": self.given_test}
        raw = {name: self.raw(name, split) for name, split in splits.items() if split is not None}
        return RawSplits(self.class_names, raw["train"], raw.get("val"), raw.get("test"))

    def raw(self, name: str, split: Split) -> RawSplit:
        images = [b"damaged" if content < 0 else picture(content) for content, _ in split]
        labels = np.array([label for _, label in split], dtype=np.int64)
        return RawSplit(
            images, Labels(labels, len(self.class_names)), [f"{name}[{row}]" for row in range(len(split))]
        )


def made(train: Split, **keys: Any) -> Made:
    return Made(train=tuple(train), **{k: tuple(v) if k.startswith("given") else v for k, v in keys.items()})


def images(start: int, count: int, classes: int = 2) -> list[tuple[int, int]]:
    """Return different images with alternating labels."""
    return [(start + row, row % classes) for row in range(count)]


class Grouped(Made):
    """A source of images whose group is the hundreds digit of their content."""

    def read(self) -> RawSplits:
        raw = super().read()
        given = {
            name: replace(split, groups=np.array([content // 100 for content, _ in getattr(self, key)]))
            for (name, split), key in zip(
                raw.given().items(), ("train", "given_test" if raw.val is None else "given_val"), strict=False
            )
        }
        return replace(raw, **given, group_names=tuple(f"patient {g}" for g in range(10)))
