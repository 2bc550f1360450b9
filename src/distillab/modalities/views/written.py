"""Views as a recipe states them: a kind, or a list of operations in order, some with settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from pydantic import ValidationError

from distillab.canonical import JsonObject
from distillab.errors import RequestError, unknown_name, validation_error
from distillab.modalities.views.operation import Operation, operations
from distillab.spelling import american, american_keys, canonical_keys

ViewKind = Literal["none", "flip", "crop", "crop_flip", "dihedral"]
_KINDS: tuple[str, ...] = get_args(ViewKind)
WrittenViews = str | list[dict[str, JsonObject]]
"""A kind, ``auto``, or operations in order with all their settings."""

_FORM = "a list such as [random_resized_crop, flip, {mixup: {alpha: 0.2}}]"


def canonical_views(entry: Any) -> WrittenViews:
    """Return views as written in the one form that stands for them.

    Args:
        entry: ``auto``, a kind, the name of an operation, or a list of operations.

    Returns:
        ``auto``, a kind, or a list of operations with every setting.

    Raises:
        RequestError: An unknown view or setting, a value out of its range, an operation that occurs twice, or
            one that mixes examples before the last place.

    Example:
        >>> canonical_views("crop_flip")
        'crop_flip'
        >>> canonical_views(["flip", {"mixup": {"alpha": 0.4}}])
        [{'flip': {}}, {'mixup': {'alpha': 0.4}}]
    """
    if isinstance(entry, str):
        if entry in ("auto", *_KINDS):
            return entry
        if entry not in operations:
            raise unknown_name("view", entry, {"auto", *_KINDS, *map(american, operations)})
        entry = [entry]
    if not isinstance(entry, list | tuple) or not entry:
        given = "an empty list" if entry == [] else f"{entry!r}"
        raise RequestError(f"{given} is not a choice of views", allowed=f"{', '.join(_KINDS)}, or {_FORM}")
    chain = [_operation(item) for item in entry]
    _check_order(chain)
    return written_chain(chain)


def canonical_names(entry: Any) -> Any:
    """Return views as written, with the registered names of their operations.

    Example:
        >>> canonical_names(["flip", {"color_jitter": {"hue": 0.2}}])
        ['flip', {'colour_jitter': {'hue': 0.2}}]
    """
    if isinstance(entry, str):
        return operations.canonical_name(entry)
    if isinstance(entry, list | tuple):
        return [canonical_names(item) for item in entry]
    return canonical_keys(entry, set(operations)) if isinstance(entry, Mapping) else entry


def american_names(entry: Any) -> Any:
    """Return views as written, with the names of their operations as people read them.

    Example:
        >>> american_names([{"colour_jitter": {"hue": 0.2}}])
        [{'color_jitter': {'hue': 0.2}}]
    """
    if isinstance(entry, str):
        return american(entry)
    if isinstance(entry, list | tuple):
        return [american_names(item) for item in entry]
    return american_keys(entry, operations) if isinstance(entry, Mapping) else entry


def written_chain(chain: Iterable[Operation]) -> list[dict[str, JsonObject]]:
    """Return operations as plain values, every setting included."""
    return [{step.name: step.model_dump(mode="json")} for step in chain]


def read_chain(written: Iterable[JsonObject]) -> tuple[Operation, ...]:
    """Return the operations that :func:`written_chain` wrote. May raise RequestError."""
    return tuple(_operation(item) for item in written)


def _operation(item: Any) -> Operation:
    name, settings = item, None
    if isinstance(item, Mapping) and len(item) == 1:
        [(name, settings)] = item.items()
    if not isinstance(name, str) or not isinstance(settings or {}, Mapping):
        raise RequestError(f"{item!r} is not a view", allowed=_FORM)
    if name not in operations:
        raise unknown_name("view", name, map(american, operations))
    kind = operations[name]
    try:
        return kind.model_validate(dict(settings or {}))
    except ValidationError as error:
        raise validation_error(error, name, kind.model_fields) from error


def _check_order(chain: list[Operation]) -> None:
    names = [step.name for step in chain]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"{name} occurs twice", allowed="each view once")
    for step in chain[:-1]:
        if step.mixes:
            raise RequestError(
                f"{step.name} does not come last",
                allowed="one view that mixes examples, at the end of the list",
            )
