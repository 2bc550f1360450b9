"""Which examples of some data a model is evaluated on: those of one split, without those of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from distillab.data.dataset import Dataset
from distillab.data.duplicates import SPLITS, found_in
from distillab.data.examples import Examples, Pool
from distillab.deploy.loaded import LoadedModel
from distillab.deploy.training_images import read_training_images
from distillab.errors import RequestError
from distillab.printable import counted, printable
from distillab.sources.checks import check_broken
from distillab.sources.ingest import load_dataset
from distillab.sources.source import RawSplits, Source
from distillab.sources.tabulated import ExampleTable, labelled, select_classes, tabulate
from distillab.study.loading import LoadProgress

AUTO, ALL, TEST = "auto", "all", "test"
WITH_TRAINING = (ALL, "train", "val")
"""The splits that keep images of the training where they are requested by name."""


@dataclass(frozen=True, eq=False)
class EvaluatedExamples:
    """The examples to evaluate.

    Attributes:
        name: The name of the data.
        split: Which examples: ``test``, ``val``, ``train`` or ``all``.
        examples: The examples.
        val: The examples that set decision thresholds, if the task has any.
        notes: What a reader must know of the choice, one sentence each.
    """

    name: str
    split: str
    examples: Examples
    val: Examples | None = None
    notes: tuple[str, ...] = ()


def choose_examples(
    model: LoadedModel, source: Source, split: str, on_load: LoadProgress | None = None
) -> EvaluatedExamples:
    """Return the examples of a source that a model is evaluated on.

    A test split that the source has is read alone, and so are its train and val if no dataset can be made of
    its splits: whether the others can be used makes no difference. Images that were in training, recognized
    by their content, are left out and counted, with two exceptions. The test
    split of the data of the training is that of the study. ``all``, ``train`` and ``val``, requested by name,
    are evaluated as they are, and the images that were in training are counted.

    Args:
        model: The model.
        source: The source, which decodes as the training did.
        split: ``auto``, ``test``, ``val``, ``train`` or ``all``.
        on_load: Called with (stage, done, total).

    Raises:
        RequestError: The split cannot be read, or all of its examples were in training.
    """
    data = _EvaluatedData(source, model.classes, on_load)
    wanted = split if split != AUTO else TEST if TEST in data.raw.given() else ALL
    examples, notes = data.split(wanted)
    known = read_training_images(model.path.parent)
    seen = found_in(examples, known)
    n, total = int(seen.sum()), len(examples)
    if not known:
        notes += ("Which images were in training is not known.",)
    elif split in WITH_TRAINING:
        notes += (f"{n} of {counted(total, 'example')} {'was' if n == 1 else 'were'} in training.",)
    elif n and (trained := data.same_as(model.description.facts.get("dataset_digest"))) is not None:
        wanted, examples = TEST, trained.eval[TEST]
        notes = ("These are the data of the training: their test split is evaluated.",)
        if n := int(found_in(examples, known).sum()):
            notes += (
                f"{n} of its {counted(len(examples), 'example')} {'was' if n == 1 else 'were'} in training "
                "as well, because the study kept duplicates.",
            )
    elif n == total:
        raise RequestError(
            f"all {total} examples were in training", where=data.name, allowed="other data, or --split all"
        )
    elif n:
        notes += (f"{n} of {total} examples were in training and are left out.",)
        examples = examples.select(~seen)
    val = data.thresholds(wanted) if model.task.has_thresholds else None
    return EvaluatedExamples(data.name, wanted, examples, val, notes)


@dataclass(frozen=True, eq=False)
class _EvaluatedData:
    """A source that is read as far as it is needed."""

    source: Source
    classes: tuple[str, ...]  # those of the model
    on_load: LoadProgress | None

    @property
    def name(self) -> str:
        return printable(self.source.dataset_name)

    @cached_property
    def raw(self) -> RawSplits:
        return self.source.read().without(self.source.unused_splits)

    @cached_property
    def _whole(self) -> Dataset | RequestError:
        try:
            return load_dataset(self.source, self.on_load)
        except RequestError as error:  # too few examples for splits, for instance
            return error

    def same_as(self, digest: object) -> Dataset | None:
        """Return the dataset if it is the one with this content address."""
        return self._whole if isinstance(self._whole, Dataset) and self._whole.digest == digest else None

    def split(self, name: str) -> tuple[Examples, tuple[str, ...]]:
        """Return the examples of a split, or of ``all``, and notes on them."""
        if name == ALL:
            return self._alone(name)
        given = self.raw.given()
        # Train and val lose what is also in a later split; which classes are rare depends on all splits.
        if name != TEST or name not in given or self.source.rare_classes is not None:
            if isinstance(self._whole, Dataset):
                return _splits_of(self._whole)[name], ()
            if name not in given or (name == "train" and len(given) < len(SPLITS)):
                raise self._whole  # it is carved, or others are carved from it
        return self._alone(name)

    def thresholds(self, evaluated: str) -> Examples | None:
        """Return the val examples that set decision thresholds."""
        if evaluated in (ALL, "val"):
            return None
        if isinstance(self._whole, Dataset):
            return self._whole.val
        return self._alone("val")[0] if "val" in self.raw.given() else None

    def _alone(self, name: str) -> tuple[Examples, tuple[str, ...]]:
        """Return the labelled examples of a split of the source, of which alone the items are decoded."""
        source = self.source
        table, _ = select_classes(tabulate(self.raw), source.classes)
        if name != ALL:
            table = _of_split(table, name, self.classes)
        table, notes = labelled(table)
        if not len(table.items):
            raise RequestError(f"the {name} split has no labelled examples of the classes", where=self.name)
        decoded = source.decode(table.items, table.names, self.on_load)
        check_broken(decoded, len(table.items), source)
        if broken := len(decoded.broken):
            notes += (f"Examples that cannot be decoded, left out: {broken}.",)
        table = table.keep(decoded.intact)
        pool = Pool.of(decoded.items, modality=source.modality)
        rows = np.arange(len(table.items), dtype=np.int64)
        examples = Examples(
            pool,
            rows,
            table.targets,
            table.classes,
            table.ids,
            table.groups,
            table.group_names,
            table.parents,
            wholes=table.wholes,
        )
        return (examples.joined() if source.joins_parts and name in (TEST, "val") else examples), notes


def _of_split(table: ExampleTable, name: str, classes: tuple[str, ...]) -> ExampleTable:
    """Return the examples of a split, without classes that only others have and a model does not know."""
    table = table.keep(table.parts == SPLITS.index(name))
    present = table.targets.counts > 0
    kept = np.flatnonzero(present | np.isin(table.classes, classes))
    return replace(
        table,
        targets=table.targets.of_classes(kept),
        classes=tuple(table.classes[label] for label in kept),
        parents=tuple(table.parents[label] for label in kept) if table.parents else (),
    )


def _splits_of(dataset: Dataset) -> Mapping[str, Examples]:
    return {"train": dataset.train, "val": dataset.val, **dataset.eval}
