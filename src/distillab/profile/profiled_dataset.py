"""The dataset that is profiled, with the work on it that several families share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.data.resplit import merge_splits
from distillab.data.targets import refuse_identities
from distillab.modalities import modality_of
from distillab.modalities.embedding import Embedding, fit_embedding
from distillab.modalities.embedding.principal import Vectors
from distillab.profile.family_builder import Stopwatch
from distillab.profile.measure import Picture
from distillab.profile.neighbors import Neighbors, nearest_neighbors, unit_vectors
from distillab.profile.probe import ProbePredictions, probe_out_of_fold
from distillab.profile.wording import noun_of
from distillab.sources.file_facts import FileFacts

if TYPE_CHECKING:
    from distillab.profile.loaded_teacher import LoadedTeacher

SAMPLING_SEED = 0
_QUERIES = 5_000  # images whose neighbors are searched
_CANDIDATES = 50_000  # images that are searched for neighbors
_SAMPLE_SIZE = 5_000  # images for statistics whose error is small already


@dataclass(frozen=True, eq=False)
class ProfiledDataset:
    """The input of every family.

    Attributes:
        name: Name of the dataset.
        images: Profiled images: train, together with the splits that a study would carve from it.
        held_out: Splits that the source itself has beside train, by name.
        tested: Images that a teacher is tested on: the test split, given or carved.
        transfer: Images that a student would be distilled on: train without carved splits.
        report: What was found while reading.
        files: Facts about the files; None if the data came as arrays in memory.
        kind: Registered name of the embedding.
        against: Name and images of another dataset to compare with.
        teacher: A trained network whose outputs are measured.
        stronger: Registered name of an embedding to use where ``kind`` is too weak; None if there is none.
        watch: Times the shared work.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> from distillab.sources.parsing import source_from_argument
        >>> digits = ProfiledDataset.of(load_dataset(source_from_argument("digits")))
        >>> len(digits.images), digits.class_name(0) in digits.classes
        (1797, True)
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
    teacher: LoadedTeacher | None = None
    stronger: str | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        files: FileFacts | None = None,
        *,
        kind: str = "patches",
        against: tuple[str, Examples] | None = None,
        teacher: LoadedTeacher | None = None,
        stronger: str | None = None,
    ) -> ProfiledDataset:
        """Put carved splits back into train; keep the splits that the source has."""
        refuse_identities((test.targets for test in dataset.eval.values()), "a profile")
        carved = dataset.report.carved
        splits = {"val": dataset.val, "test": dataset.eval["test"]}
        return cls(
            name=dataset.name,
            images=merge_splits([dataset.train, *(splits[name] for name in carved)]),
            held_out={name: split for name, split in splits.items() if name not in carved},
            tested=splits["test"],
            transfer=dataset.train,
            report=dataset.report,
            files=files,
            kind=kind,
            against=against,
            teacher=teacher,
            stronger=stronger,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.images.classes

    @cached_property
    def embedding(self) -> Embedding:
        """The embedding, fitted on the profiled images."""
        with self.watch.charging("embedding"):
            return fit_embedding(self.images, kind=self.kind)

    @cached_property
    def vectors(self) -> Vectors:
        """Embeddings of the images as unit vectors, float32 ``[N, D]``."""
        embedding = self.embedding
        with self.watch.charging("embedding"):
            return unit_vectors(embedding.vectors(self.images))

    def embed(self, images: Examples, kind: str) -> Vectors:
        """Return embeddings of another kind, fitted on these images, as unit vectors: float32 ``[N, D]``."""
        with self.watch.charging(f"{kind} embedding"):
            return unit_vectors(fit_embedding(images, kind=kind).vectors(images))

    @cached_property
    def neighbors(self) -> Neighbors:
        """Nearest neighbors of a sample of the images, among all images or a larger sample."""
        vectors = self.vectors
        with self.watch.charging("nearest neighbors"):
            candidates = self.sample(_CANDIDATES)
            queries = candidates[: min(_QUERIES, len(candidates))]
            return nearest_neighbors(vectors, queries, np.sort(candidates))

    @cached_property
    def probe(self) -> ProbePredictions:
        """Out-of-fold predictions of a linear probe on the embedding, for all images."""
        vectors = self.vectors
        with self.watch.charging("linear probe"):
            return probe_out_of_fold(vectors, self.images.labels, self.images.ids, len(self.classes))

    def sample(self, size: int = _SAMPLE_SIZE, images: Examples | None = None) -> Indices:
        """Return positions of at most ``size`` images, drawn by their ids: int64, in random order."""
        chosen = self.images if images is None else images
        return np.argsort(random_bits(chosen.ids, SAMPLING_SEED, 0x5A), kind="stable")[:size].astype(np.int64)

    def picture(self, position: int, caption: str = "", images: Examples | None = None) -> Picture:
        """Return the example at ``position`` with the name of its file, as its modality shows it."""
        chosen = self.images if images is None else images
        return as_picture(chosen, position, self.file_name(int(chosen.ids[position])), caption)

    def file_name(self, image_id: int) -> str:
        """Return the name of the file or row of an image, or its id if it has none."""
        if self.files is None:
            return f"{noun_of(self.images.modality)} {image_id}"
        return self.files.names[int(self.files.rows(np.array([image_id]))[0])]

    def class_name(self, position: int) -> str:
        """Return the name of the class of the image at ``position``."""
        return self.classes[int(self.images.labels[position])]

    def lengths(self) -> npt.NDArray[np.float64] | None:
        """Return the lengths of recordings in seconds or of texts in characters, before they are cut or
        padded, float64 ``[N]``; None if one is not known."""
        if self.files is None or self.files.lengths is None:
            return None
        found = self.files.lengths[self.files.rows(self.images.ids)]
        return found if (found >= 0).all() else None

    def file_columns(self) -> dict[str, Indices]:
        """Return ``bytes``, ``width`` and ``height``, int64 ``[N]``, as far as known for all images."""
        if self.files is None:
            return {}
        rows = self.files.rows(self.images.ids)
        columns = {"bytes": self.files.sizes, "width": self.files.widths, "height": self.files.heights}
        return {name: column[rows] for name, column in columns.items() if (column[rows] > 0).all()}


def as_picture(examples: Examples, position: int, name: str, caption: str) -> Picture:
    """Return an example as its modality shows it.

    Example:
        >>> images = Examples.of(np.zeros((1, 3, 8, 8), np.uint8), [0], ("cat", "dog"))
        >>> as_picture(images, 0, "a.png", "cat").pixels.shape
        (3, 8, 8)
    """
    item = examples.items(np.array([position]))[0]
    preview = modality_of(examples).preview(item)
    return Picture(preview.picture, name, caption, preview.text or "")
