"""The clock of an advice, which tests replace."""

from __future__ import annotations

from collections.abc import Callable

SecondsClock = Callable[[], float]
"""Returns seconds since an arbitrary moment."""
