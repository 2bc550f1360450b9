"""Reading the data of a study: its dataset, and the other datasets that it names."""

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
from distillab.sources.near_copies import count_near_copies
from distillab.study.spec.references import check_references
from distillab.study.spec.study import StudySpec

LoadProgress = Callable[[str, int, int], None]
_ID_BITS = 40  # ids of a dataset are below 2^40; those of the k-th other one start at k 2^40


def load_study_data(spec: StudySpec, progress: LoadProgress | None = None) -> Dataset:
    """Read, check and split all data of a study.

    The other datasets take the shape of the first unless they state their own. Examples of theirs that would
    leak between training and testing, since the first dataset holds the same ones, are left out, unless its
    ``duplicates`` are to be kept.

    Args:
        spec: The study.
        progress: Called with (stage, done, total).

    Raises:
        RequestError: A network, a file or a dataset that the study names does not exist, which is found
            before any example is read. Data cannot be read, examples of another dataset have another shape,
            or all of them are in the first dataset.

    Example:
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["kd"],
        ... )
        >>> load_study_data(spec).classes
        ('0', '1')
    """
    check_references(spec)
    source = spec.source()
    dataset = load_dataset(source, progress)
    others, notes = {}, []
    for place, (name, other) in enumerate(spec.other_sources().items(), 1):
        others[name] = _other(name, other, dataset, place << _ID_BITS, progress)
        if source.exact_duplicates == "drop":
            others[name], dropped = _without_leaks(others[name], dataset, f"others.{name}")
            if dropped:
                notes.append(f"{dropped} examples of others.{name} are also in data and were left out.")
    if source.near_copies == "keep" and (near := count_near_copies(dataset, progress)) and near.found:
        notes.append(f"{near}; `duplicates: {{near: drop}}` leaves those of train and val out.")
    if not others and not notes:
        return dataset
    report = replace(dataset.report, notes=(*dataset.report.notes, *notes))
    return replace(dataset, others=others, report=report)


def _without_leaks(other: Dataset, first: Dataset, where: str) -> tuple[Dataset, int]:
    """Return another dataset without examples that would leak between it and the first, in either direction,
    and how many those were. Raises RequestError if a split would be left empty."""
    tests = hashes_of(first.eval.values())
    validated = hashes_of([first.val])
    learned = hashes_of([first.train]) | validated
    train = _without(other.train, tests | validated, where)
    val = _without(other.val, tests, where)
    evals = {name: _without(each, learned, where) for name, each in other.eval.items()}
    before = [other.train, other.val, *other.eval.values()]
    dropped = sum(map(len, before)) - sum(map(len, [train, val, *evals.values()]))
    return replace(other, train=train, val=val, eval=evals), dropped


def _without(examples: Examples, held: Set[bytes], where: str) -> Examples:
    shared = found_in(examples, held)
    if len(examples) and shared.all():
        raise RequestError(
            "all of its examples are also in data, in a split that they would leak into",
            where=where,
            allowed="another dataset, or `duplicates: keep` of data",
        )
    return examples.select(~shared) if shared.any() else examples


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
