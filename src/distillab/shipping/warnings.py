"""What could go wrong with the data, measured in seconds: leaks, wrong labels, rare classes, shortcuts."""

from __future__ import annotations

from collections.abc import Callable

from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE
from distillab.data.targets import Labels
from distillab.profile import FAMILIES, ProfiledDataset
from distillab.sources.file_facts import FileFacts
from distillab.study.loading import LoadProgress

MEASURED = ("imbalance", "duplicates", "labels", "shortcuts", "sources", "association")
"""The families of measures that can warn, in the order of what they cost."""


def warnings_of(
    dataset: Dataset,
    files: FileFacts | None,
    *,
    is_over: Callable[[], bool],
    progress: LoadProgress | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a profile warns of, and the families of measures that were left out.

    Args:
        dataset: The data, with all of their splits: leaks are found between them.
        files: Facts about the files of images; None for other data.
        is_over: Returns True when no further family is to be begun.
        progress: Called with (stage, done, total).

    Example:
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> warnings_of(load_dataset(Digits()), None, is_over=lambda: True)[0]
        ()
    """
    if dataset.modality != IMAGE or not isinstance(dataset.train.targets, Labels):
        return (), MEASURED
    data = ProfiledDataset.of(dataset, files)
    found: list[str] = []
    left: list[str] = []
    for place, name in enumerate(MEASURED):
        if is_over():
            left.append(name)
            continue
        if progress:
            progress(f"measuring {name}", place, len(MEASURED))
        family = FAMILIES[name](data)
        found += [measure.alarm for measure in family.measures if measure.alarm] if family else []
    return tuple(dict.fromkeys(found)), tuple(left)
