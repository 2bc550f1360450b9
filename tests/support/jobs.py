"""Jobs that say little, for tests of what happens to jobs."""

from __future__ import annotations

from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job, Kind, OutputsInputs, OutputsJob, StudentJob, TeacherInputs, TeacherJob
from distillab.study.job_parts import ConditionSpec, RunSeeds, SetDigests

SEEDS = RunSeeds(1, 2, 3)
SETS = SetDigests("train", "val", {"test": "test"}, "statistics")
CONDITION = ConditionSpec((), 0)


def make_job(
    name: str, *needs: str, kind: Kind = "student", cost: float = 0.0, cohort: str = "", seed: int = 0
) -> Job:
    """Return a job of a name. What it is the specification of is always the same, but for the order seed."""
    seeds = RunSeeds(SEEDS.init, seed, SEEDS.views)
    if kind == "teacher":
        return TeacherJob(
            id=name,
            condition=CONDITION,
            model="resnet8",
            seeds=seeds,
            recipe={"steps": 3},
            sets=SETS,
            inputs=TeacherInputs("full"),
            needs=needs,
            cost=cost,
        )
    if kind == "outputs":
        return OutputsJob(
            id=name,
            condition=CONDITION,
            teacher=needs[0] if needs else "teacher",
            images="images",
            eval={},
            views=None,
            view_seed=seed,
            normalization="statistics",
            inputs=OutputsInputs({"steps": 3}, keep=()),
            needs=needs,
            cost=cost,
        )
    return StudentJob(
        id=name,
        condition=CONDITION,
        model="resnet8",
        method={"name": "ce", "config": {}},
        recipe={"steps": 3},
        sets=SETS,
        seeds=seeds,
        needs=needs,
        cost=cost,
        cohort=cohort,
    )


def make_cell(run: str | None, *, seed: int = 0, method: str = "ce", **levels: float) -> Cell:
    """Return a cell with a run."""
    return Cell(levels, "full", "resnet14", "resnet8", method, seed, n_train=10, run=run)


def make_condition(seed: int, **levels: float) -> ConditionRecord:
    """Return the record of a condition without factors, under a seed."""
    return ConditionRecord(ConditionSpec((), seed), levels, n_train=10)
