"""The wall time of a plan: jobs on several workers, in the order in which workers claim them."""

from __future__ import annotations

import pytest

from distillab.study.job import MAX_COHORT, Job
from distillab.study.planning.schedule import wall_seconds
from support.jobs import make_job


def cost(job: Job) -> float:
    return job.cost


def students(*costs: float, needs: tuple[str, ...] = ()) -> list[Job]:
    return [make_job(f"s{place}", *needs, cost=each) for place, each in enumerate(costs)]


TEACHER = make_job("t", kind="teacher", cost=5.0)
CASES: dict[str, tuple[list[Job], int, float]] = {
    "one worker takes the sum": (students(1, 2, 3), 1, 6.0),
    "two workers share independent jobs": (students(2, 2, 2, 2), 2, 4.0),
    "the last job runs alone": (students(2, 2, 2), 2, 4.0),
    "jobs start in planned order": (students(1, 1, 4), 2, 5.0),
    "students wait for their teacher": ([TEACHER, *students(1, 1, needs=("t",))], 2, 6.0),
    "plain students need not wait": ([TEACHER, *students(2, 2)], 2, 5.0),
    "more workers than jobs": (students(1, 3), 8, 3.0),
    "needs that are not planned are done": (students(1, needs=("gone",)), 1, 1.0),
    "no job": ([], 2, 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_wall_time(case: str) -> None:
    jobs, workers, expected = CASES[case]
    assert wall_seconds(jobs, cost, workers) == pytest.approx(expected)


def test_cohort_is_the_work_of_one_worker() -> None:
    cohort = [make_job(f"s{place}", cost=1.0, cohort="c") for place in range(MAX_COHORT)]
    assert wall_seconds(cohort, cost, workers=2) == pytest.approx(MAX_COHORT)
    more = [make_job(f"m{place}", cost=1.0, cohort="c") for place in range(MAX_COHORT)]
    assert wall_seconds([*cohort, *more], cost, workers=2) == pytest.approx(MAX_COHORT)
