"""The order of the classes that a weight file states, in itself or in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from distillab.errors import RequestError

# Keys under which training scripts keep the names of classes: lists, or mappings between names and numbers.
NAME_KEYS: Final = (
    *("classes", "class_names", "CLASSES", "categories", "label_names", "labels", "names"),
    *("class_to_idx", "idx_to_class", "id2label", "label2id", "class_to_index", "index_to_class"),
)
BESIDE: Final = (
    *("config.json", "labels.txt", "classes.txt", "class_names.txt", "classes.json", "class_names.json"),
    *("class_to_idx.json", "idx_to_class.json", "labels.json", "id2label.json", "record.json"),
)
"""Files beside the weights that state the names of their classes."""
DEEPEST_NAMES: Final = 4


def find_class_names(content: Mapping[Any, Any], path: Path) -> tuple[tuple[str, ...], str]:
    """Return the names of the classes of a weight file, in the order of its logits, and where they are.

    The file itself comes first, under keys such as ``classes``, ``class_to_idx`` or ``id2label`` at any
    depth; then files beside it (``BESIDE``). Names that only number the classes, such as ``LABEL_0``, count
    for nothing.

    Args:
        content: The content of the file, or its metadata.
        path: The file.

    Returns:
        The names, and the key or file that states them; ``((), "")`` if none does.

    Example:
        >>> find_class_names({"epoch": 9, "class_to_idx": {"dog": 1, "cat": 0}}, Path("w.pth"))
        (('cat', 'dog'), "its entry 'class_to_idx'")
    """
    for key, value in _stated(content, 0):
        if names := _names(value):
            return names, f"its entry {key!r}"
    for beside in BESIDE:
        file = path.with_name(beside)
        if file.is_file() and (names := _names_of(file)):
            return names, f"{beside} beside it"
    return (), ""


def _stated(content: Mapping[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the entries that may hold names of classes, those of the mapping itself first."""
    for key in NAME_KEYS:
        if key in content:
            yield key, content[key]
    if depth == DEEPEST_NAMES:
        return
    for key, value in content.items():
        inner = vars(value) if type(value).__name__ == "Namespace" else value
        if isinstance(inner, Mapping) and key not in NAME_KEYS:
            yield from _stated(inner, depth + 1)


def _names(value: Any) -> tuple[str, ...]:
    """Return the names of classes in the order of their numbers, or nothing if a value does not state it."""
    names: list[Any] = []
    if isinstance(value, list | tuple):
        names = list(value)
    elif isinstance(value, Mapping) and value:
        numbers = {_number(key): name for key, name in value.items()}
        if None in numbers or any(not isinstance(name, str) for name in value.values()):
            numbers = {_number(number): name for name, number in value.items()}
        if sorted(numbers, key=str) == sorted(range(len(value)), key=str):
            names = [numbers[place] for place in range(len(value))]
    if len(names) < 2 or any(not isinstance(name, str) for name in names) or _only_numbers(names):
        return ()
    return tuple(names) if len(set(names)) == len(names) else ()


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _only_numbers(names: list[str]) -> bool:
    """Return True for names such as ``LABEL_0``, ``LABEL_1``, ..., which say no more than their places."""
    return all(name.lower() in (f"label_{place}", f"class_{place}") for place, name in enumerate(names))


def _names_of(file: Path) -> tuple[str, ...]:
    """Return the names of classes in a file of JSON, or of one name per line."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RequestError(f"cannot read the names of classes ({reason})", where=str(file)) from error
    if file.suffix == ".txt":
        return _names([line.strip() for line in text.splitlines() if line.strip()])
    try:
        content = json.loads(text)
    except ValueError as error:
        raise RequestError(f"not valid JSON ({error})", where=str(file)) from error
    if isinstance(content, Mapping) and file.name == "config.json":
        return next((names for _, value in _stated(content, 0) if (names := _names(value))), ())
    if isinstance(content, Mapping):
        nested = next((names for _, value in _stated(content, 0) if (names := _names(value))), ())
        return nested or _names(content)
    return _names(content)
