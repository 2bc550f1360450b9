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
from distillab.data.targets import Labels
from distillab.errors import RequestError, unknown_name
from distillab.modalities import Decoded, modalities
from distillab.sources.source import RawSplits, Source

TRAIN, VAL, TEST = range(len(SPLITS))
SHOWN = 5  # how many names a message lists


def load_dataset(
    source: Source,
    progress: Progress | None = None,
    on_files: Callable[[Sequence[Any], Sequence[str], Indices], None] | None = None,
) -> Dataset:
    """Read, decode, check and split a source.

    Every image gets an id: its position in the source, counted over train, val and test in the source's
    order before anything is left out. So the id of an image does not depend on ``classes``, on broken
    images or on duplicates, and neither does the side it is carved to (as long as its class is the same).

    Args:
        source: what to read.
        progress: called with (stage, done, total).
        on_files: called with the images before decoding, their names and ids, those that could be decoded.

    Raises:
        RequestError: what was asked cannot be done; says what is wrong and what is allowed.
    """
    raw = source.read()
    table, notes = _select_classes(_tabulate(raw), source.classes)
    given = tuple(raw.given())
    carved = tuple(name for name in ("test", "val") if name not in given)
    _check_classes(table, given)
    _check_groups(table, source, carved)
    check_enough(
        table.targets_of(table.parts == TRAIN), table.ids[table.parts == TRAIN], table.classes, carved
    )

    decoded = source.decode(table.items, table.names, progress)
    _check_broken(decoded, len(table.items), source)
    table = table.keep(decoded.intact)
    if on_files:
        on_files(table.items, table.names, table.ids)
    _check_emptied(table, given, "are broken", "an intact image of every class in every split, or `classes`")

    pool, codes = content(decoded.items, progress, modality=source.modality)
    counts = count_across(codes, table.parts)
    dropped = leaks(codes, table.parts) & (source.duplicates == "drop")
    why = "also stand in a later split and would be dropped"
    _check_emptied(table.keep(~dropped), given, why, "splits without common images, or `duplicates: keep`")
    parts = np.where(dropped, -1, table.parts).astype(np.int8)
    notes += _duplicate_notes(codes, table, parts, dropped) + _group_notes(table, source, given)
    _carve(parts, codes, table, source, carved)
    if source.duplicates == "keep":  # then a carved test set may hold images of a val set that was given
        counts = count_across(codes, parts)

    splits = [_image_set(pool, table, parts == part) for part in range(len(SPLITS))]
    report = DataReport(
        duplicates=counts,
        dropped_duplicates=int((dropped & (table.parts == TRAIN)).sum()),
        broken=tuple(name for name, _ in decoded.broken),
        carved=tuple(sorted(carved, reverse=True)),
        notes=raw.notes + notes,
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
    """All images of a source, one entry a column: int64 or int8 ``[N]`` arrays and lists of N."""

    items: list[Any]
    names: list[str]
    labels: Indices
    ids: Indices
    parts: Parts
    groups: Indices | None
    classes: tuple[str, ...]
    group_names: tuple[str, ...]
    parents: tuple[str, ...]

    def targets_of(self, mask: npt.NDArray[np.bool_]) -> Labels:
        """Return the targets of the examples of the mask."""
        return Labels(self.labels[mask], len(self.classes))

    def counts_of(self, mask: npt.NDArray[np.bool_]) -> Indices:
        """Images a class among those of the mask, int64 ``[len(classes)]``."""
        return np.bincount(self.labels[mask], minlength=len(self.classes)).astype(np.int64, copy=False)

    def counts(self, part: int) -> Indices:
        """Images a class in one split, int64 ``[len(classes)]``."""
        return self.counts_of(self.parts == part)

    def keep(self, mask: npt.NDArray[np.bool_]) -> _Table:
        if mask.all():
            return self
        kept = np.flatnonzero(mask)
        return replace(
            self,
            items=[self.items[i] for i in kept],
            names=[self.names[i] for i in kept],
            labels=self.labels[kept],
            ids=self.ids[kept],
            parts=self.parts[kept],
            groups=None if self.groups is None else self.groups[kept],
        )


def _tabulate(raw: RawSplits) -> _Table:
    """All splits of a source below each other, with ids."""
    splits = raw.given()
    for name, split in splits.items():
        if not len(split.items):
            raise RequestError(f"the {name} split holds no image")
    total = sum(len(split.items) for split in splits.values())
    grouped = [split.groups for split in splits.values() if split.groups is not None]
    return _Table(
        items=[item for split in splits.values() for item in split.items],
        names=[name for split in splits.values() for name in split.names],
        labels=np.concatenate([split.labels for split in splits.values()]),
        ids=np.arange(total, dtype=np.int64),
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
    """Only the wanted classes, without those that have no image at all; relabelled in label order."""
    names = table.classes
    present = np.bincount(table.labels, minlength=len(names)) > 0
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
                    f"{wanted} classes are asked for", where="classes", allowed=f"2 to {present.sum()}"
                )
            chosen[np.flatnonzero(present)[wanted:]] = False
    notes: tuple[str, ...] = ()
    if empty := [names[i] for i in np.flatnonzero(~present)]:
        notes = (f"{len(empty)} classes of the source have no image and were left out: {_some(empty)}.",)
    chosen &= present
    table = table.keep(chosen[table.labels])
    new_label = np.cumsum(chosen) - 1
    kept = tuple(names[i] for i in np.flatnonzero(chosen))
    parents = tuple(table.parents[i] for i in np.flatnonzero(chosen)) if table.parents else ()
    labels = new_label[table.labels].astype(np.int64)
    return replace(table, labels=labels, classes=kept, parents=parents), notes


def _check_classes(table: _Table, given: tuple[str, ...]) -> None:
    """Raise RequestError unless there are two classes or more and every given split holds all of them."""
    if len(table.classes) < 2:
        raise RequestError(f"there is one class only, {_some(table.classes)}", allowed="at least two classes")
    in_train = table.counts(TRAIN) > 0
    for name in given:
        here = table.counts(SPLITS.index(name)) > 0
        if (here == in_train).all():
            continue
        lacking = [table.classes[i] for i in np.flatnonzero(in_train & ~here)]
        strange = [table.classes[i] for i in np.flatnonzero(here & ~in_train)]
        what = f"train and {name} hold different classes:"
        what += f" {name} lacks {_some(lacking)}" if lacking else ""
        what += f"{' and' if lacking else ''} train lacks {_some(strange)}" if strange else ""
        raise RequestError(what, allowed="the same classes in every split, or `classes` to keep common ones")


def _check_groups(table: _Table, source: Source, carved: tuple[str, ...]) -> None:
    """Raise RequestError if splits are to be carved by group and cannot be."""
    if source.split_by != "group":
        return
    if table.groups is None:
        raise RequestError(
            "images have no groups in every split",
            where="split_by",
            allowed="`split_by: image`, or a source's key that tells groups, such as `group`",
        )
    train = table.parts == TRAIN
    check_enough_groups(table.targets_of(train), table.groups[train], table.classes, carved)


def _check_broken(decoded: Decoded, total: int, source: Source) -> None:
    if not decoded.broken or source.on_broken == "skip":
        return
    listed = "; ".join(f"{name} ({reason})" for name, reason in decoded.broken[:SHOWN])
    more = f"; and {len(decoded.broken) - SHOWN} more" if len(decoded.broken) > SHOWN else ""
    raise RequestError(
        f"{len(decoded.broken)} of {total} images cannot be decoded: {listed}{more}",
        allowed="intact images, or `on_broken: skip` to leave them out",
    )


def _check_emptied(left: _Table, given: tuple[str, ...], why: str, allowed: str) -> None:
    """Raise RequestError if a given split has lost all images of a class, and say why."""
    for name in given:
        if (emptied := np.flatnonzero(left.counts(SPLITS.index(name)) == 0)).size:
            label = left.classes[emptied[0]]
            raise RequestError(f"all {name} images of class {label!r} {why}", allowed=allowed)


def _duplicate_notes(
    codes: Indices, table: _Table, parts: Parts, dropped: npt.NDArray[np.bool_]
) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if val_dropped := int((dropped & (table.parts == VAL)).sum()):
        notes += (f"{val_dropped} val images that also stand in test were left out.",)
    in_train = parts == TRAIN
    repeated, relabelled = repeats(codes[in_train], table.targets_of(in_train))
    if repeated:
        other = f", {relabelled} of them under another label" if relabelled else ""
        notes += (f"{repeated} train images repeat another train image{other}; they were kept.",)
    return notes


def _group_notes(table: _Table, source: Source, given: tuple[str, ...]) -> tuple[str, ...]:
    """Which groups stand on both sides of a split that the source has, if splits are to be by group."""
    notes: tuple[str, ...] = ()
    if source.split_by == "group" and table.groups is not None:
        for name in given[1:]:
            sides = [table.groups[table.parts == part] for part in (TRAIN, SPLITS.index(name))]
            if both := [table.group_names[group] for group in np.intersect1d(*sides)]:
                notes += (f"{len(both)} groups stand in train and in the given {name}: {_some(both)}.",)
    return notes


def _carve(parts: Parts, codes: Indices, table: _Table, source: Source, carved: tuple[str, ...]) -> None:
    """Move images of train to the splits that the source does not have, test first; changes ``parts``."""
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
        leave = len(carved) - position  # one for train, and one for the split that is still to come
        share, keys = getattr(source, name), (source.split_seed, part)
        if by_group is None:
            mask = carve(*columns, share, *keys, leave=leave)
        else:
            mask = carve_groups(*columns, by_group[rows], share, *keys, leave=leave)
        parts[rows[mask]] = part
        if by_group is not None:
            left = [table.counts_of(parts == each) for each in (TRAIN, part)]
            _check_both_sides(table, name, left)


def _check_both_sides(table: _Table, name: str, counts: list[Indices]) -> None:
    """Raise RequestError if a class is missing in train or in a split that was carved by group."""
    if (empty := np.flatnonzero(np.minimum(*counts) == 0)).size:
        label = table.classes[empty[0]]
        raise RequestError(
            f"splitting by group found no {name} split that holds, and leaves, class {label!r}",
            where="split_by",
            allowed="more groups a class, another `split_seed`, or `split_by: image`",
        )


def _image_set(pool: Pool, table: _Table, mask: npt.NDArray[np.bool_]) -> Examples:
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
    """The first few names, and how many more there are."""
    listed = ", ".join(repr(name) for name in names[: 2 * SHOWN])
    return listed if len(names) <= 2 * SHOWN else f"{listed} and {len(names) - 2 * SHOWN} more"
