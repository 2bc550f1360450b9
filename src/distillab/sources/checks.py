"""Checks of the examples of a source: classes, splits and groups that are wanted and possible."""

from __future__ import annotations

import numpy as np

from distillab.data.boxes import Boxes
from distillab.data.duplicates import SPLITS, Parts
from distillab.data.examples import Indices
from distillab.data.splits import check_enough, check_enough_groups, inseparable
from distillab.data.targets import Identities, Targets
from distillab.errors import RequestError
from distillab.modalities import Decoded
from distillab.sources.rare_classes import held_in_train
from distillab.sources.source import Source
from distillab.sources.tabulated import LISTED, TRAIN, ExampleTable, some


def check_classes(table: ExampleTable, given: tuple[str, ...]) -> tuple[str, ...]:
    """Check that every given split has examples of all classes: two or more, or one if targets are boxes.

    Returns:
        Notes on labels without examples in a given split, which label sets may have.

    Raises:
        RequestError: There are too few classes, or a split lacks one that it must have.
    """
    if len(table.classes) < 2 and not isinstance(table.targets, Boxes):
        raise RequestError(f"there is only one class, {some(table.classes)}", allowed="at least two classes")
    if table.unseen:  # checked when they were held out
        return ()
    in_train = table.counts(TRAIN) > 0
    notes: tuple[str, ...] = ()
    for name in given:
        here = table.counts(SPLITS.index(name)) > 0
        lacking = [table.classes[i] for i in np.flatnonzero(in_train & ~here & table.everywhere)]
        extra = [table.classes[i] for i in np.flatnonzero(here & ~in_train)]
        if not table.targets.complete:
            missing = [table.classes[i] for i in np.flatnonzero(~here)]
            notes += (f"Labels without an example in {name}: {some(missing)}.",) if missing else ()
        elif lacking or extra:
            what = f"train and {name} have different classes:"
            what += f" {name} lacks {some(lacking)}" if lacking else ""
            what += f"{' and' if lacking else ''} train lacks {some(extra)}" if extra else ""
            raise RequestError(
                what,
                allowed="the same classes in every split, `classes` to keep common ones, "
                f"`splits: {{{name}: null}}` to carve {name} from train, or `rare_classes`",
            )
    return notes


def check_groups(table: ExampleTable, source: Source) -> None:
    """Raise RequestError if splits are to be carved by group and there are no groups."""
    if source.split_by != "group":
        return
    if table.groups is None:
        raise RequestError(
            "examples do not have groups in every split",
            where="split_by",
            allowed="`split_by: image`, or a key of the source that gives groups, such as `group`",
        )


def check_broken(decoded: Decoded, total: int, source: Source) -> None:
    """Raise RequestError if examples cannot be decoded and are not to be left out."""
    if not decoded.broken or source.on_broken == "skip":
        return
    listed = "; ".join(f"{name} ({reason})" for name, reason in decoded.broken[:LISTED])
    more = f"; and {len(decoded.broken) - LISTED} more" if len(decoded.broken) > LISTED else ""
    raise RequestError(
        f"{len(decoded.broken)} of {total} examples cannot be decoded: {listed}{more}",
        allowed="intact examples, or `on_broken: skip` to leave them out",
    )


def check_emptied(left: ExampleTable, given: tuple[str, ...], why: str, allowed: str) -> None:
    """Raise RequestError if a given split has lost all examples, or all of a class that it must have."""
    for name in given:
        part = SPLITS.index(name)
        if not (left.parts == part).any():
            raise RequestError(f"all {name} examples {why}", allowed=allowed)
        emptied = (left.counts(part) == 0) & (left.everywhere | (part == TRAIN))
        if left.targets.complete and emptied.any():
            names = [left.classes[label] for label in np.flatnonzero(emptied)]
            noun = f"class{'es' if len(names) > 1 else ''} {some(names)}"
            raise RequestError(f"all {name} examples of {noun} {why}", allowed=allowed)


def check_carvable(table: ExampleTable, codes: Indices, source: Source, carved: tuple[str, ...]) -> None:
    """Check that every class has enough different examples, or groups, for train and the splits to carve.

    Args:
        table: The examples.
        codes: int64 ``[N]``, equal for identical items, as far as they are known.
        source: The source.
        carved: Names of the splits to be carved.

    Raises:
        RequestError: Classes have too few; all of them are named.
    """
    rows = np.flatnonzero((table.parts == TRAIN) & ~held_in_train(table, codes, source))
    needed = np.flatnonzero(table.everywhere)
    targets = table.targets.take(rows).of_classes(needed)
    if isinstance(targets, Identities):  # every class that is trained on must be in val too
        targets = targets.as_labels()
    classes = [table.classes[label] for label in needed]
    together = table.carved_together(source)
    if together is not None and carved:
        check_enough_groups(targets, inseparable(together[rows], codes[rows]), classes, carved)
    elif carved:
        check_enough(targets, codes[rows], classes, carved)


def check_both_sides(table: ExampleTable, name: str, sides: list[Targets]) -> None:
    """Raise RequestError if train or a split that was carved by group is empty or lacks a class."""
    if table.targets.complete:
        empty = np.flatnonzero((np.minimum(*(side.counts for side in sides)) == 0) & table.everywhere)
        what = f"class {table.classes[empty[0]]!r}" if empty.size else ""
    else:
        what = "" if all(len(side) for side in sides) else "examples"
    if what:
        raise RequestError(
            f"splitting by group or whole recording found no {name} split that holds, and leaves, {what}",
            where="split_by",
            allowed="more groups per class, another `split_seed`, or, of groups, `split_by: image`",
        )


def check_not_empty(parts: Parts, carved: str) -> None:
    """Raise RequestError if train or a split that was carved from it has no example.

    Args:
        parts: int8 ``[N]``, the split of each example.
        carved: The name of the split that was carved.
    """
    for name in (carved, SPLITS[TRAIN]):
        if not (parts == SPLITS.index(name)).any():
            raise RequestError(
                f"no example is left for {name} once {carved} is carved from train",
                allowed="more examples, or a split that the source has",
            )


def check_trainable(table: ExampleTable) -> None:
    """Raise RequestError if train has no example of a label of label sets, which then cannot be learned."""
    untrained = np.flatnonzero((table.counts(TRAIN) == 0) & table.everywhere)
    if table.targets.complete or not untrained.size:
        return
    names = [table.classes[label] for label in untrained]
    raise RequestError(
        f"train has no example of {len(names)} of {len(table.classes)} labels: {some(names)}",
        where="classes",
        allowed="labels that occur in train: `classes` with the others, or another `split_seed`",
    )
