"""SeedSplits: the train/val split of each seed."""

from __future__ import annotations

from functools import lru_cache

from distillab.data.dataset import Dataset
from distillab.data.duplicates import SPLITS
from distillab.data.resplit import resplit
from distillab.study.spec.study import StudySpec

_VAL = "val"
SPLITS_KEPT = 16  # index arrays; conditions of one seed are made one after the other


class SeedSplits:
    """Gives the data under the split of each seed.

    Val is carved anew for a seed where the source has no val split of its own. The split stays as it was read
    if near copies are dropped, which depends on the split.

    Args:
        spec: The study.
        dataset: Its data as they were read.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["kd"],
        ... )
        >>> read = load_dataset(spec.source())
        >>> splits = SeedSplits(spec, read)
        >>> splits.of_seed(0) is read, splits.of_seed(1).val.digest == read.val.digest
        (True, False)
    """

    def __init__(self, spec: StudySpec, dataset: Dataset) -> None:
        self.dataset, self._turns, self._source = dataset, spec.turns, spec.source()
        self._numbered = lru_cache(SPLITS_KEPT)(self._drawn)

    @property
    def is_drawn(self) -> bool:
        """True if seeds can have different splits."""
        carved = _VAL in self.dataset.report.carved and self._source.near_copies != "drop"
        carved &= self.dataset.val.parts is None
        return carved and self._turns.split == "seed"

    def of_seed(self, seed: int) -> Dataset:
        """Return the data under the split of a seed."""
        return self._numbered(self._turns.split_of(seed) if self.is_drawn else 0)

    def _drawn(self, number: int) -> Dataset:
        source = self._source
        if number == 0:
            return self.dataset
        keys = source.split_seed, SPLITS.index(_VAL), number
        return resplit(self.dataset, source.val, *keys, by_group=source.split_by == "group")
