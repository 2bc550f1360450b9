"""The class tree: classes are defined by values of variables, and coarser classes by fewer of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from distillab.data.examples import Indices
from distillab.errors import RequestError
from distillab.sources.drawing.variables import FAMILY_OF, VARIABLES


@dataclass(frozen=True)
class ClassTree:
    """Classes as paths from the root, such as ``round > disc > stripes``.

    A family is above its shapes whether it is named in ``define`` or not.

    Attributes:
        define: The variables whose values define a class, coarsest first.
        values: The values of every variable in use, as positions in :data:`VARIABLES`.
        coarse: The level of the tree that gives the coarse classes; by default the last but one.

    Example:
        >>> tree = ClassTree(("shape",), {"family": (0, 1), "shape": (0, 1)})
        >>> tree.classes, tree.parents
        (('disc', 'square'), ('round', 'polygon'))
    """

    define: tuple[str, ...]
    values: dict[str, tuple[int, ...]]
    coarse: str | None = None

    def __post_init__(self) -> None:
        if not self.define:
            raise RequestError(
                "no variable defines the classes", where="define", allowed=", ".join(VARIABLES)
            )
        if len(set(self.define)) < len(self.define):
            raise RequestError("a variable is named twice", where="define")
        if "family" in self.define and "shape" in self.define[: self.define.index("family")]:
            raise RequestError("a shape belongs to one family", where="define", allowed="family before shape")
        if self.coarse is not None and self.coarse not in self.levels[:-1]:
            above = ", ".join(self.levels[:-1]) or "nothing, for the tree has one level"
            raise RequestError(
                f"{self.coarse!r} is not above the last level of the tree", where="coarse", allowed=above
            )

    @property
    def levels(self) -> tuple[str, ...]:
        """The variables of the levels below the root."""
        if "shape" not in self.define or "family" in self.define:
            return self.define
        place = self.define.index("shape")
        return (*self.define[:place], "family", *self.define[place:])

    @property
    def depth(self) -> int:
        """Number of levels below the root."""
        return len(self.levels)

    @property
    def table(self) -> dict[str, Indices]:
        """The values of every class, by the variable of the level: int64 ``[classes]`` each."""
        rows = [row for row in product(*(self.values[name] for name in self.levels)) if self._consistent(row)]
        columns = np.array(rows, dtype=np.int64).reshape(len(rows), self.depth)
        return {name: columns[:, place] for place, name in enumerate(self.levels)}

    def _consistent(self, row: tuple[int, ...]) -> bool:
        """Return True if the shape of a path belongs to its family."""
        found = {name: VARIABLES[name][value] for name, value in zip(self.levels, row, strict=True)}
        return "shape" not in found or FAMILY_OF[found["shape"]] == found["family"]

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The values of every class from the root down, ``depth`` of them."""
        columns = [[VARIABLES[name][value] for value in column] for name, column in self.table.items()]
        return tuple(zip(*columns, strict=True))

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of every class: the values that define it."""
        kept = [self.levels.index(name) for name in self.define]
        return tuple(" ".join(path[place] for place in kept) for path in self.paths)

    @property
    def parents(self) -> tuple[str, ...]:
        """The coarse class of every class, or nothing if the tree has one level."""
        if self.depth == 1:
            return ()
        last = self.levels.index(self.coarse) if self.coarse else self.depth - 2
        kept = [place for place in range(last + 1) if self.levels[place] in self.define or place == last]
        return tuple(" ".join(path[place] for place in kept) for path in self.paths)

    @property
    def codes(self) -> Indices:
        """A number per class that depends on its values alone, below 2**30: int64 ``[classes]``."""
        table = self.table
        code = np.zeros(len(next(iter(table.values()))), dtype=np.int64)
        for name in VARIABLES:
            code = code * 32 + (table[name] + 1 if name in self.define else 0)
        return code
