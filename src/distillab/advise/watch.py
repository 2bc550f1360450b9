"""A budget that runs: what is done is shown with what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from distillab.study.running.deadline import SecondsClock

OnBudget = Callable[[str, float, float], None]
"""Called with what is being done, the share of it that is finished, and the seconds of the budget left."""


@dataclass(frozen=True)
class BudgetWatch:
    """A budget since it began.

    Attributes:
        budget: Seconds of it.
        closing: Seconds of it that are kept for what comes after training.
        started: When it began, on the clock.
        clock: Returns seconds.
        on_budget: Called by :meth:`show`.

    Example:
        >>> watch = BudgetWatch(60.0, 10.0, 100.0, lambda: 120.0, print)
        >>> watch.spent, watch.deadline
        (20.0, 150.0)
        >>> watch.counted("reading data", 1, 4)
        reading data 0.25 40.0
    """

    budget: float
    closing: float
    started: float
    clock: SecondsClock
    on_budget: OnBudget

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return self.clock() - self.started

    @property
    def deadline(self) -> float:
        """When training must end, on the clock."""
        return self.started + max(0.0, self.budget - self.closing)

    def show(self, stage: str, share: float) -> None:
        """Show what is being done, and the share of it that is finished."""
        self.on_budget(stage, min(max(share, 0.0), 1.0), max(0.0, self.budget - self.spent))

    def counted(self, stage: str, done: int, total: int) -> None:
        """Show how much of a number is done."""
        self.show(stage, done / max(total, 1))
