"""Labels as sources have them: numbers, names, lists of names, or one 0/1 column per label."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distillab.data.examples import Indices
from distillab.data.targets import UNLABELLED, Labels, LabelSets
from distillab.errors import RequestError
from distillab.sources.columns import is_list

AnyArray = npt.NDArray[np.generic]
LabelList = Sequence[str | int] | None
Blank = Literal["zeros", "ignore"]

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_INDICATORS = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "-1": -1, "-1.0": -1}


def natural_key(name: str) -> tuple[bool, float, str]:
    """Return a key that sorts names that are numbers by value, before other names by character.

    Example:
        >>> sorted(["10", "2", "1", "none"], key=natural_key)
        ['1', '2', '10', 'none']
    """
    number = _NUMBER.fullmatch(name) is not None
    return not number, float(name) if number else 0.0, name


def encode_categories(
    values: Mapping[str, AnyArray], names: Sequence[str] | None, where: str
) -> tuple[tuple[str, ...], dict[str, Indices]]:
    """Return the names of categories, and the category of each example of each split.

    Args:
        values: The values of each split, ``[N]`` or ``[N, 1]``: whole numbers, names, or booleans.
        names: Names in the order of the numbers, if the source knows them; else the sorted values are used.
        where: The place of the values, for messages.

    Returns:
        Names, and int64 ``[N]`` by split.

    Raises:
        RequestError: A value is missing, fractional or negative, or has no name.

    Example:
        >>> names, codes = encode_categories({"train": np.array(["b", "a", "b"])}, None, "labels")
        >>> names, codes["train"]
        (('a', 'b'), array([1, 0, 1]))
    """
    flat = {split: _flat(array, f"{where}: {split}") for split, array in values.items()}
    numeric = {array.dtype.kind in "iu" for array in flat.values()}
    if len(numeric) > 1:
        raise RequestError("labels are numbers in one split and names in another", where=where)
    if names is not None and numeric == {True}:
        if len(set(names)) < len(names):
            raise RequestError("two classes have the same name", where=where)
        for split, array in flat.items():
            _check_range(array, len(names), f"{where}: {split}")
        return tuple(names), {split: array.astype(np.int64) for split, array in flat.items()}
    if numeric == {True}:
        for split, array in flat.items():
            _check_range(array, None, f"{where}: {split}")
    found = np.unique(np.concatenate(list(flat.values())))
    labels = {split: np.searchsorted(found, array).astype(np.int64) for split, array in flat.items()}
    return tuple(str(value) for value in found), labels


def encode_labels(
    values: Mapping[str, AnyArray], names: Sequence[str] | None, where: str
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Return class names and the labels of all splits; see :func:`encode_categories`.

    Classes whose names are numbers are sorted by value.

    Args:
        values: As for :func:`encode_categories`, like the next two.
        names: Names in the order of the numbers, if the source knows them.
        where: The place of the labels, for messages.

    Raises:
        RequestError: No example of val or test has a label, or :func:`encode_categories` refuses one.
    """
    for split, array in values.items():
        if split != "train" and array.ndim == 1 and len(array) and all(map(_is_blank, array.tolist())):
            raise without_labels(split, len(array), where)
    classes, codes = _by_value(*encode_categories(values, names, where), names)
    return classes, {split: Labels(array, len(classes)) for split, array in codes.items()}


def _by_value(
    found: tuple[str, ...], codes: dict[str, Indices], names: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, Indices]]:
    """Return categories with names that are numbers sorted by value, unless the source states an order."""
    order = sorted(range(len(found)), key=lambda code: natural_key(found[code]))
    if names is not None or order == list(range(len(found))):
        return found, codes
    rank = np.argsort(order).astype(np.int64)
    return tuple(found[code] for code in order), {split: rank[array] for split, array in codes.items()}


def encode_label_lists(
    lists: Mapping[str, Sequence[LabelList]], names: Sequence[str] | None, blank: Blank, where: str
) -> tuple[tuple[str, ...], dict[str, LabelSets]]:
    """Return class names and the label sets of all splits, from a list of labels per example.

    Args:
        lists: N lists of names or numbers per split; None if the list of an example is missing.
        names: Class names in the order of the numbers, if the source knows them; else the sorted values.
        blank: Whether a missing list means no label (``zeros``) or unknown labels (``ignore``).
        where: The place of the labels, for messages.

    Raises:
        RequestError: No example has a label, or a label is negative or has no name.

    Example:
        >>> classes, sets = encode_label_lists({"train": [["b"], ["a", "b"], []]}, None, "zeros", "labels")
        >>> classes, sets["train"].values.tolist()
        (('a', 'b'), [[0, 1], [1, 1], [0, 0]])
    """
    flat = {split: np.array(list(chain(*(each or () for each in some)))) for split, some in lists.items()}
    given = {split: array for split, array in flat.items() if len(array)}
    if not given:
        raise RequestError("no example has a label", where=where)
    classes, codes = _by_value(*encode_categories(given, names, where), names)
    return classes, {
        split: _sets(some, codes.get(split, np.empty(0, np.int64)), len(classes), blank)
        for split, some in lists.items()
    }


def check_label_types(fields: Sequence[pa.Field], where: str) -> None:
    """Raise RequestError for a column whose cells cannot be labels, such as structs or lists of lists."""
    for each in fields:
        kind = each.type
        inner = kind.value_type if is_list(kind) else kind
        if pa.types.is_nested(inner) or pa.types.is_binary(inner) or pa.types.is_large_binary(inner):
            raise RequestError(
                f"column {each.name!r} holds values of type {kind}, which are no labels",
                where=where,
                allowed="numbers, names, or lists of them for `task: multilabel`",
            )


def check_label_lists(lists: Mapping[str, Sequence[LabelList]], where: str) -> None:
    """Raise RequestError for a list with a blank, or with fractions such as soft labels."""
    for split, some in lists.items():
        for row, each in enumerate(some):
            for label in each or ():
                if label is None or label != label or (isinstance(label, float) and label % 1):
                    raise RequestError(
                        f"the list in row {row} holds {'a blank' if label is None else label}",
                        where=f"{where}: {split}",
                        allowed="lists of class numbers or names, or of 0 and 1 for every class",
                    )


def indicator_width(lists: Mapping[str, Sequence[LabelList]], where: str) -> int | None:
    """Return the length of lists of indicators, one 0 or 1 for every class; None for lists of labels.

    Lists of labels name no label twice. Lists of one length, of zeros and ones alone (or false and true),
    that repeat them are hence indicators.

    Raises:
        RequestError: They may be either: some lists are [0, 1], the others [1, 0].

    Example:
        >>> indicator_width({"train": [[1, 0, 0], [0, 0, 1]]}, "labels")
        3
        >>> indicator_width({"train": [[2, 0], [1]]}, "labels") is None
        True
    """
    given = [each for some in lists.values() for each in some if each is not None]
    widths = {len(each) for each in given}
    if any(type(label) is str or label not in (0, 1) for each in given for label in each):
        return None
    if len(widths) > 1 and any(len(set(each)) < len(each) for each in given):
        raise RequestError(
            f"lists of zeros and ones have {min(widths)} to {max(widths)} values",
            where=where,
            allowed="one value for every class, or lists of class numbers that name each class once",
        )
    if len(widths) != 1 or (width := widths.pop()) < 2:
        return None
    if any(len(set(each)) < len(each) for each in given) or isinstance(given[0][0], bool):
        return width
    if len({tuple(each) for each in given}) == 1:
        return None
    raise RequestError(
        "lists of [0, 1] and [1, 0] may be indicators of two classes or labels",
        where=where,
        allowed="a column of class numbers or names, or `labels` with one column per label",
    )


def without_labels(split: str, count: int, where: str) -> RequestError:
    """Return the error for a split, other than train, of which no example has a label.

    Args:
        split: ``val`` or ``test``.
        count: Number of its examples.
        where: The place of the labels.

    Example:
        >>> print(without_labels("test", 9, "pets.csv: label"))
        pets.csv: label: none of the 9 test examples has a label (allowed: `splits: {test: null}`, which ...
    """
    return RequestError(
        f"none of the {count:,} {split} examples has a label",
        where=where,
        allowed=f"`splits: {{{split}: null}}`, which leaves the {split} split out and carves one from train",
    )


def _sets(lists: Sequence[LabelList], codes: Indices, classes: int, blank: Blank) -> LabelSets:
    values = np.zeros((len(lists), classes), dtype=np.int8)
    lengths = [len(each or ()) for each in lists]
    values[np.repeat(np.arange(len(lists)), lengths), codes] = 1
    if blank == "ignore":
        values[[each is None for each in lists]] = UNLABELLED
    return LabelSets(values, classes)


def encode_indicators(columns: Mapping[str, AnyArray], blank: Blank, where: str) -> LabelSets:
    """Return the label sets of one split, from one column per label.

    The values are those of CheXpert: 1 (present), 0 (absent), -1 (uncertain) or blank (not mentioned).

    Args:
        columns: ``[N]`` numbers, booleans or texts by the name of the label.
        blank: Whether a blank means absent (``zeros``) or unknown (``ignore``).
        where: The place of the columns, for messages.

    Raises:
        RequestError: A value is none of these.

    Example:
        >>> edema = np.array(["1", "0", "-1", ""])
        >>> encode_indicators({"Edema": edema}, "zeros", "labels.csv").values.ravel().tolist()
        [1, 0, -1, 0]
    """
    values = [_indicator(array, blank, f"{where}: {name}") for name, array in columns.items()]
    return LabelSets(np.stack(values, axis=1), len(values))


def _indicator(array: AnyArray, blank: Blank, where: str) -> npt.NDArray[np.int8]:
    """Return one column as int8 ``[N]``: 1, 0, or -1 if unknown."""
    known = {"": 0 if blank == "zeros" else UNLABELLED, **_INDICATORS}
    texts = ["" if value is None or value != value else str(value).strip() for value in array.tolist()]
    codes: dict[str, int] = {}
    for text in dict.fromkeys(texts):
        if (code := known.get(text.lower())) is None:
            row = texts.index(text)
            raise RequestError(
                f"value {text!r} in row {row} is not a label",
                where=where,
                allowed="1, 0, -1 (uncertain) or blank",
            )
        codes[text] = code
    return np.array([codes[text] for text in texts], dtype=np.int8)


def _is_blank(label: object) -> bool:
    """Return True for what stands for an unknown label: nothing, NaN, an empty text, or -1."""
    return label is None or label != label or label == -1 or label in ("", "-1")


def _flat(array: AnyArray, where: str) -> AnyArray:
    """Return labels ``[N]`` as integers or strings."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise RequestError(f"labels have shape {list(array.shape)}", where=where, allowed="[N] or [N, 1]")
    missing = np.array([value is None or value != value for value in array.tolist()], dtype=bool)
    if missing.any():
        first = int(missing.argmax())
        raise RequestError(
            f"missing labels (NaN): {int(missing.sum())}, the first in row {first}", where=where
        )
    if array.dtype.kind == "f":
        whole = array.astype(np.int64)
        if (wrong := whole != array).any():
            first = int(wrong.argmax())
            raise RequestError(f"label {array[first]} in row {first} is not a whole number", where=where)
        return whole
    if array.dtype.kind in "iu":
        return array
    return np.array([_text(value) for value in array.tolist()], dtype=np.str_)


def _text(value: object) -> str:
    """Return a label as a text; bytes that are not UTF-8 are kept as escapes."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _check_range(labels: AnyArray, classes: int | None, where: str) -> None:
    numbers = labels.astype(np.int64)
    wrong = numbers < 0 if classes is None else (numbers < 0) | (numbers >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        allowed = "0 and above" if classes is None else f"0 to {classes - 1}"
        raise RequestError(
            f"label {numbers[first]} in row {first} is out of range", where=where, allowed=allowed
        )
