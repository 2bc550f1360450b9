"""How large a study may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from distillab.errors import RequestError

if TYPE_CHECKING:
    from distillab.study.spec.study import StudySpec

MOST_SEEDS = 10_000
MOST_RUNS = 1_000_000


def check_seed_count(count: int) -> None:
    """Raise RequestError if there are too many seeds.

    Example:
        >>> check_seed_count(2_000_000_000)
        Traceback (most recent call last):
        distillab.errors.RequestError: 2000000000 seeds are too many (allowed: at most 10,000)
    """
    if count > MOST_SEEDS:
        raise RequestError(f"{count} seeds are too many", allowed=f"at most {MOST_SEEDS:,}")


def check_run_count(spec: StudySpec) -> None:
    """Raise RequestError if a study has too many runs: levels of all factors, methods, students and seeds."""
    counts = [
        *(len(levels) for levels in spec.factor_levels()),
        len(spec.teacher.provenance),
        len(spec.student_entries),
        len(spec.method_specs()),
        len(spec.seed_list),
    ]
    if (runs := math.prod(counts)) > MOST_RUNS:
        raise RequestError(
            f"levels, provenances, students, methods and seeds make {runs:,} runs",
            allowed=f"at most {MOST_RUNS:,}",
        )
