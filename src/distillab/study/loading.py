"""Reading the data of a study: the dataset that it is about, and the others that it names."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

from distillab.data.dataset import Dataset
from distillab.data.duplicates import found_in, hashes_of
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.modalities import modality_of
from distillab.sources import Source
from distillab.sources.ingest import load_dataset
from distillab.study.spec.study import StudySpec

LoadProgress = Callable[[str, int, int], None]
ID_BITS = 40  # ids of a dataset lie below 2^40; those of the k-th other one start at k 2^40


def load_study_data(spec: StudySpec, progress: LoadProgress | None = None) -> Dataset:
    """Read, check and split all data of a study.

    The other datasets take the resolution of the first unless they state their own. What of them would be
    learned from and tested on at once, since the first holds the same images, is left out, unless its
    ``duplicates`` are to be kept.

    Raises:
        RequestError: what cannot be read, images of another dataset that differ in shape, or one that holds
            nothing but images of the first.
    """
    source = spec.source()
    dataset = load_dataset(source, progress)
    others, notes = {}, []
    for place, (name, asked) in enumerate(spec.other_sources().items(), 1):
        others[name] = _other(name, asked, dataset, place << ID_BITS, progress)
        if source.duplicates == "drop":
            others[name], dropped = _apart(others[name], dataset, f"others.{name}")
            notes += [f"{dropped} images of others.{name} also stand in data and were left out."] * bool(
                dropped
            )
    report = replace(dataset.report, notes=(*dataset.report.notes, *notes))
    return replace(dataset, others=others, report=report) if others else dataset


def _apart(other: Dataset, first: Dataset, where: str) -> tuple[Dataset, int]:
    """Another dataset without what would leak between it and the first, in either direction; how many images
    that were. Raises RequestError if a split would be left empty."""
    tests = hashes_of(first.eval.values())
    validated = hashes_of([first.val])
    learned = hashes_of([first.train]) | validated
    train = _without(other.train, tests | validated, where)
    val = _without(other.val, tests, where)
    evals = {name: _without(each, learned, where) for name, each in other.eval.items()}
    before = [other.train, other.val, *other.eval.values()]
    dropped = sum(map(len, before)) - sum(map(len, [train, val, *evals.values()]))
    return replace(other, train=train, val=val, eval=evals), dropped


def _without(images: Examples, held: Set[bytes], where: str) -> Examples:
    shared = found_in(images, held)
    if len(images) and shared.all():
        raise RequestError(
            "all of its images also stand in data, where they are held out or learned from",
            where=where,
            allowed="another dataset, or `duplicates: keep` of data",
        )
    return images.select(~shared) if shared.any() else images


def _other(
    name: str, source: Source, first: Dataset, first_id: int, progress: LoadProgress | None
) -> Dataset:
    where = f"others.{name}"
    try:
        read = load_dataset(source.with_shape_of(first.train.shape), progress)
    except RequestError as error:
        raise error.within(where) from error
    if (read.train.shape, read.modality) != (first.train.shape, first.modality):
        size, needed = (modality_of(each).describe(each.train.shape) for each in (read, first))
        raise RequestError(
            f"its examples are {size}, those of data {needed}",
            where=where,
            allowed="examples of one shape, by `resolution` and `channels` of images or `seconds` of audio",
        )
    return replace(
        read,
        train=read.train.renumbered(first_id),
        val=read.val.renumbered(first_id),
        eval={test: images.renumbered(first_id) for test, images in read.eval.items()},
        originals=read.originals and read.originals.renumbered(first_id),
    )
