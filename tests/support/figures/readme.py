"""The figures of README.md."""

from __future__ import annotations

from collections.abc import Iterator

from answer_rows import of_study


def fragments() -> Iterator[str]:
    """Yield the passages of the page that hold figures."""
    series = of_study("size-length-mnist", "size", {})
    assert series is not None and series.converged and series.tuned
    small, middle, large = series.points
    [change] = series.between
    assert {small.level, middle.level, large.level} == {5.0, 20.0, 80.0}
    assert (change.reference, change.level, change.corrected) == ("5", "20", "larger")
    assert (middle.corrected, large.corrected) == ("helps", "helps")
    assert {point.pairs for point in series.points} == {series.teachers} == {12}
    yield "all methods tuned alike, 12 pairs with a teacher of their own each"
    yield (
        f"Distillation gains {middle.gain:+.1f} points [{middle.low:.1f}, {middle.high:.1f}] at 20 images "
        f"per class, {change.value:.1f} more [{change.low:.1f}, {change.high:.1f}] than at 5; at 80 it gains "
        f"{large.gain:+.1f} points [{large.low:.1f}, {large.high:.1f}]"
    )
