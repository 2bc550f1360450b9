"""Registries: sources, factors, models and methods are found by the name they were registered under."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from distillab.errors import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from a public name to a class or function, filled by decorators.

    Tests and ``distillab list`` walk over registries, so whatever is registered is tested and listed.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that enters the decorated object under ``name``. Raises ValueError on a taken name."""

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.noun} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        """The entry called ``name``. Raises RequestError, with the nearest name, if there is none."""
        if name not in self._entries:
            raise unknown_name(self.noun, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
