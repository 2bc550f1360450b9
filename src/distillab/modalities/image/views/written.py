"""Views as a recipe writes them: a kind, or a list of operations in order, some with settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from pydantic import ValidationError

from distillab.errors import RequestError, unknown_name, validation_error
from distillab.modalities.image.views.operation import Operation, operations

ViewKind = Literal["none", "flip", "crop", "crop_flip"]
KINDS: tuple[str, ...] = get_args(ViewKind)
# A kind, ``auto``, or operations in order with all their settings.
WrittenViews = str | list[dict[str, dict[str, Any]]]

WRITTEN = "a list such as [random_resized_crop, flip, {mixup: {alpha: 0.2}}]"


def canonical_views(entry: Any) -> WrittenViews:
    """Views as written, in the one form that stands for them: ``auto``, a kind, or a list of operations with
    every setting.

    Raises:
        RequestError: an unknown view or setting, a value out of its range, an operation written twice, or
            one that mixes images before the last place.
    """
    if isinstance(entry, str):
        if entry in ("auto", *KINDS):
            return entry
        if entry not in operations:
            raise unknown_name("view", entry, {"auto", *KINDS, *operations})
        entry = [entry]
    if not isinstance(entry, list | tuple) or not entry:
        given = "an empty list" if entry == [] else f"{entry!r}"
        raise RequestError(f"{given} is not a choice of views", allowed=f"{', '.join(KINDS)}, or {WRITTEN}")
    chain = [_operation(item) for item in entry]
    _must_make_sense(chain)
    return written_chain(chain)


def written_chain(chain: Iterable[Operation]) -> list[dict[str, dict[str, Any]]]:
    """Operations as plain values, every setting written out."""
    return [{step.name: step.model_dump(mode="json")} for step in chain]


def read_chain(written: Iterable[Mapping[str, Any]]) -> tuple[Operation, ...]:
    """The operations that :func:`written_chain` wrote. Raises RequestError as :func:`canonical_views`."""
    return tuple(_operation(item) for item in written)


def _operation(item: Any) -> Operation:
    name, settings = item, None
    if isinstance(item, Mapping) and len(item) == 1:
        [(name, settings)] = item.items()
    if not isinstance(name, str) or not isinstance(settings or {}, Mapping):
        raise RequestError(f"{item!r} is not a view", allowed=WRITTEN)
    if name not in operations:
        raise unknown_name("view", name, operations)
    kind = operations[name]
    try:
        return kind.model_validate(dict(settings or {}))
    except ValidationError as error:
        raise validation_error(error, name, kind.model_fields) from error


def _must_make_sense(chain: list[Operation]) -> None:
    names = [step.name for step in chain]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"{name} is written twice", allowed="each view once")
    for step in chain[:-1]:
        if step.mixes:
            raise RequestError(
                f"{step.name} does not come last",
                allowed="one view that mixes images, at the end of the list",
            )
