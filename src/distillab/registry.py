"""Registries: sources, factors, models, methods and others are found by their registered name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from distillab.errors import unknown_name
from distillab.spelling import canonical_word

EntryT = TypeVar("EntryT")


class Registry(Generic[EntryT]):
    """A mapping from a public name to a class or function, filled by decorators.

    Iteration is in alphabetical order. Tests and ``distillab list`` iterate over registries, so everything
    registered is tested and listed.

    Args:
        noun: What an entry is called in error messages.

    Example:
        >>> shapes = Registry("shape")
        >>> @shapes.register("circle")
        ... class Circle: ...
        >>> list(shapes), shapes["circle"].__name__
        (['circle'], 'Circle')
        >>> shapes["cirle"]
        Traceback (most recent call last):
        distillab.errors.RequestError: unknown shape 'cirle', did you mean 'circle'? (allowed: circle)
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, EntryT] = {}

    def register(self, name: str) -> Callable[[EntryT], EntryT]:
        """Return a decorator that registers an object under ``name``.

        Raises:
            ValueError: The name is taken.
        """

        def enter(entry: EntryT) -> EntryT:
            if name in self._entries:
                raise ValueError(f"{self.noun} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    @contextlib.contextmanager
    def temporarily(self, name: str, entry: EntryT) -> Iterator[EntryT]:
        """Register an object while the block runs.

        Example:
            >>> sizes = Registry("size")
            >>> with sizes.temporarily("small", 1):
            ...     list(sizes)
            ['small']
            >>> len(sizes)
            0
        """
        self.register(name)(entry)
        try:
            yield entry
        finally:
            del self._entries[name]

    def __getitem__(self, name: str) -> EntryT:
        """Return the entry registered under ``name``.

        Raises:
            RequestError: There is none; the message suggests the nearest name.
        """
        if name not in self:
            raise unknown_name(self.noun, name, self._entries)
        return self._entries[self.canonical_name(name)]

    def canonical_name(self, name: str) -> str:
        """Return the registered name of an entry that was named in either spelling."""
        return canonical_word(name, self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.canonical_name(name) in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
