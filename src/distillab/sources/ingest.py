"""Ingest: from a source to a dataset that is decoded, checked, free of leaks and split."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.dataset import DataReport, Dataset
from distillab.data.duplicates import SPLITS, Parts, content, count_across, leaks, repeats
from distillab.data.examples import IMAGE, Examples, Indices, Pool
from distillab.data.group_rule import group_note
from distillab.data.label_boxes import ImageLabelBoxes
from distillab.data.originals import Originals
from distillab.data.raw import Progress
from distillab.data.splits import carve, carve_groups
from distillab.data.targets import Labels
from distillab.errors import DiskFullError, RequestError
from distillab.modalities import Decoded, modalities
from distillab.printable import printable
from distillab.sources.changes import first_path
from distillab.sources.checks import (
    check_both_sides,
    check_broken,
    check_carvable,
    check_classes,
    check_emptied,
    check_groups,
    check_not_empty,
    check_trainable,
)
from distillab.sources.folder_tree import describe_left_out
from distillab.sources.held_out import hold_out_classes, identities_of
from distillab.sources.near_copies import near_leaks
from distillab.sources.rare_classes import held_in_train, settle_rare_classes
from distillab.sources.source import RawSplits, Source
from distillab.sources.tabulated import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    ExampleTable,
    labelled,
    select_classes,
    some,
    tabulate,
)


@contextlib.contextmanager
def reading_source(source: Source) -> Iterator[None]:
    """Raise RequestError, with the name of the source, for whatever its readers raise in the block.

    Readers state what is wrong with files of the usual kinds. Files that are made to be wrong can make
    parsers raise errors of any type, and no list of them is complete.

    Example:
        >>> from distillab.sources.npz import Npz
        >>> with reading_source(Npz(path="photos.npz")):
        ...     raise ZeroDivisionError("division by zero")
        Traceback (most recent call last):
        distillab.errors.RequestError: ...photos.npz: cannot be read (ZeroDivisionError: division by zero)
    """
    try:
        yield
    except (RequestError, DiskFullError):
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        where = str(first_path(source) or source.dataset_name)
        raise RequestError(f"cannot be read ({type(error).__name__}: {first})", where=where) from error


@contextlib.contextmanager
def _naming_files(source: Source) -> Iterator[None]:
    """Give errors that name no place the first file or folder of the source as their place."""
    try:
        yield
    except RequestError as error:
        path = first_path(source)
        if error.where or path is None:
            raise
        raise error.within(str(path)) from error


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
    with _naming_files(source):
        return _loaded(source, progress, on_files)


def _loaded(
    source: Source,
    progress: Progress | None,
    on_files: Callable[[Sequence[Any], Sequence[str], Indices], None] | None,
) -> Dataset:
    raw = _read(source)
    table, notes = select_classes(tabulate(raw), source.classes)
    table, more = labelled(table)
    notes += more
    held = hold_out_classes(table, source, tuple(raw.given()))
    table, given, notes = held.table, held.given, notes + held.notes
    carved = tuple(name for name in ("test", "val") if name not in given)
    table, more = settle_rare_classes(table, table.ids, source, given)
    table = table.keep(table.parts != LEFT_OUT)
    notes += more + check_classes(table, given)
    check_groups(table, source)
    check_carvable(table, table.ids, source, carved)

    decoded = source.decode(table.items, table.names, progress)
    check_broken(decoded, len(table.items), source)
    table = table.keep(decoded.intact)
    if on_files:
        on_files(table.items, table.names, table.ids)
    if source.rare_classes is None:
        allowed = "an intact example of every class in every split, or `classes`"
        check_emptied(table, given, "are broken", allowed)
    pool, codes = content(decoded.items, progress, modality=source.modality)
    table, found, more = _without_leaks(table, codes, source, given)
    notes += more
    table = _carved(table, codes, source, carved)
    if source.exact_duplicates == "keep":  # a carved test set may share examples with a given val set
        found = replace(found, duplicates=count_across(codes, table.parts))
    table, splits, more = _without_near_copies(table, _splits(pool, table), source, progress)
    notes += more
    if source.joins_parts:
        splits[VAL], splits[TEST] = splits[VAL].joined(), splits[TEST].joined()
    splits, more = _with_identities(splits, table, held.trials)
    notes += more + _group_notes(table, source)
    check_trainable(table)
    report = replace(
        found,
        broken=tuple(name for name, _ in decoded.broken),
        carved=tuple(sorted(carved, reverse=True)),
        notes=describe_left_out(raw.left_out) + raw.notes + decoded.notes + notes,
        left_out=dict(raw.left_out),
    )
    return Dataset(
        printable(source.dataset_name),
        splits[TRAIN],
        splits[VAL],
        {"test": splits[TEST]},
        report,
        statistics_of=modalities[source.modality].statistics,
        originals=_originals(table, decoded),
        copies=_copies(table, codes) if "val" in carved else {},
        names_of=partial(names_in, source),
        boxes=_boxes(table, source),
    )


def _read(source: Source) -> RawSplits:
    with reading_source(source):
        return source.read().without(source.unused_splits)


def _originals(table: ExampleTable, decoded: Decoded) -> Originals | None:
    return None if decoded.originals is None else Originals(table.ids, decoded.originals, decoded.facts)


def names_in(source: Source) -> tuple[Indices, Sequence[str]]:
    """Return the ids of the examples of a source and their names. Decodes nothing.

    Args:
        source: The source.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> ids, names = names_in(Digits())
        >>> ids[:2].tolist(), names[:2]
        ([0, 1], ['digits[0]', 'digits[1]'])
    """
    table = tabulate(source.read().without(source.unused_splits))
    return table.ids, table.names


def _boxes(table: ExampleTable, source: Source) -> ImageLabelBoxes:
    """Return the boxes of the examples of a table, of labels that it has."""
    found = {printable(name): boxes for name, boxes in source.boxes().items()}
    by_id = {
        int(example): tuple(box for box in found.get(name, ()) if box.label in table.classes)
        for example, name in zip(table.ids, table.names, strict=True)
    }
    return {example: boxes for example, boxes in by_id.items() if boxes}


def _without_leaks(
    table: ExampleTable, codes: Indices, source: Source, given: tuple[str, ...]
) -> tuple[ExampleTable, DataReport, tuple[str, ...]]:
    """Return the table without examples that are also in a later split, what was found, and notes."""
    counts = count_across(codes, table.parts)
    dropped = leaks(codes, table.parts) & (source.exact_duplicates == "drop")
    left = replace(table, parts=np.where(dropped, LEFT_OUT, table.parts).astype(np.int8))
    before = left
    left, notes = settle_rare_classes(left, codes, source, given)
    why = "are also in a later split and would be dropped"
    check_emptied(left, given, why, "splits without common examples, or `duplicates: keep`")
    notes += _duplicate_notes(codes, table, before.parts, dropped)
    _check_given_groups(table, source, given)
    found = DataReport(counts, dropped_duplicates=int((dropped & (table.parts == TRAIN)).sum()))
    return left, found, notes


def _duplicate_notes(
    codes: Indices, table: ExampleTable, parts: Parts, dropped: npt.NDArray[np.bool_]
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


def _check_given_groups(table: ExampleTable, source: Source, given: tuple[str, ...]) -> None:
    """Raise RequestError if splits are to be by group, and given ones share groups."""
    if source.split_by == "group" and table.groups is not None:
        for name in given[1:]:
            if both := _common_groups(table, name):
                raise RequestError(
                    f"groups in train and in the given {name}: {len(both)} ({some(both)})",
                    where="split_by",
                    allowed="given splits without common groups, or `split_by: image`",
                )


def _group_notes(table: ExampleTable, source: Source) -> tuple[str, ...]:
    """Return a note on groups in train and in test, if splits are not by group."""
    if source.split_by == "group" or table.groups is None:
        return ()
    both = _common_groups(table, "test")
    keep = "`split_by: group` keeps them apart"
    return (f"Groups in train and in test: {len(both)} ({some(both)}); {keep}.",) if both else ()


def _common_groups(table: ExampleTable, name: str) -> list[str]:
    assert table.groups is not None
    sides = [table.groups[table.parts == part] for part in (TRAIN, SPLITS.index(name))]
    return [table.group_names[group] for group in np.intersect1d(*sides)]


def _carved(table: ExampleTable, codes: Indices, source: Source, carved: tuple[str, ...]) -> ExampleTable:
    """Return the table with examples of train moved to the splits that the source lacks, test first."""
    parts = table.parts.copy()
    together = table.carved_together(source)
    check_carvable(table, codes, source, carved)
    for position, name in enumerate(carved):
        part = SPLITS.index(name)
        rows = np.flatnonzero((parts == TRAIN) & ~held_in_train(table, codes, source))
        columns = (table.targets.take(rows), table.ids[rows], codes[rows])
        leave = len(carved) - position  # one for train, and one for the split that follows
        share, keys = getattr(source, name), (source.split_seed, part)
        if together is None:
            mask = carve(*columns, share, *keys, leave=leave)
        else:
            mask = carve_groups(*columns, together[rows], share, *keys, leave=leave)
        parts[rows[mask]] = part
        if together is not None:
            check_both_sides(table, name, [table.targets_of(parts == each) for each in (TRAIN, part)])
        check_not_empty(parts, name)
    return replace(table, parts=parts)


def _copies(table: ExampleTable, codes: Indices) -> dict[int, int]:
    """Return the id of the first identical example by id, of the train and val examples that repeat one."""
    rows = np.flatnonzero((table.parts == TRAIN) | (table.parts == VAL))
    _, first, inverse = np.unique(codes[rows], return_index=True, return_inverse=True)
    ids = table.ids[rows]
    origin = ids[first][inverse]
    repeated = origin != ids
    return dict(zip(ids[repeated].tolist(), origin[repeated].tolist(), strict=True))


def _without_near_copies(
    table: ExampleTable, splits: list[Examples], source: Source, progress: Progress | None
) -> tuple[ExampleTable, list[Examples], tuple[str, ...]]:
    """Return the table and its splits without near copies of images of a later split, and notes."""
    if source.near_copies != "drop":
        return table, splits, ()
    if source.modality != IMAGE:
        raise RequestError(
            f"near copies are found among images, and these are {source.modality} examples",
            where="duplicates.near",
            allowed="keep",
        )
    gone = near_leaks(splits[TRAIN], splits[VAL], splits[TEST], progress)
    parts = table.parts.copy()
    for part, mask in enumerate(gone):
        parts[np.flatnonzero(table.parts == part)[mask]] = LEFT_OUT
    table = replace(table, parts=parts)
    why = "have near copies in a later split and would be dropped"
    check_emptied(table, SPLITS, why, "splits without common images, or `duplicates: {near: keep}`")
    counted = ", ".join(f"{int(mask.sum()):,} of {SPLITS[part]}" for part, mask in enumerate(gone))
    note = f"Images with a near copy in a later split, left out: {counted}."
    return table, _splits(splits[TRAIN].pool, table), (note,)


def _splits(pool: Pool, table: ExampleTable) -> list[Examples]:
    return [_examples(pool, table, table.parts == part) for part in range(len(SPLITS))]


def _with_identities(
    splits: list[Examples], table: ExampleTable, trials: Indices | None
) -> tuple[list[Examples], tuple[str, ...]]:
    """Return splits of which test alone has the held-out classes, if there are any, and train and val the
    others; and notes on what a group tells of the class."""
    if not table.unseen:
        return splits, group_note(splits[TRAIN], splits[TEST])
    seen = np.flatnonzero(~np.isin(np.arange(len(table.classes)), list(table.unseen)))
    train, val = (
        replace(each, targets=Labels(each.labels, len(table.classes))).of_classes(seen)
        for each in (splits[TRAIN], splits[VAL])
    )
    test, notes = identities_of(splits[TEST], len(seen), trials)
    return [train, val, test], notes


def _examples(pool: Pool, table: ExampleTable, mask: npt.NDArray[np.bool_]) -> Examples:
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
        wholes=None if table.wholes is None else table.wholes[rows],
    )
