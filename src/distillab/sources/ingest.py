"""Ingest: from a source to a dataset that is decoded, checked, free of leaks and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.dataset import DataReport, Dataset
from distillab.data.duplicates import SPLITS, Parts, content, count_across, leaks, repeats
from distillab.data.examples import Examples, Indices, Pool
from distillab.data.originals import Originals
from distillab.data.raw import Progress
from distillab.data.splits import carve, carve_groups, check_enough, check_enough_groups, inseparable
from distillab.data.targets import Targets
from distillab.errors import RequestError, unknown_name
from distillab.modalities import Decoded, modalities
from distillab.sources.source import RawSplits, Source

TRAIN, VAL, TEST = range(len(SPLITS))
_LISTED = 5  # names in a message


def load_dataset(
    source: Source,
    progress: Progress | None = None,
    on_files: Callable[[Sequence[Any], Sequence[str], Indices], None] | None = None,
) -> Dataset:
    """Read, decode, check and split a source.

    Every example gets an id: its position in the source, counted over train, val and test in the source's
    order before anything is left out. The id of an example hence does not depend on ``classes``, on broken
    examples or on duplicates, and neither does the split it is carved to (as long as its class is the same).

    Args:
        source: The source.
        progress: Called with (stage, done, total).
        on_files: Called with the items before decoding, their names and ids, of those that could be decoded.

    Raises:
        RequestError: The source cannot be read as requested; states what is wrong and what is allowed.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> dataset = load_dataset(Digits(classes=["0", "1"]))
        >>> len(dataset.train), len(dataset.val), len(dataset.eval["test"]), dataset.classes
        (259, 29, 72, ('0', '1'))
    """
    raw = source.read().without(source.unused_splits)
    table, notes = _select_classes(_tabulate(raw), source.classes)
    table, more = _labelled(table)
    notes += more
    given = tuple(raw.given())
    carved = tuple(name for name in ("test", "val") if name not in given)
    notes += _check_classes(table, given)
    _check_groups(table, source, carved)
    train = table.parts == TRAIN
    check_enough(table.targets_of(train), table.ids[train], table.classes, carved)

    decoded = source.decode(table.items, table.names, progress)
    _check_broken(decoded, len(table.items), source)
    table = table.keep(decoded.intact)
    if on_files:
        on_files(table.items, table.names, table.ids)
    _check_emptied(
        table, given, "are broken", "an intact example of every class in every split, or `classes`"
    )

    pool, codes = content(decoded.items, progress, modality=source.modality)
    counts = count_across(codes, table.parts)
    dropped = leaks(codes, table.parts) & (source.duplicates == "drop")
    why = "are also in a later split and would be dropped"
    _check_emptied(table.keep(~dropped), given, why, "splits without common examples, or `duplicates: keep`")
    parts = np.where(dropped, -1, table.parts).astype(np.int8)
    notes += _duplicate_notes(codes, table, parts, dropped) + _group_notes(table, source, given)
    _carve(parts, codes, table, source, carved)
    if source.duplicates == "keep":  # a carved test set may share examples with a given val set
        counts = count_across(codes, parts)

    splits = [_examples(pool, table, parts == part) for part in range(len(SPLITS))]
    report = DataReport(
        duplicates=counts,
        dropped_duplicates=int((dropped & (table.parts == TRAIN)).sum()),
        broken=tuple(name for name, _ in decoded.broken),
        carved=tuple(sorted(carved, reverse=True)),
        notes=raw.notes + notes,
        left_out=dict(raw.left_out),
    )
    return Dataset(
        source.dataset_name,
        splits[TRAIN],
        splits[VAL],
        {"test": splits[TEST]},
        report,
        statistics_of=modalities[source.modality].statistics,
        originals=None
        if decoded.originals is None
        else Originals(table.ids, decoded.originals, decoded.facts),
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """All examples of a source, one entry per column: arrays ``[N]``, targets and lists of N."""

    items: list[Any]
    names: list[str]
    targets: Targets
    ids: Indices
    parts: Parts
    groups: Indices | None
    classes: tuple[str, ...]
    group_names: tuple[str, ...]
    parents: tuple[str, ...]

    def targets_of(self, mask: npt.NDArray[np.bool_]) -> Targets:
        """Return the targets of the examples of the mask."""
        return self.targets.take(np.flatnonzero(mask))

    def counts(self, part: int) -> Indices:
        """Return the examples per class in one split, int64 ``[len(classes)]``."""
        return self.targets_of(self.parts == part).counts

    def keep(self, mask: npt.NDArray[np.bool_]) -> _Table:
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
        )


def _tabulate(raw: RawSplits) -> _Table:
    """Return the examples of all splits in one table, with ids."""
    splits = raw.given()
    for name, split in splits.items():
        if not len(split.items):
            raise RequestError(f"the {name} split has no examples")
    targets = [split.targets for split in splits.values()]
    joined = targets[0]
    for each in targets[1:]:
        joined = joined.joined(each)
    grouped = [split.groups for split in splits.values() if split.groups is not None]
    return _Table(
        items=[item for split in splits.values() for item in split.items],
        names=[name for split in splits.values() for name in split.names],
        targets=joined,
        ids=np.arange(len(joined), dtype=np.int64),
        parts=np.repeat(
            np.array([SPLITS.index(name) for name in splits], dtype=np.int8),
            [len(split.items) for split in splits.values()],
        ),
        groups=np.concatenate(grouped) if len(grouped) == len(splits) else None,
        classes=raw.classes,
        group_names=raw.group_names,
        parents=raw.parents,
    )


def _select_classes(table: _Table, wanted: list[str] | int | None) -> tuple[_Table, tuple[str, ...]]:
    """Keep the wanted classes that have examples, renumbered in label order; also return notes."""
    names = table.classes
    present = table.targets.counts > 0
    if isinstance(wanted, list):
        for name in wanted:
            if name not in names:
                unknown = unknown_name("class", name, names, where="classes")
                raise RequestError(unknown.what, where=unknown.where, allowed=_some(names))
        chosen = np.array([name in wanted for name in names])
    else:
        chosen = present.copy()
        if wanted is not None:
            if wanted > present.sum():
                raise RequestError(
                    f"{wanted} classes are requested", where="classes", allowed=f"2 to {present.sum()}"
                )
            chosen[np.flatnonzero(present)[wanted:]] = False
    notes: tuple[str, ...] = ()
    if empty := [names[i] for i in np.flatnonzero(~present)]:
        notes = (f"Classes without examples, left out: {len(empty)} ({_some(empty)}).",)
    kept = np.flatnonzero(chosen & present)
    table = table.keep(table.targets.belong_to(kept))
    return replace(
        table,
        targets=table.targets.of_classes(kept),
        classes=tuple(names[i] for i in kept),
        parents=tuple(table.parents[i] for i in kept) if table.parents else (),
    ), notes


def _labelled(table: _Table) -> tuple[_Table, tuple[str, ...]]:
    """Leave out the examples of which no label is known; also return notes."""
    unknown = int((~table.targets.labelled).sum())
    if not unknown:
        return table, ()
    return table.keep(table.targets.labelled), (f"Examples without a known label, left out: {unknown}.",)


def _check_classes(table: _Table, given: tuple[str, ...]) -> tuple[str, ...]:
    """Check that there are two classes or more and that every given split has examples of all of them.

    Returns:
        Notes on labels without examples in a given split, which label sets may have.

    Raises:
        RequestError: There are too few classes, or a split lacks one that it must have.
    """
    if len(table.classes) < 2:
        raise RequestError(f"there is only one class, {_some(table.classes)}", allowed="at least two classes")
    in_train = table.counts(TRAIN) > 0
    notes: tuple[str, ...] = ()
    for name in given:
        here = table.counts(SPLITS.index(name)) > 0
        lacking = [table.classes[i] for i in np.flatnonzero(in_train & ~here)]
        extra = [table.classes[i] for i in np.flatnonzero(here & ~in_train)]
        if not table.targets.complete:
            missing = [table.classes[i] for i in np.flatnonzero(~here)]
            notes += (f"Labels without an example in {name}: {_some(missing)}.",) if missing else ()
        elif lacking or extra:
            what = f"train and {name} have different classes:"
            what += f" {name} lacks {_some(lacking)}" if lacking else ""
            what += f"{' and' if lacking else ''} train lacks {_some(extra)}" if extra else ""
            raise RequestError(
                what, allowed="the same classes in every split, or `classes` to keep common ones"
            )
    return notes


def _check_groups(table: _Table, source: Source, carved: tuple[str, ...]) -> None:
    """Raise RequestError if splits are to be carved by group and that is impossible."""
    if source.split_by != "group":
        return
    if table.groups is None:
        raise RequestError(
            "examples do not have groups in every split",
            where="split_by",
            allowed="`split_by: image`, or a key of the source that gives groups, such as `group`",
        )
    train = table.parts == TRAIN
    check_enough_groups(table.targets_of(train), table.groups[train], table.classes, carved)


def _check_broken(decoded: Decoded, total: int, source: Source) -> None:
    """Raise RequestError if examples cannot be decoded and are not to be left out."""
    if not decoded.broken or source.on_broken == "skip":
        return
    listed = "; ".join(f"{name} ({reason})" for name, reason in decoded.broken[:_LISTED])
    more = f"; and {len(decoded.broken) - _LISTED} more" if len(decoded.broken) > _LISTED else ""
    raise RequestError(
        f"{len(decoded.broken)} of {total} examples cannot be decoded: {listed}{more}",
        allowed="intact examples, or `on_broken: skip` to leave them out",
    )


def _check_emptied(left: _Table, given: tuple[str, ...], why: str, allowed: str) -> None:
    """Raise RequestError if a given split has lost all examples, or all of a class that it must have."""
    for name in given:
        part = SPLITS.index(name)
        if not (left.parts == part).any():
            raise RequestError(f"all {name} examples {why}", allowed=allowed)
        if left.targets.complete and (emptied := np.flatnonzero(left.counts(part) == 0)).size:
            label = left.classes[emptied[0]]
            raise RequestError(f"all {name} examples of class {label!r} {why}", allowed=allowed)


def _duplicate_notes(
    codes: Indices, table: _Table, parts: Parts, dropped: npt.NDArray[np.bool_]
) -> tuple[str, ...]:
    """Return notes on duplicates that were dropped from val, or kept within train."""
    notes: tuple[str, ...] = ()
    if val_dropped := int((dropped & (table.parts == VAL)).sum()):
        notes += (f"Val examples that are also in test, left out: {val_dropped}.",)
    in_train = parts == TRAIN
    repeated, relabelled = repeats(codes[in_train], table.targets_of(in_train))
    if repeated:
        other = f" ({relabelled} of them with another label)" if relabelled else ""
        notes += (f"Train examples that repeat another, kept: {repeated}{other}.",)
    return notes


def _group_notes(table: _Table, source: Source, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return notes on groups in train and in another given split, if splits are to be by group."""
    notes: tuple[str, ...] = ()
    if source.split_by == "group" and table.groups is not None:
        for name in given[1:]:
            sides = [table.groups[table.parts == part] for part in (TRAIN, SPLITS.index(name))]
            if both := [table.group_names[group] for group in np.intersect1d(*sides)]:
                notes += (f"Groups in train and in the given {name}: {len(both)} ({_some(both)}).",)
    return notes


def _carve(parts: Parts, codes: Indices, table: _Table, source: Source, carved: tuple[str, ...]) -> None:
    """Move examples of train to the splits that the source does not have, test first; changes ``parts``."""
    train = parts == TRAIN
    by_group = table.groups if source.split_by == "group" else None
    if carved and by_group is not None:
        units = inseparable(by_group[train], codes[train])
        check_enough_groups(table.targets_of(train), units, table.classes, carved)
    elif carved:
        check_enough(table.targets_of(train), codes[train], table.classes, carved)
    for position, name in enumerate(carved):
        part = SPLITS.index(name)
        rows = np.flatnonzero(parts == TRAIN)
        columns = (table.targets_of(parts == TRAIN), table.ids[rows], codes[rows])
        leave = len(carved) - position  # one for train, and one for the split that follows
        share, keys = getattr(source, name), (source.split_seed, part)
        if by_group is None:
            mask = carve(*columns, share, *keys, leave=leave)
        else:
            mask = carve_groups(*columns, by_group[rows], share, *keys, leave=leave)
        parts[rows[mask]] = part
        if by_group is not None:
            left = [table.targets_of(parts == each) for each in (TRAIN, part)]
            _check_both_sides(table, name, left)


def _check_both_sides(table: _Table, name: str, sides: list[Targets]) -> None:
    """Raise RequestError if train or a split that was carved by group is empty or lacks a class."""
    if table.targets.complete:
        empty = np.flatnonzero(np.minimum(*(side.counts for side in sides)) == 0)
        what = f"class {table.classes[empty[0]]!r}" if empty.size else ""
    else:
        what = "" if all(len(side) for side in sides) else "examples"
    if what:
        raise RequestError(
            f"splitting by group found no {name} split that holds, and leaves, {what}",
            where="split_by",
            allowed="more groups per class, another `split_seed`, or `split_by: image`",
        )


def _examples(pool: Pool, table: _Table, mask: npt.NDArray[np.bool_]) -> Examples:
    rows = np.flatnonzero(mask).astype(np.int64)
    groups = None if table.groups is None else table.groups[rows]
    return Examples(
        pool,
        rows,
        table.targets_of(mask),
        table.classes,
        table.ids[rows],
        groups,
        table.group_names,
        table.parents,
    )


def _some(names: tuple[str, ...] | list[str]) -> str:
    """Return the first few names, and how many more there are."""
    listed = ", ".join(repr(name) for name in names[: 2 * _LISTED])
    return listed if len(names) <= 2 * _LISTED else f"{listed} and {len(names) - 2 * _LISTED} more"
