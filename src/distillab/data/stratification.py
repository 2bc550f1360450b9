"""Iterative stratification: a part that holds its share of every label, where examples have several."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def iterative_stratification(
    counts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    draws: npt.NDArray[np.float64],
    share: float,
    leave: int = 1,
) -> npt.NDArray[np.bool_]:
    """Return which units are drawn into a part with about ``share`` of every label, bool ``[U]``.

    Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011, algorithm
    1, for two parts: the label with the fewest units not yet placed comes first, and each of its units goes
    to the part that lacks more of that label, or else more of all examples. Units are visited in the order of
    their draws, so the result does not depend on the order in which they are given.

    Two conditions are added to the paper's: of every label ``leave`` units stay out of the part, and where a
    label can spare a unit, the part has at least one.

    Args:
        counts: int64 ``[U, K]``, how many examples of a unit have each label.
        sizes: int64 ``[U]``, how many examples a unit has.
        draws: float64 ``[U]`` in [0, 1), one per unit.
        share: Share of each label, in (0, 1).
        leave: Number of units with a label that must stay out of the part.

    Example:
        >>> sets = np.array([[1, 0], [1, 1], [0, 1], [1, 1], [0, 0], [0, 0]])
        >>> draws = np.array([0.5, 0.1, 0.7, 0.3, 0.9, 0.2])
        >>> iterative_stratification(sets, np.ones(6, int), draws, share=0.5)
        array([False, False,  True,  True,  True, False])
    """
    placement = _Placement(counts, sizes, share, leave)
    order = np.argsort(draws, kind="stable")
    while (label := placement.rarest()) is not None:
        for unit in order[placement.waiting[order] & placement.has[order, label]]:
            placement.place(unit, placement.lacks_more(label))
    for unit in order[placement.waiting[order]]:
        placement.place(unit, placement.lacks_more(None))
    placement.complete(order)
    return placement.drawn


class _Placement:
    """Which units are placed, and what the two parts still lack.

    Attributes:
        has: bool ``[U, K]``, whether a unit has examples with each label.
        waiting: bool ``[U]``, units that are not placed yet.
        drawn: bool ``[U]``, units of the part that is drawn.
    """

    def __init__(
        self, counts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], share: float, leave: int
    ) -> None:
        self._counts, self._sizes = counts, sizes
        self.has = counts > 0
        self.waiting = np.ones(len(counts), dtype=bool)
        self.drawn = np.zeros(len(counts), dtype=bool)
        shares = np.array([1 - share, share])
        self._lacking = shares[:, None] * counts.sum(axis=0)
        self._room = shares * sizes.sum()
        self._open = self.has.sum(axis=0)
        self._spare = self._open - leave

    def rarest(self) -> int | None:
        """Return the label with the fewest waiting units, or None if no waiting unit has a label."""
        if not self._open.any():
            return None
        return int(np.where(self._open > 0, self._open, len(self.has) + 1).argmin())

    def lacks_more(self, label: int | None) -> bool:
        """Return True if the drawn part lacks more of a label, or else more examples, than the rest."""
        if label is not None and self._lacking[0, label] != self._lacking[1, label]:
            return bool(self._lacking[1, label] > self._lacking[0, label])
        return bool(self._room[1] > self._room[0])

    def can_draw(self, unit: int) -> bool:
        """Return whether enough units of each of its labels are left if a unit is drawn."""
        return bool((self._spare[self.has[unit]] > 0).all())

    def place(self, unit: int, draw: bool) -> None:
        """Place a waiting unit: in the part that is drawn if that is wanted and possible."""
        part = int(draw and self.can_draw(unit))
        self.waiting[unit] = False
        self._open -= self.has[unit]
        self._lacking[part] -= self._counts[unit]
        self._room[part] -= self._sizes[unit]
        if part:
            self.drawn[unit] = True
            self._spare -= self.has[unit]

    def complete(self, order: npt.NDArray[np.int64]) -> None:
        """Draw one unit for each label that the part has none of and that can spare one."""
        for label in np.flatnonzero(self._spare > 0):
            if not self.has[self.drawn, label].any():
                having = [unit for unit in order[self.has[order, label]] if self.can_draw(unit)]
                for unit in having[:1]:
                    self.drawn[unit] = True
                    self._spare -= self.has[unit]
