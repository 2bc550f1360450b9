"""YAML of bounded size: what a text may hold is checked before any value is made of it."""

from __future__ import annotations

from typing import Any

import yaml

MOST_CHARACTERS = 2**20
MOST_VALUES = 100_000  # once aliases are expanded
MOST_DEPTH = 50
MOST_DIGITS = 18

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_INTEGER = "tag:yaml.org,2002:int"


class BoundedLoader(yaml.SafeLoader):
    """A loader of plain values: dates are texts, and no value has a tag of its own."""


BoundedLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != _TIMESTAMP]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def checked_node(text: str) -> yaml.Node | None:
    """Return the node of a text in YAML; None for a text without values.

    Args:
        text: At most a million characters.

    Raises:
        yaml.YAMLError: The text is not YAML; it has more than one document, a tag, a key twice, an integer of
            more than 18 digits, a value that contains itself; or it is too long, too deep or, with its
            aliases expanded, too large.

    Example:
        >>> checked_node("seeds: 5\\nseeds: 7")
        Traceback (most recent call last):
        yaml.error.MarkedYAMLError: the key 'seeds' is written twice
          in "<unicode string>", line 2, column 1:
            seeds: 7
            ^
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.MarkedYAMLError(problem=f"there are more than {MOST_CHARACTERS:,} characters")
    _check_events(text)
    node = yaml.compose(text, Loader=BoundedLoader)
    if node is not None:
        _Sizes().of(node, ())
    return node


def values_of_node(node: yaml.Node) -> object:
    """Return the values of a node, which :func:`checked_node` has checked.

    Raises:
        yaml.YAMLError: A value cannot be made.

    Example:
        >>> values_of_node(checked_node("{on: 2001-99-99, deep: [1, 0x1F]}"))
        {True: '2001-99-99', 'deep': [1, 31]}
    """
    loader = BoundedLoader("")
    try:
        values: object = loader.construct_document(node)
        return values
    except Exception as error:  # PyYAML raises errors of many types on values that it does not expect
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
    finally:
        loader.dispose()


def _check_events(text: str) -> None:
    """Refuse tags and depth, which composing would follow by recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=BoundedLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                raise _error(f"values are nested more than {MOST_DEPTH} deep", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if (tag := getattr(event, "tag", None)) is not None:
            raise _error(f"the tag {tag!r} is not accepted: write plain values", event)


class _Sizes:
    """Counts the values below nodes with aliases expanded, each node once."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def of(self, node: yaml.Node, around: tuple[int, ...]) -> int:
        """Return how many values a node holds. Raises yaml.YAMLError if it is not accepted."""
        if id(node) in around:
            raise _error("a value contains itself", node)
        if id(node) not in self._known:
            self._known[id(node)] = 1 + self._below(node, (*around, id(node)))
        if self._known[id(node)] > MOST_VALUES:
            raise _error(f"there are more than {MOST_VALUES:,} values", node)
        return self._known[id(node)]

    def _below(self, node: yaml.Node, around: tuple[int, ...]) -> int:
        if isinstance(node, yaml.ScalarNode):
            _check_integer(node)
            return 0
        if isinstance(node, yaml.SequenceNode):
            return sum(self.of(item, around) for item in node.value)
        seen = set[tuple[str, str]]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a key is no plain value", key)
            if (key.tag, key.value) in seen:
                raise _error(f"the key {key.value!r} is written twice", key)
            seen.add((key.tag, key.value))
        return sum(self.of(each, around) for pair in node.value for each in pair)


def _check_integer(node: yaml.ScalarNode) -> None:
    if node.tag == _INTEGER and sum(map(str.isalnum, node.value)) > MOST_DIGITS:
        raise _error(f"an integer has more than {MOST_DIGITS} digits", node)


def _error(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
