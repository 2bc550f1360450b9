"""The examples of a source in one table, before they are decoded: ids, splits, classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.duplicates import SPLITS, Parts
from distillab.data.examples import Indices
from distillab.data.targets import Targets
from distillab.errors import RequestError, unknown_name
from distillab.printable import printable
from distillab.sources.source import RawSplits, Source

TRAIN, VAL, TEST = range(len(SPLITS))
LEFT_OUT = -1  # in place of a split
LISTED = 5  # names in a message


@dataclass(frozen=True, eq=False)
class ExampleTable:
    """All examples of a source, one entry per column: arrays ``[N]``, targets and lists of N.

    Attributes:
        wholes: The number of what each example is a part of, if examples are parts.
        train_only: Labels of the classes that need not be in val and test.
        unseen: Labels of the classes that are tested and not trained on, the last ones.
    """

    items: list[Any]
    names: list[str]
    targets: Targets
    ids: Indices
    parts: Parts
    groups: Indices | None
    classes: tuple[str, ...]
    group_names: tuple[str, ...]
    parents: tuple[str, ...]
    wholes: Indices | None = None
    train_only: frozenset[int] = field(default=frozenset())
    unseen: frozenset[int] = field(default=frozenset())

    @property
    def everywhere(self) -> npt.NDArray[np.bool_]:
        """Which classes every split must have, bool ``[len(classes)]``."""
        return ~np.isin(np.arange(len(self.classes)), list(self.train_only | self.unseen))

    def targets_of(self, mask: npt.NDArray[np.bool_]) -> Targets:
        """Return the targets of the examples of the mask."""
        return self.targets.take(np.flatnonzero(mask))

    def counts(self, part: int) -> Indices:
        """Return the examples per class in one split, int64 ``[len(classes)]``."""
        return self.targets_of(self.parts == part).counts

    def keep(self, mask: npt.NDArray[np.bool_]) -> ExampleTable:
        """Return the examples of the mask."""
        if mask.all():
            return self
        kept = np.flatnonzero(mask)
        return replace(
            self,
            items=[self.items[i] for i in kept],
            names=[self.names[i] for i in kept],
            targets=self.targets.take(kept),
            ids=self.ids[kept],
            parts=self.parts[kept],
            groups=None if self.groups is None else self.groups[kept],
            wholes=None if self.wholes is None else self.wholes[kept],
        )

    def carved_together(self, source: Source) -> Indices | None:
        """Return what is carved as a whole, int64 ``[N]``: groups, or else what examples are parts of.

        None if single examples are carved.
        """
        return self.groups if source.split_by == "group" else self.wholes


def tabulate(raw: RawSplits) -> ExampleTable:
    """Return the examples of all splits in one table, with ids.

    Raises:
        RequestError: A split has no examples, or two names become the same once they are safe to show.
    """
    splits = raw.given()
    for name, split in splits.items():
        if not len(split.items):
            raise RequestError(f"the {name} split has no examples")
    targets = [split.targets for split in splits.values()]
    joined = targets[0]
    for each in targets[1:]:
        joined = joined.joined(each)
    grouped = [split.groups for split in splits.values() if split.groups is not None]
    wholes = [split.wholes for split in splits.values() if split.wholes is not None]
    return ExampleTable(
        items=[item for split in splits.values() for item in split.items],
        names=[printable(name) for split in splits.values() for name in split.names],
        targets=joined,
        ids=np.arange(len(joined), dtype=np.int64),
        parts=np.repeat(
            np.array([SPLITS.index(name) for name in splits], dtype=np.int8),
            [len(split.items) for split in splits.values()],
        ),
        groups=np.concatenate(grouped) if len(grouped) == len(splits) else None,
        classes=_shown(raw.classes, "classes"),
        group_names=_shown(raw.group_names, "groups"),
        parents=tuple(map(printable, raw.parents)),
        wholes=np.concatenate(wholes) if wholes else None,
    )


def select_classes(
    table: ExampleTable, wanted: list[str] | int | None
) -> tuple[ExampleTable, tuple[str, ...]]:
    """Keep the wanted classes that have examples, renumbered in label order; also return notes.

    Args:
        table: The examples.
        wanted: Names of classes, or the number of the first classes that have examples; None for all.

    Raises:
        RequestError: A name is not that of a class, or there are fewer classes.
    """
    names = table.classes
    present = table.targets.counts > 0
    if isinstance(wanted, list):
        wanted = [printable(name) for name in wanted]
        for name in wanted:
            if name not in names:
                unknown = unknown_name("class", name, names, where="classes")
                raise RequestError(unknown.what, where=unknown.where, allowed=some(names))
        chosen = np.array([name in wanted for name in names])
    else:
        chosen = present.copy()
        if wanted is not None:
            if wanted > present.sum():
                raise RequestError(
                    f"{wanted} classes are requested", where="classes", allowed=f"2 to {present.sum()}"
                )
            chosen[np.flatnonzero(present)[wanted:]] = False
    if not (chosen & present).any():
        raise RequestError("no example has a class or a label", allowed="at least one example of a class")
    notes: tuple[str, ...] = ()
    if empty := [names[i] for i in np.flatnonzero(~present)]:
        notes = (f"Classes without examples, left out: {len(empty)} ({some(empty)}).",)
    kept = np.flatnonzero(chosen & present)
    table = table.keep(table.targets.belong_to(kept))
    return replace(
        table,
        targets=table.targets.of_classes(kept),
        classes=tuple(names[i] for i in kept),
        parents=tuple(table.parents[i] for i in kept) if table.parents else (),
    ), notes


def labelled(table: ExampleTable) -> tuple[ExampleTable, tuple[str, ...]]:
    """Leave out the examples of which no label is known; also return notes."""
    unknown = int((~table.targets.labelled).sum())
    if not unknown:
        return table, ()
    return table.keep(table.targets.labelled), (f"Examples without a known label, left out: {unknown}.",)


def _shown(names: tuple[str, ...], noun: str) -> tuple[str, ...]:
    """Return names that are safe to show, wherever they end up.

    Raises:
        RequestError: Two names become the same.
    """
    shown = tuple(map(printable, names))
    if len(set(shown)) < len(set(names)):
        same = next(name for name in shown if shown.count(name) > 1)
        raise RequestError(
            f"two {noun} are shown as {same!r}",
            allowed="names that differ in more than bytes that are no text",
        )
    return shown


def some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    listed = ", ".join(repr(name) for name in names[: 2 * LISTED])
    return listed if len(names) <= 2 * LISTED else f"{listed} and {len(names) - 2 * LISTED} more"
