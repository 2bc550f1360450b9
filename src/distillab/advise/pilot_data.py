"""The data of a pilot: what a student may learn from and be judged on while test data stay unread."""

from __future__ import annotations

from dataclasses import dataclass, replace

from distillab.data.dataset import Dataset
from distillab.data.resplit import resplit
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.sources.source import Source

JUDGED_SHARE = 0.3  # of train and val together, that the race is judged on where the source has no val
MOST_JUDGED = 3_000  # examples: more cost time that more seeds use better
FEW_JUDGED = 200  # examples, below which the answer states how few they are
_JUDGED_KEY, _VAL_KEY = 0xAD, 0xAE


@dataclass(frozen=True, eq=False)
class PilotData:
    """A dataset without its test set, split anew.

    Attributes:
        dataset: Train, val (for settings) and, under the name ``test``, the examples that students are judged
            on. All of them come from the train and val splits of the data.
        judged_on: Where the judged examples come from: ``val`` or ``train``.
        val_share: Share of train that each seed carves for val.
        unread: Number of test examples that are left alone.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> read = load_dataset(Digits())
        >>> pilot = PilotData.of(read, Digits())
        >>> pilot.judged_on, pilot.unread == len(read.eval["test"])
        ('train', True)
        >>> learned = len(pilot.dataset.train) + len(pilot.dataset.val)
        >>> learned + pilot.judged == len(read.train) + len(read.val)
        True
    """

    dataset: Dataset
    judged_on: str
    val_share: float
    unread: int

    @classmethod
    def of(cls, dataset: Dataset, source: Source) -> PilotData:
        """Split the train and val examples of a dataset anew.

        A val split that the source has is what students are judged on, since given teachers seldom saw it.
        Otherwise judged examples are carved from train and val together.

        Args:
            dataset: The data as they were read.
            source: Where they were read from, for how splits are carved.

        Raises:
            RequestError: There are fewer than two classes, or too few examples to carve two sets.
        """
        _check(dataset)
        by_group = source.split_by == "group"
        known = dataset.normalization()
        whole = len(dataset.train) + len(dataset.val)
        if "val" in dataset.report.carved:
            share = min(JUDGED_SHARE, MOST_JUDGED / whole)
            drawn = resplit(dataset, share, _JUDGED_KEY, by_group=by_group)
            judged, rest, judged_on = drawn.val, drawn.train, "train"
        else:
            judged, rest, judged_on = dataset.val, dataset.train, "val"
        val_share = min(float(source.val), MOST_JUDGED / max(len(rest), 1))
        # As val, the rest has examples of all of its classes, which is what `resplit` requires of val.
        unsplit = replace(dataset, train=rest.select([]), val=rest, known_statistics=known)
        split = resplit(unsplit, val_share, _VAL_KEY, by_group=by_group)
        if not len(split.val) or not len(split.train) or not len(judged):
            raise RequestError(
                f"{dataset.name} has too few examples to hold some out of its {whole} for a pilot",
                allowed="at least four different examples per class",
            )
        report = replace(dataset.report, carved=("val", "test"))
        pilot = replace(
            split, name=dataset.name, eval={"test": judged}, report=report, known_statistics=known, others={}
        )
        return cls(pilot, judged_on, val_share, sum(map(len, dataset.eval.values())))

    @property
    def judged(self) -> int:
        """Number of examples that students are judged on."""
        return len(self.dataset.eval["test"])

    @property
    def is_labelled(self) -> bool:
        """True if each example has one label, which a profile needs."""
        return isinstance(self.dataset.train.targets, Labels)


def _check(dataset: Dataset) -> None:
    """Raise RequestError unless there is something to classify."""
    classes = len(dataset.classes)
    if isinstance(dataset.train.targets, Labels) and classes < 2:
        raise RequestError(
            f"{dataset.name} has one class, which every student predicts without training",
            allowed="at least two classes",
        )
