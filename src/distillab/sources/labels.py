"""Labels as they come (numbers, names, columns of one) become int64 labels and class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.errors import RequestError

AnyArray = npt.NDArray[np.generic]


def encode_labels(
    values: Mapping[str, AnyArray], names: Sequence[str] | None, where: str
) -> tuple[tuple[str, ...], dict[str, Indices]]:
    """Class names and int64 labels of all splits.

    Args:
        values: a split's labels ``[N]`` or ``[N, 1]``: whole numbers, names, or booleans.
        names: class names in label order if the source knows them; else the sorted values are the classes.
        where: the place of the labels, for messages.

    Raises:
        RequestError: a missing, fractional or negative label, or one that has no name.
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


def _flat(array: AnyArray, where: str) -> AnyArray:
    """Labels ``[N]`` as integers or strings."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise RequestError(f"labels have shape {list(array.shape)}", where=where, allowed="[N] or [N, 1]")
    missing = np.array([value is None or value != value for value in array.tolist()], dtype=bool)
    if missing.any():
        first = int(missing.argmax())
        raise RequestError(
            f"{int(missing.sum())} labels are missing (NaN), the first in row {first}", where=where
        )
    if array.dtype.kind == "f":
        whole = array.astype(np.int64)
        if (wrong := whole != array).any():
            first = int(wrong.argmax())
            raise RequestError(f"label {array[first]} in row {first} is not a whole number", where=where)
        return whole
    if array.dtype.kind in "iu":
        return array
    return np.array([str(value) for value in array.tolist()], dtype=np.str_)


def _check_range(labels: AnyArray, classes: int | None, where: str) -> None:
    numbers = labels.astype(np.int64)
    wrong = numbers < 0 if classes is None else (numbers < 0) | (numbers >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        allowed = "0 and above" if classes is None else f"0 to {classes - 1}"
        raise RequestError(
            f"label {numbers[first]} in row {first} is out of range", where=where, allowed=allowed
        )
