"""Effects as the cells of a table in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distillab.evidence import Row


def cells_of(row: Row, compared: str, estimate: float | None) -> tuple[str, ...]:
    """Return a row of effects as a table shows it, with what it compares and its estimate."""
    from distillab.evidence.families import family_verdict

    return (
        str(row["method"]),
        compared,
        str(row["metric"]),
        _points(estimate),
        f"{_points(row['ci_low'])} to {_points(row['ci_high'])}",
        str(row["n_pairs"]),
        family_verdict(row),
    )


def _points(gain: float | None) -> str:
    """Return a gain in points of a hundred."""
    return "–" if gain is None else f"{100 * gain:+.1f}"
