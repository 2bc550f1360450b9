"""Reading the data of a study: the dataset that it is about, and the others that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from distillab.data.dataset import Dataset
from distillab.data.imageset import ImageSet
from distillab.data.ingest import load_dataset
from distillab.data.sources import Source
from distillab.errors import RequestError
from distillab.study.spec import StudySpec

LoadProgress = Callable[[str, int, int], None]
ID_BITS = 40  # ids of a dataset lie below 2^40; those of the k-th other one start at k 2^40


def load_study_data(spec: StudySpec, progress: LoadProgress | None = None) -> Dataset:
    """Read, check and split all data of a study.

    The other datasets take the resolution of the first unless they state their own.

    Raises:
        RequestError: what cannot be read, or images of another dataset that differ in shape.
    """
    dataset = load_dataset(spec.source(), progress)
    others = {
        name: _other(name, source, dataset, place << ID_BITS, progress)
        for place, (name, source) in enumerate(spec.other_sources().items(), 1)
    }
    return replace(dataset, others=others)


def _other(
    name: str, source: Source, first: Dataset, first_id: int, progress: LoadProgress | None
) -> Dataset:
    channels, side, _ = first.train.shape
    where = f"others.{name}"
    try:
        asked = source if source.resolution else source.model_copy(update={"resolution": side})
        read = load_dataset(asked, progress)
    except RequestError as error:
        raise error.within(where) from error
    if read.train.shape != first.train.shape:
        theirs = read.train.shape
        what = (
            f"its images are {theirs[1]}x{theirs[2]} and {_colour(theirs[0])}, those of data {side}x{side} "
        )
        raise RequestError(
            what + f"and {_colour(channels)}",
            where=where,
            allowed=f"`resolution: {side}` and `channels: {channels}` there",
        )
    return replace(
        read,
        train=_renamed(read.train, first_id),
        val=_renamed(read.val, first_id),
        eval={test: _renamed(images, first_id) for test, images in read.eval.items()},
    )


def _renamed(images: ImageSet, first_id: int) -> ImageSet:
    return replace(images, ids=images.ids + first_id)


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "RGB"
