"""Measure a dataset, family by family."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.raw import Progress, RawImage
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.modalities import modalities
from distillab.modalities.embedding import embeddings
from distillab.notebook import html_table
from distillab.profile.claims import CLAIMS
from distillab.profile.families import FAMILIES, IMAGES_ONLY, MeasureFamily
from distillab.profile.loaded_teacher import LoadedTeacher
from distillab.profile.measure import Family, Measure, measures_by_key
from distillab.profile.profiled_dataset import ProfiledDataset
from distillab.profile.wording import family_in_words_of, format_interval, format_value, noun_of
from distillab.sources.file_facts import FileFacts
from distillab.sources.ingest import load_dataset
from distillab.sources.source import Source

OnFiles = Callable[[Sequence[RawImage], Sequence[str], Indices], None]
JSON_VERSION = 2  # counts changes of meaning
_PRETRAINED = "imagenet"


@dataclass(frozen=True, eq=False)
class Profile:
    """All measures of a dataset.

    Attributes:
        dataset: Name of the dataset.
        digest: Content address of the profiled images.
        shape: (channels, height, width).
        images: Number of profiled images.
        embedding: Registered name of the reference embedding.
        families: The measures, by family.
        shared: Seconds of the work that several measures share, by name.
        seconds: Seconds in total, reading included.
        against: Name of the dataset it was compared with, if any.
        teacher: Name of the profiled teacher, if any.
        modality: What an example is.

    Example:
        >>> empty = Profile("digits", "c0ffee", (1, 8, 8), 1797, "patches", (), {}, 0.5)
        >>> empty.alarms, empty.as_dict()["shape"]
        ((), [1, 8, 8])
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
    modality: str = IMAGE

    @property
    def described(self) -> str:
        """The examples in a few words, such as ``1,797 images, 8x8 gray``."""
        shape = modalities[self.modality].describe(self.shape)
        return f"{self.images:,} {noun_of(self.modality)}s, {shape}"

    @property
    def measures(self) -> dict[str, Measure]:
        """All measures by their keys."""
        return dict(measures_by_key(self.families))

    @property
    def alarms(self) -> tuple[str, ...]:
        """Everything that crossed its alarm threshold, one sentence each."""
        return tuple(measure.alarm for measure in self.measures.values() if measure.alarm)

    @property
    def claims(self) -> tuple[str, ...]:
        """Ids of the published claims that the measures refer to, in numerical order."""
        ids = {claim for measure in self.measures.values() for claim in measure.claims}
        return tuple(sorted(ids, key=lambda claim: int(claim[1:])))

    def _repr_html_(self) -> str:
        """Return the alarms and the measures, as notebooks show them."""
        title = f"{self.dataset}: {self.described}"
        alarms = html_table("Alarms", [(alarm,) for alarm in self.alarms]) if self.alarms else ""
        rows = [
            (
                measure.label,
                format_value(measure.value, measure.unit),
                format_interval(measure),
                measure.means,
            )
            for measure in self.measures.values()
        ]
        header = ("measure", "value", "95 % interval", "for distillation")
        return alarms + html_table(title, rows, header)

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the profile as JSON values. Keys are added, never renamed."""
        return {
            "schema": JSON_VERSION,
            "dataset": self.dataset,
            "digest": self.digest,
            "images": self.images,
            "shape": list(self.shape),
            "embedding": self.embedding,
            "against": self.against,
            "teacher": self.teacher,
            "modality": self.modality,
            "seconds": round(self.seconds, 2),
            "shared_seconds": {name: round(value, 2) for name, value in self.shared.items()},
            "alarms": list(self.alarms),
            "claims": {key: CLAIMS[key].as_dict() for key in self.claims},
            "families": [family.as_dict() for family in self.families],
        }

    def json(self) -> str:
        """Return the profile as JSON text."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)


def profile_source(
    source: Source,
    *,
    against: Source | None = None,
    embedding: str | None = None,
    teacher: Callable[[Dataset], LoadedTeacher] | None = None,
    families: Mapping[str, MeasureFamily] = FAMILIES,
    progress: Progress | None = None,
) -> Profile:
    """Read a source and measure it.

    Broken files are counted instead of refused, and duplicates across splits are kept so that they can be
    found.

    Args:
        source: The source to read.
        against: Another source to measure the distance to.
        embedding: Registered name of an embedding; None is the usual one of the modality.
        teacher: Loads the teacher to profile, given the data.
        families: The families to measure.
        progress: Called with (stage, done, total).

    Raises:
        RequestError: The data cannot be read or have several labels per example, or the embedding, the other
            dataset or the teacher does not fit them.

    Example:
        >>> from distillab.sources.parsing import source_from_argument
        >>> found = profile_source(source_from_argument("digits"), families={"size": FAMILIES["size"]})
        >>> found.measures["images"].value, found.measures["classes"].value
        (1797.0, 10.0)
    """
    started = time.perf_counter()
    kind = _embedding_for(source, embedding)
    read: list[FileFacts] = []
    facts_of = FileFacts.of if source.modality == IMAGE else FileFacts.of_sequences

    def on_files(items: Sequence[RawImage], names: Sequence[str], ids: Indices) -> None:
        read.append(facts_of(items, names, ids))

    dataset = _load(source, progress, on_files)
    other = None if against is None else _load_other(against, dataset, progress)
    data = ProfiledDataset.of(
        dataset,
        read[0],
        kind=kind,
        against=other,
        teacher=None if teacher is None else teacher(dataset),
        stronger=_stronger(kind) if source.modality == IMAGE else None,
    )
    data.watch.shared["reading"] = time.perf_counter() - started
    measured = measure_families(data, families, progress)
    return Profile(
        dataset=data.name,
        digest=data.images.digest,
        shape=data.images.shape,
        images=len(data.images),
        embedding=kind,
        families=measured,
        shared=data.watch.shared,
        seconds=time.perf_counter() - started,
        against=None if other is None else other[0],
        teacher=None if data.teacher is None else data.teacher.name,
        modality=data.images.modality,
    )


def measure_families(
    data: ProfiledDataset,
    families: Mapping[str, MeasureFamily] = FAMILIES,
    progress: Progress | None = None,
) -> tuple[Family, ...]:
    """Measure every family that applies to the data; of those for images only, others have the reason."""
    found, modality = [], data.images.modality
    for place, (name, measure) in enumerate(families.items()):
        if progress:
            progress(f"measuring {name}", place, len(families))
        if modality != IMAGE and name in IMAGES_ONLY:
            title, reason = IMAGES_ONLY[name]
            found.append(Family(name, title, (), notes=(reason,)))
            continue
        family = measure(data)
        if family is not None and (family.measures or family.notes):
            found.append(family_in_words_of(modality, family))
    if progress:
        progress("measuring", len(families), len(families))
    return tuple(found)


def _stronger(kind: str) -> str | None:
    """Return the embedding to use where ``kind`` is too weak, if its package is installed."""
    installed = embeddings[_PRETRAINED].installed()
    return _PRETRAINED if installed and kind != _PRETRAINED else None


def _embedding_for(source: Source, wanted: str | None) -> str:
    """Return the embedding that is wanted, or the usual one of the modality."""
    usual = modalities[source.modality].embedding
    if wanted is None:
        return usual
    if embeddings[wanted].modality != source.modality:
        raise RequestError(
            f"the embedding {wanted} is for {embeddings[wanted].modality} examples, and these are "
            f"{source.modality}",
            where="--embedding",
            allowed=", ".join(each for each in embeddings if embeddings[each].modality == source.modality),
        )
    return wanted


def _load(source: Source, progress: Progress | None, on_files: OnFiles | None = None) -> Dataset:
    """Load examples with one label each; skip broken files, keep duplicates, and take parts as they are."""
    update = {"on_broken": "skip", "duplicates": "keep", "rare_classes": source.rare_classes or "train"}
    lenient = source.model_copy(update=update | ({"vote": False} if source.joins_parts else {}))
    dataset = load_dataset(lenient, progress, on_files)
    if not isinstance(dataset.train.targets, Labels):
        raise RequestError(
            f"{dataset.name} has {dataset.train.targets.kind}, which cannot be profiled",
            allowed=f"one label per {noun_of(dataset.modality)}",
        )
    return dataset


def _load_other(source: Source, dataset: Dataset, progress: Progress | None) -> tuple[str, Examples]:
    """Load the other dataset, with examples of the shape of this one where the source allows it."""
    channels = dataset.train.shape[0]
    other = _load(source.with_shape_of(dataset.train.shape), progress)
    if other.train.shape[0] != channels:
        raise RequestError(
            f"{other.name} has {other.train.shape[0]} channels and {dataset.name} has {channels}",
            where="--against",
            allowed="datasets with the same number of channels, or `--set channels=1` for both",
        )
    return other.name, ProfiledDataset.of(other).images
