"""Study files as plain values, in which names of classes and columns are what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from distillab.bounded_yaml import checked_node, values_of_node
from distillab.data.raw import regular_file
from distillab.errors import RequestError

_TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_SECTIONS = frozenset(("data", "others", "teacher"))
_CLASS_LISTS = frozenset(("classes", "class_names"))
_COLUMNS = frozenset(
    ("label", "labels", "group", "coarse", "split", "image", "file", "empty", "unlisted", "separator", "name")
)


def load_study_yaml(text: str, place: tuple[str, ...] = ()) -> Any:
    """Return the values of a study file, or of the part of one that is written at a place.

    YAML reads ``yes``, ``off`` and ``null`` as truth values and nothing, and ``007`` and ``1.0`` as numbers.
    Where they are names of classes, columns or splits, they are kept as texts: ``classes: [yes, no]``,
    ``class_map: {1: 01}``, ``label: 2019``. So are the keys of ``tune``, of which one is ``on``.

    Args:
        text: A text in YAML.
        place: The keys on the way to it, such as ``("data", "classes")``.

    Raises:
        yaml.YAMLError: The text is not accepted; see :func:`~distillab.bounded_yaml.checked_node`.

    Example:
        >>> load_study_yaml("data: {classes: [yes, no, 007, 1.0, null], val: 0.1}")
        {'data': {'classes': ['yes', 'no', '007', '1.0', 'null'], 'val': 0.1}}
        >>> load_study_yaml("data: {classes: 3, splits: {test: null, train: 1}}")
        {'data': {'classes': 3, 'splits': {'test': None, 'train': '1'}}}
    """
    node = checked_node(text)
    if node is None:
        return None
    _keep_names(node, place, set())
    return values_of_node(node)


def read_study_yaml(path: Path) -> Any:
    """Return the values of a study file.

    Args:
        path: The file.

    Raises:
        RequestError: The file is missing, or is no text in YAML.

    Example:
        >>> read_study_yaml(Path("missing.yaml"))
        Traceback (most recent call last):
        distillab.errors.RequestError: missing.yaml: cannot read the study file (No such file or directory)
    """
    try:
        return load_study_yaml(regular_file(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise RequestError(f"cannot read the study file ({reason})", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise RequestError(f"not valid YAML{place}: {problem}", where=str(path)) from error


def _keep_names(node: yaml.Node, keys: tuple[str, ...], seen: set[tuple[int, tuple[str, ...]]]) -> None:
    """Mark the scalars below a node that are names as texts, given the keys on the way."""
    if (id(node), keys) in seen:  # an alias
        return
    seen.add((id(node), keys))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if keys and (keys[-1] in ("class_map", "class_names") or keys == ("tune",)):
                    _keep(key)
                _keep_names(value, (*keys, key.value), seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _keep_names(item, (*keys, "-"), seen)
    elif isinstance(node, yaml.ScalarNode) and _is_name(keys, node):
        _keep(node)


def _is_name(keys: tuple[str, ...], node: yaml.ScalarNode) -> bool:
    if "class_map" in keys[:-1]:
        return True
    if not keys or keys[0] not in _SECTIONS:
        return False
    last = keys[-1]
    if "splits" in keys[:-1]:
        return node.tag != _NULL
    if any(key in _CLASS_LISTS for key in keys[:-1]):  # in a list or mapping; `classes: 3` is a number
        return True
    return node.tag != _NULL and (last in _COLUMNS or (last == "-" and keys[-2] in _COLUMNS))


def _keep(node: yaml.ScalarNode) -> None:
    """Mark a scalar as a text, if it has a plain value of another type."""
    if node.style is None and node.tag.startswith("tag:yaml.org,2002:") and not node.value.startswith("<<"):
        node.tag = _TEXT
