"""Held-out identities: classes that are tested and never trained on, and lists of trials that verify them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices
from distillab.data.raw import regular_file
from distillab.data.targets import Identities, Labels
from distillab.errors import RequestError, unknown_name
from distillab.printable import counted, printable
from distillab.sources.source import Source
from distillab.sources.tabulated import LEFT_OUT, TEST, ExampleTable, some

_FIRST_PART = "#1"  # ends the name of the first segment of a recording
MOST_TRIALS = 5_000_000


@dataclass(frozen=True)
class HeldOut:
    """What is tested of the classes that are not trained on.

    Attributes:
        table: The examples. Those of held-out classes are in test or left out, all others are not in test.
            Held-out classes come last.
        given: Names of the splits that need not be carved.
        trials: int64 ``[T, 2]``, the ids of the examples of each trial; None for all pairs.
        notes: Sentences for the data report.
    """

    table: ExampleTable
    given: tuple[str, ...]
    trials: Indices | None = None
    notes: tuple[str, ...] = ()


def hold_out_classes(table: ExampleTable, source: Source, given: tuple[str, ...]) -> HeldOut:
    """Move the classes that a source holds out to the test set, or leave the table as it is.

    Classes are held out by ``unseen_classes``, or by ``trials``: then they are those of the examples that the
    list names. With a list, its examples are the test set; otherwise it is what the given test split has of
    these classes, or all of their examples where no test split is given. Other examples of held-out classes,
    and test examples of other classes, are left out.

    Raises:
        RequestError: An example has several labels, a class is unknown, fewer than two classes are held out
            or left, or the list of trials is wrong.
    """
    if source.unseen_classes is None and source.trials is None:
        return HeldOut(table, given)
    if not isinstance(table.targets, Labels):
        raise RequestError(
            f"classes are held out where an example has one class, and these have {table.targets.kind}",
            where="unseen_classes" if source.trials is None else "trials",
            allowed="labels",
        )
    trials = None if source.trials is None else read_trials(source.trials, table)
    unseen = _unseen(table, source, trials)
    order = np.concatenate([np.flatnonzero(~unseen), np.flatnonzero(unseen)])
    held = unseen[table.targets.values]
    if trials is not None:
        tested = np.isin(table.ids, trials)
        if table.wholes is not None:  # all parts of a listed recording
            tested = np.isin(table.wholes, table.wholes[tested])
    elif "test" in given:
        tested = held & (table.parts == TEST)
    else:
        tested = held
    parts = table.parts.copy()
    parts[(parts == TEST) | held] = LEFT_OUT
    parts[tested] = TEST
    _check_tested(table, unseen, tested)
    seen, classes = len(order) - int(unseen.sum()), len(order)
    table = replace(
        table,
        targets=Identities(table.targets.of_classes(order).values, classes),
        parts=parts,
        classes=tuple(table.classes[each] for each in order),
        parents=tuple(table.parents[each] for each in order) if table.parents else (),
        unseen=frozenset(range(seen, classes)),
    )
    left_out = int((parts == LEFT_OUT).sum())
    notes = (
        f"Classes that are tested and not trained on: {classes - seen} ({some(table.classes[seen:])}).",
        *([f"Examples of these classes or of the given test set, left out: {left_out:,}."] * (left_out > 0)),
    )
    return HeldOut(table, tuple(dict.fromkeys((*given, "test"))), trials, notes)


def identities_of(test: Examples, seen: int, trials: Indices | None) -> tuple[Examples, tuple[str, ...]]:
    """Return a test set whose classes are the held-out ones alone, with its trials, and notes.

    Args:
        test: The examples of held-out classes, labelled among all classes.
        seen: How many classes are trained on; they come first.
        trials: int64 ``[T, 2]``, the ids of the examples of each trial; None for all pairs.

    Raises:
        RequestError: No trial is left.
    """
    classes = test.classes[seen:]
    targets = Identities(test.targets.values - seen, len(classes))
    notes: tuple[str, ...] = ()
    if trials is not None:
        order = np.argsort(test.ids)
        places = np.searchsorted(test.ids[order], trials).clip(max=len(order) - 1)
        positions = order[places]
        intact = (test.ids[positions] == trials).all(axis=1)
        if not intact.any():
            raise RequestError("the examples of all trials were left out", where="trials")
        if not intact.all():
            notes = (f"Trials of examples that were left out: {int((~intact).sum()):,}.",)
        targets = replace(targets, trials=positions[intact].astype(np.int64))
    return replace(test, targets=targets, classes=classes, parents=test.parents[seen:]), notes


def read_trials(path: Path, table: ExampleTable) -> Indices:
    """Return the ids of the examples of each trial in a file, int64 ``[T, 2]``.

    A line holds ``1`` or ``0``, whether both are of one identity, and two names, separated by blanks, as in
    the lists of VoxCeleb (``1 id10270/5r0dWxy17C8/00001.wav id10270/8jEAjG6SegY/00008.wav``). A name is that
    of an example, which for files is their path below the folder of the source.

    Raises:
        RequestError: The file cannot be read; a line has another form, names an unknown file, the same one
            twice, or states the wrong identity. The line is named.
    """
    known = _ids_by_name(table)
    label_of = dict(zip(table.ids.tolist(), table.targets.values.tolist(), strict=True))
    pairs = []
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        written, *names = line.split()
        if written not in ("0", "1") or len(names) != 2:
            raise RequestError(
                f"{printable(line.strip()[:80])!r} is no trial", where=where, allowed="0 or 1 and two names"
            )
        for name in names:
            if name not in known:
                raise unknown_name("file", printable(name), known, where=where)
        first, second = (known[name] for name in names)
        if first == second:
            raise RequestError("a trial needs two different files", where=where)
        if (label_of[first] == label_of[second]) != (written == "1"):
            what = "the same identity" if written == "1" else "different identities"
            raise RequestError(
                f"the trial says {what}, and the files are of "
                f"{table.classes[label_of[first]]!r} and {table.classes[label_of[second]]!r}",
                where=where,
            )
        pairs.append((first, second))
        if len(pairs) > MOST_TRIALS:
            raise RequestError("there are too many trials", where=str(path), allowed=f"{MOST_TRIALS:,}")
    if not pairs:
        raise RequestError("there is no trial", where=str(path), allowed="lines of 0 or 1 and two names")
    return np.array(pairs, dtype=np.int64)


def _lines(path: Path) -> list[str]:
    try:
        return regular_file(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot be read as text: {error}", where=str(path)) from None


def _ids_by_name(table: ExampleTable) -> Mapping[str, int]:
    """Return the ids of examples by name; that of a recording is the one of its first segment."""
    if table.wholes is None:
        return dict(zip(table.names, table.ids.tolist(), strict=True))
    pairs = zip(table.names, table.ids.tolist(), strict=True)
    return {name.removesuffix(_FIRST_PART): each for name, each in pairs if name.endswith(_FIRST_PART)}


def _unseen(table: ExampleTable, source: Source, trials: Indices | None) -> npt.NDArray[np.bool_]:
    """Return which classes are held out, bool ``[classes]``."""
    names, wanted = table.classes, source.unseen_classes
    if wanted is None:
        assert trials is not None
        labels = table.targets.values[np.isin(table.ids, trials)]
        return np.isin(np.arange(len(names)), labels)
    if isinstance(wanted, int):
        return np.arange(len(names)) >= len(names) - wanted
    for name in wanted:
        if printable(name) not in names:
            unknown = unknown_name("class", name, names, where="unseen_classes")
            raise RequestError(unknown.what, where=unknown.where, allowed=some(names))
    return np.isin(np.array(names), [printable(name) for name in wanted])


def _check_tested(table: ExampleTable, unseen: npt.NDArray[np.bool_], tested: npt.NDArray[np.bool_]) -> None:
    """Raise RequestError unless two classes are tested, two are left, and no class is on both sides."""
    labels = table.targets.values
    if (~unseen).sum() < 2:
        raise RequestError(
            f"{counted(int((~unseen).sum()), 'class')} would be left to train on",
            where="unseen_classes",
            allowed="at least two",
        )
    if seen := np.unique(labels[tested & ~unseen[labels]]).tolist():
        raise RequestError(
            f"trials name examples of {table.classes[seen[0]]!r}, which is trained on",
            where="trials",
            allowed="trials of `unseen_classes` alone",
        )
    if len(np.unique(labels[tested])) < 2:
        raise RequestError(
            "fewer than two classes would be tested",
            where="unseen_classes",
            allowed="at least two with test examples",
        )
