"""Profile: everything that was measured of a dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distillab.data.dataset import Dataset
from distillab.data.examples import Examples, Indices
from distillab.data.raw import RawImage
from distillab.errors import RequestError
from distillab.profile.families import FAMILIES
from distillab.profile.measure import Family, Measure, measures_of
from distillab.profile.subject import Subject
from distillab.profile.teacher import GivenTeacher
from distillab.sources.file_facts import FileFacts
from distillab.sources.ingest import load_dataset
from distillab.sources.source import Source

SCHEMA = 1
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Profile:
    """What a dataset is like.

    Attributes:
        dataset: its name.
        digest: content address of the profiled images.
        shape: (channels, height, width).
        images: how many were profiled.
        embedding: the kind of reference embedding.
        families: what was measured.
        shared: seconds of the work that several measures share, by name.
        seconds: of all of it, reading included.
        against: name of the dataset it was compared with, if any.
        teacher: name of the teacher that was asked, if any.
    """

    dataset: str
    digest: str
    shape: tuple[int, int, int]
    images: int
    embedding: str
    families: tuple[Family, ...]
    shared: dict[str, float]
    seconds: float
    against: str | None = None
    teacher: str | None = None

    @property
    def measures(self) -> dict[str, Measure]:
        """All measures by their keys."""
        return dict(measures_of(self.families))

    @property
    def alarms(self) -> tuple[str, ...]:
        """What stands out, one sentence each."""
        return tuple(measure.alarm for measure in self.measures.values() if measure.alarm)

    def facts(self) -> dict[str, Any]:
        """The plain form, for JSON. Keys are added, never renamed; ``schema`` counts changes of meaning."""
        return {
            "schema": SCHEMA,
            "dataset": self.dataset,
            "digest": self.digest,
            "images": self.images,
            "shape": list(self.shape),
            "embedding": self.embedding,
            "against": self.against,
            "teacher": self.teacher,
            "seconds": round(self.seconds, 2),
            "shared_seconds": {name: round(value, 2) for name, value in self.shared.items()},
            "alarms": list(self.alarms),
            "families": [family.facts() for family in self.families],
        }

    def json(self) -> str:
        """The facts as JSON text."""
        return json.dumps(self.facts(), indent=1, ensure_ascii=False, allow_nan=False)


def profile_source(
    source: Source,
    *,
    against: Source | None = None,
    embedding: str = "patches",
    teacher: Callable[[Dataset], GivenTeacher] | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Read a source and measure it.

    Broken files are counted rather than refused, and duplicates across splits are kept to be found.

    Args:
        source: what to read.
        against: another source to measure the distance to.
        embedding: a registered embedding.
        teacher: makes the network to ask, given the data.
        progress: called with (stage, done, total).

    Raises:
        RequestError: the data cannot be read, or the other set or the teacher does not fit them.
    """
    started = time.perf_counter()
    read: list[FileFacts] = []

    def on_files(images: Sequence[RawImage], names: Sequence[str], ids: Indices) -> None:
        read.append(FileFacts.of(images, names, ids))

    dataset = load_dataset(_leniently(source), progress, on_files)
    other = None if against is None else _other(against, dataset, progress)
    subject = Subject.of(
        dataset,
        read[0],
        kind=embedding,
        against=other,
        teacher=None if teacher is None else teacher(dataset),
    )
    subject.watch.shared["reading"] = time.perf_counter() - started
    families = measure_all(subject, progress)
    return Profile(
        dataset=subject.name,
        digest=subject.images.digest,
        shape=subject.images.shape,
        images=len(subject.images),
        embedding=embedding,
        families=families,
        shared=subject.watch.shared,
        seconds=time.perf_counter() - started,
        against=None if other is None else other[0],
        teacher=None if subject.teacher is None else subject.teacher.name,
    )


def measure_all(subject: Subject, progress: Progress | None = None) -> tuple[Family, ...]:
    """Every family that has something to say about the subject."""
    found = []
    for place, (name, measure) in enumerate(FAMILIES.items()):
        if progress:
            progress(f"measuring {name}", place, len(FAMILIES))
        family = measure(subject)
        if family is not None and (family.measures or family.notes):
            found.append(family)
    if progress:
        progress("measuring", len(FAMILIES), len(FAMILIES))
    return tuple(found)


def _leniently(source: Source) -> Source:
    return source.model_copy(update={"on_broken": "skip", "duplicates": "keep"})


def _other(source: Source, dataset: Dataset, progress: Progress | None) -> tuple[str, Examples]:
    """The other set, resized to the images of this one if those are square."""
    channels = dataset.train.shape[0]
    other = load_dataset(_leniently(source.with_shape_of(dataset.train.shape)), progress)
    if other.train.shape[0] != channels:
        raise RequestError(
            f"{other.name} has {other.train.shape[0]} channels and {dataset.name} has {channels}",
            where="--against",
            allowed="sets with equally many, or `--set channels=1` for both",
        )
    return other.name, Subject.of(other).images
