"""Rare classes: those with too few examples for every split, dropped, merged, or used for training alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from distillab.data.duplicates import SPLITS
from distillab.data.examples import Indices
from distillab.data.splits import different_units, inseparable
from distillab.errors import RequestError
from distillab.sources.source import Source
from distillab.sources.tabulated import LEFT_OUT, TRAIN, ExampleTable, some

OTHER = "other"
"""The class that rare classes are merged into."""


def settle_rare_classes(
    table: ExampleTable, codes: Indices, source: Source, given: Sequence[str]
) -> tuple[ExampleTable, tuple[str, ...]]:
    """Treat rare classes as a source states.

    A class is rare if train has fewer different examples of it (or fewer groups, if whole groups are carved)
    than there are splits to fill from train, or if a given split has none.

    Args:
        table: The examples; those that are left out of all splits do not count.
        codes: int64 ``[N]``, equal for identical items.
        source: The source, with its key ``rare_classes``.
        given: Names of the splits that the source has.

    Returns:
        The table with other classes, in which examples of dropped classes belong to no split, and notes.

    Raises:
        RequestError: Rare classes are to be treated where an example has several labels.
    """
    if source.rare_classes is None:
        return table, ()
    if table.unseen and source.rare_classes != "train":
        raise RequestError(
            "rare classes are neither dropped nor merged where other classes are held out",
            where="rare_classes",
            allowed="train, or `classes` without the rare ones",
        )
    if not table.targets.complete and source.rare_classes == "train":
        return table, ()  # a label of several need not occur in every split anyway
    if not table.targets.complete:
        raise RequestError(
            "no label is too rare where an example has several",
            where="rare_classes",
            allowed="classes of which each example has one, or `rare_classes: train`",
        )
    rare = _rare(table, codes, source, given)
    if not rare.any():
        return table, ()
    names = [table.classes[label] for label in np.flatnonzero(rare)]
    examples = int((table.targets_of(table.parts >= TRAIN)).counts[rare].sum())
    listed = f"{len(names)} ({some(names)}), {examples} example{'s' if examples != 1 else ''}"
    if source.rare_classes == "other":
        return _merged(table, rare), (f"Rare classes, merged into {OTHER!r}: {listed}.",)
    untrained = rare & (table.counts(TRAIN) == 0)
    if source.rare_classes == "drop" or (untrained == rare).all():
        return _dropped(table, rare), (f"Rare classes, left out: {listed}.",)
    return _train_only(table, rare, untrained), (f"Rare classes, used for training alone: {listed}.",)


def held_in_train(table: ExampleTable, codes: Indices, source: Source) -> npt.NDArray[np.bool_]:
    """Return which examples must not be carved, bool ``[N]``.

    These are the examples of classes that are used for training alone, and those that cannot be separated
    from them: identical ones, or those of the same groups if whole groups are carved.
    """
    if not table.train_only:
        return np.zeros(len(codes), dtype=np.bool_)
    units = codes
    together = table.carved_together(source)
    if together is not None:
        units = inseparable(together, codes)
    alone = table.targets.members[:, sorted(table.train_only)].any(axis=1) & (table.parts == TRAIN)
    return np.isin(units, units[alone])


def _rare(table: ExampleTable, codes: Indices, source: Source, given: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which classes are rare, bool ``[len(classes)]``."""
    train = table.parts == TRAIN
    needed = 1 + len(SPLITS) - len(given)
    together = table.carved_together(source)
    units = codes if together is None else inseparable(together, codes)
    whole = together is not None
    rare = different_units(table.targets_of(train), units[train], whole=whole) < needed
    for name in given:
        rare |= table.counts(SPLITS.index(name)) == 0
    return np.asarray(rare & table.everywhere)


def _dropped(table: ExampleTable, gone: npt.NDArray[np.bool_]) -> ExampleTable:
    """Return the table without some classes; their examples stay in it and belong to no split."""
    kept = np.flatnonzero(~gone)
    numbers = {int(label): number for number, label in enumerate(kept)}
    return replace(
        table,
        targets=table.targets.of_classes(kept),
        parts=np.where(table.targets.belong_to(kept), table.parts, LEFT_OUT).astype(np.int8),
        classes=tuple(table.classes[label] for label in kept),
        parents=tuple(table.parents[label] for label in kept) if table.parents else (),
        train_only=frozenset(numbers[label] for label in table.train_only if label in numbers),
    )


def _merged(table: ExampleTable, rare: npt.NDArray[np.bool_]) -> ExampleTable:
    """Return the table with some classes merged into one, which is the last unless it exists."""
    kept = [name for name, gone in zip(table.classes, rare, strict=True) if not gone]
    classes = kept if OTHER in kept else [*kept, OTHER]
    into = [classes.index(OTHER if gone else name) for name, gone in zip(table.classes, rare, strict=True)]
    parents = dict(zip(table.classes, table.parents, strict=False))
    return replace(
        table,
        targets=table.targets.merged(np.array(into, dtype=np.int64), len(classes)),
        classes=tuple(classes),
        parents=tuple(parents.get(name, OTHER) for name in classes) if table.parents else (),
    )


def _train_only(
    table: ExampleTable, rare: npt.NDArray[np.bool_], untrained: npt.NDArray[np.bool_]
) -> ExampleTable:
    """Return the table with rare classes in train alone, and without those that train does not have."""
    of_rare = table.targets.members[:, rare].any(axis=1)
    table = replace(
        table,
        parts=np.where(of_rare & (table.parts != TRAIN), LEFT_OUT, table.parts).astype(np.int8),
        train_only=table.train_only | {int(label) for label in np.flatnonzero(rare)},
    )
    return _dropped(table, untrained) if untrained.any() else table
