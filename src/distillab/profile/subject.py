"""Subject: the dataset that is profiled, and the work on it that several families share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.data.targets import Targets
from distillab.modalities.image.embedding import Embedding, fit_embedding
from distillab.modalities.image.embedding.principal import Vectors
from distillab.profile.family_builder import Stopwatch
from distillab.profile.measure import Picture
from distillab.profile.neighbours import Neighbours, nearest, unit
from distillab.profile.probe import Probed, out_of_fold
from distillab.sources.file_facts import FileFacts

if TYPE_CHECKING:
    from distillab.profile.teacher import GivenTeacher

SEED = 0
QUERIES = 5_000  # images whose neighbours are looked for
AMONG = 50_000  # images that they are looked for among
SAMPLE = 5_000  # images for statistics whose error is small already


@dataclass(frozen=True, eq=False)
class Subject:
    """What families measure.

    Attributes:
        name: of the dataset.
        images: the images that are profiled: train, with whatever is carved from it when a study needs it.
        held_out: the splits that the source itself has beside train, by name.
        tested: what a teacher is tested on: a test set given or carved.
        transfer: what a student would be distilled on: train without what was carved.
        report: what was met on the way in.
        files: facts of the files; None if the data came as arrays in memory.
        kind: of the embedding.
        against: another set to compare with, its name first.
        teacher: a network to ask.
        watch: where shared work is charged.
    """

    name: str
    images: Examples
    held_out: Mapping[str, Examples]
    tested: Examples
    transfer: Examples
    report: DataReport
    files: FileFacts | None = None
    kind: str = "patches"
    against: tuple[str, Examples] | None = None
    teacher: GivenTeacher | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)

    @classmethod
    def of(cls, dataset: Dataset, files: FileFacts | None = None, **more: Any) -> Subject:
        """The subject that a dataset is: its carved splits are put back, its given ones stay apart."""
        carved = dataset.report.carved
        splits = {"val": dataset.val, "test": dataset.eval["test"]}
        images = joined([dataset.train, *(splits[name] for name in carved)])
        held_out = {name: split for name, split in splits.items() if name not in carved}
        return cls(
            dataset.name, images, held_out, splits["test"], dataset.train, dataset.report, files, **more
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.images.classes

    @cached_property
    def embedding(self) -> Embedding:
        """Fitted on the profiled images."""
        with self.watch.charging("embedding"):
            return fit_embedding(self.images, kind=self.kind)

    @cached_property
    def vectors(self) -> Vectors:
        """What the images are like: unit vectors, float32 ``[N, D]``."""
        embedding = self.embedding
        with self.watch.charging("embedding"):
            return unit(embedding.vectors(self.images))

    @cached_property
    def neighbours(self) -> Neighbours:
        """Of a sample of the images, among all or a larger sample."""
        vectors = self.vectors
        with self.watch.charging("nearest neighbours"):
            among = self.sample(AMONG)
            return nearest(vectors, among[: min(QUERIES, len(among))], np.sort(among))

    @cached_property
    def probe(self) -> Probed:
        """A linear probe on the embedding, out of fold, on all images."""
        vectors = self.vectors
        with self.watch.charging("linear probe"):
            return out_of_fold(vectors, self.images.labels, self.images.ids, len(self.classes))

    def sample(self, most: int = SAMPLE, images: Examples | None = None) -> Indices:
        """Positions of at most ``most`` images, drawn by their ids: int64, in random order."""
        chosen = self.images if images is None else images
        return np.argsort(random_bits(chosen.ids, SEED, 0x5A), kind="stable")[:most].astype(np.int64)

    def picture(self, position: int, caption: str = "", images: Examples | None = None) -> Picture:
        """An image of the set with the name of its file."""
        chosen = self.images if images is None else images
        pixels = chosen.pixels(np.array([position]))[0]
        return Picture(pixels, self.name_of(int(chosen.ids[position])), caption)

    def name_of(self, image_id: int) -> str:
        """What the file or row of an image is called, or its id if there is none."""
        if self.files is None:
            return f"image {image_id}"
        return self.files.names[int(self.files.rows(np.array([image_id]))[0])]

    def label(self, position: int) -> str:
        """The class of an image, by name."""
        return self.classes[int(self.images.labels[position])]

    def file_columns(self) -> dict[str, Indices]:
        """``bytes``, ``width``, ``height`` of the images' files, as far as they are known of all."""
        if self.files is None:
            return {}
        rows = self.files.rows(self.images.ids)
        columns = {"bytes": self.files.sizes, "width": self.files.widths, "height": self.files.heights}
        return {name: column[rows] for name, column in columns.items() if (column[rows] > 0).all()}


def joined(parts: list[Examples]) -> Examples:
    """Splits of one dataset as one set, in the order of ids."""
    ids = np.concatenate([part.ids for part in parts])
    order = np.argsort(ids, kind="stable")
    groups = [part.groups for part in parts if part.groups is not None]
    return replace(
        parts[0],
        rows=np.concatenate([part.rows for part in parts])[order],
        targets=reduce(Targets.joined, [part.targets for part in parts]).take(order),
        ids=ids[order],
        groups=np.concatenate(groups)[order] if len(groups) == len(parts) else None,
    )


def cut_short(path: str, most: int = 40) -> str:
    """The end of a path, which tells files apart."""
    name = Path(path).name
    return name if len(name) <= most else "…" + name[1 - most :]
