"""Teachers, views and the train/val split are draws of a seed, unless a study states otherwise."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.study.job import OutputsJob, StudentJob
from distillab.study.planning.conditions import Condition
from distillab.study.planning.outline import make_plan
from distillab.study.planning.plan import Plan
from distillab.study.planning.splits import SeedSplits
from distillab.study.planning.teacher_draws import TeacherDraws
from support.studies import CPU, begin, dataset, plan, spec

FULL: dict[str, Any] = {"teacher": {"provenance": "full"}, "factors": {}, "methods": ["ce", "kd", "dkd"]}


def students_by_seed(made: Plan) -> dict[int, list[StudentJob]]:
    found = defaultdict(list)
    for cell in made.cells:
        job = made.jobs[cell.run_id]
        assert isinstance(job, StudentJob)
        found[cell.seed].append(job)
    return found


def with_teachers(replicates: int | str, **changes: Any) -> Plan:
    teacher = FULL["teacher"] | {"replicates": replicates}
    return plan(**FULL | {"teacher": teacher, "seeds": 4} | changes)


def ids_of(examples: Examples) -> set[int]:
    return set(examples.ids.tolist())


# -- teachers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [4, 5, 12])
def test_a_teacher_per_seed_and_as_many_by_number_have_equal_ids(number: int) -> None:
    assert list(with_teachers("each").jobs) == list(with_teachers(number).jobs)


@pytest.mark.parametrize(("replicates", "count"), [(1, 1), (2, 2), (3, 3), ("each", 4)])
def test_seeds_use_teachers_in_turn(replicates: int | str, count: int) -> None:
    made = with_teachers(replicates)
    assert made.count("teacher") == count
    teacher = {cell.seed: cell.teacher_run for cell in made.cells}
    assert len({teacher[seed] for seed in range(count)}) == count
    assert all(teacher[seed] == teacher[seed % count] for seed in teacher)


def test_a_further_seed_keeps_the_ids_of_the_others() -> None:
    few, many = with_teachers("each", seeds=[5, 2]), with_teachers("each", seeds=[2, 9, 5])
    assert set(few.jobs) < set(many.jobs)


@pytest.mark.parametrize(
    ("teacher_macs", "student_macs", "seeds", "chosen"),
    [
        (10, 100, 10, "each"),
        (11, 100, 10, 9),
        (40, 100, 10, 3),
        (1000, 100, 10, 3),
        (1000, 100, 3, "each"),
        (1000, 100, 2, "each"),
        (0, 100, 10, "each"),
    ],
)
def test_number_of_teachers_follows_their_cost(
    teacher_macs: int, student_macs: int, seeds: int, chosen: int | str
) -> None:
    found = TeacherDraws.choose("auto", seeds=seeds, teacher_macs=teacher_macs, student_macs=student_macs)
    assert found.replicates == chosen


@pytest.mark.parametrize("written", [1, 2, "each"])
def test_written_number_of_teachers_stays(written: int | str) -> None:
    draws = with_teachers(written).draws
    assert draws and (draws.replicates, draws.automatic) == (written, False)


def test_plan_chooses_fewer_teachers_if_they_cost_more_than_students() -> None:
    cheap = plan(**FULL, seeds=6).draws
    dear = plan(**FULL | {"teacher": FULL["teacher"] | {"recipe": {"steps": 30}}}, seeds=6).draws
    assert cheap and dear
    assert (cheap.replicates, dear.replicates) == ("each", 3)
    assert cheap.automatic and dear.automatic
    assert dear.options == (1, 3, 6)


def test_chosen_teachers_have_the_ids_of_written_ones() -> None:
    assert list(plan(**FULL, seeds=4).jobs) == list(with_teachers("each").jobs)


@pytest.mark.parametrize("methods", [["ce", "label_smoothing"], ["ce", "self"]])
def test_methods_without_the_teacher_leave_each_seed_its_own_split(methods: list[str]) -> None:
    planned = plan(**FULL | {"methods": methods}, seeds=3)
    assert planned.draws and (planned.draws.replicates, planned.draws.options) == ("each", ())
    assert planned.split_drawn
    by_seed = students_by_seed(planned)
    assert len({job.sets.val for jobs in by_seed.values() for job in jobs}) == 3


@pytest.mark.parametrize("replicates", [1, 2, "each", "auto"])
@pytest.mark.parametrize("provenance", ["same", ["same", "full"]])
def test_number_of_teachers_without_effect_is_noted(provenance: Any, replicates: Any) -> None:
    teacher = {"provenance": provenance, "replicates": replicates}
    notes = [note for note in plan(teacher=teacher).notes if "teacher.replicates" in note]
    assert len(notes) == (provenance == "same" and replicates == 2)
    assert all("`teacher.replicates: 2` has no effect" in note for note in notes)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "all", None, [2]])
def test_replicates_that_are_no_number_are_one_line(value: object) -> None:
    with pytest.raises(RequestError, match=r"^study.yaml: .*replicates.*each") as caught:
        spec(teacher={"replicates": value})
    assert "\n" not in str(caught.value)


# -- views ---------------------------------------------------------------------------------------------------


def test_views_differ_between_seeds_and_agree_within_a_pair() -> None:
    by_seed = students_by_seed(plan(**FULL, seeds=3))
    views = {seed: {job.seeds.views for job in jobs} for seed, jobs in by_seed.items()}
    assert all(len(each) == 1 for each in views.values())
    assert len(set.union(*views.values())) == 3


def test_stored_outputs_have_the_views_of_their_students() -> None:
    made = plan(**FULL, seeds=3)
    stored = [job for job in made.students if job.teacher and not job.teacher.live]
    assert stored
    for job in stored:
        outputs = made.jobs[job.teacher.job] if job.teacher else None
        assert isinstance(outputs, OutputsJob)
        assert outputs.view_seed == job.seeds.views


def test_outputs_without_views_are_shared_by_seeds_with_one_teacher() -> None:
    teacher = FULL["teacher"] | {"replicates": 1, "outputs": {"budget": 0}}
    assert plan(**FULL | {"teacher": teacher}, seeds=3).count("outputs") == 1


@pytest.mark.parametrize(
    ("draws", "views", "splits"),
    [
        ({}, 3, 3),
        ({"views": "shared"}, 1, 3),
        ({"split": "shared"}, 3, 1),
        ({"views": "shared", "split": "shared"}, 1, 1),
    ],
)
def test_draws_are_shared_one_by_one(draws: dict[str, str], views: int, splits: int) -> None:
    made = plan(**FULL, seeds=3, draws=draws)
    assert len({job.seeds.views for job in made.students}) == views
    assert len({job.sets.val for job in made.students}) == splits
    assert len({tuple(job.sets.eval.items()) for job in made.students}) == 1


def test_shared_order_shares_views_and_split_unless_stated() -> None:
    assert spec(order="shared").draws.views == spec(order="shared").draws.split == "shared"
    assert spec(order="shared", draws={"views": "seed"}).draws.views == "seed"


@pytest.mark.parametrize("value", [{"views": "each"}, {"order": "seed"}, {"split": True}])
def test_unknown_draws_are_one_line(value: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=r"^study.yaml: .*draws") as caught:
        spec(draws=value)
    assert "\n" not in str(caught.value)


# -- splits --------------------------------------------------------------------------------------------------


def test_splits_of_seeds_cut_the_same_examples_and_leave_test_alone() -> None:
    read, splits = dataset(), SeedSplits(spec(), dataset())
    whole = ids_of(read.train) | ids_of(read.val)
    vals = []
    for seed in range(5):
        drawn = splits.of_seed(seed)
        assert ids_of(drawn.train) | ids_of(drawn.val) == whole
        assert not ids_of(drawn.train) & ids_of(drawn.val)
        assert drawn.val.counts.tolist() == read.val.counts.tolist()
        assert drawn.eval is read.eval
        assert drawn.normalization() is read.normalization()
        vals.append(ids_of(drawn.val))
    assert vals[0] == ids_of(read.val)
    assert all(vals[a] != vals[b] for a in range(5) for b in range(a))


def test_seeds_that_share_a_teacher_share_its_split() -> None:
    made = with_teachers(2)
    val = {seed: jobs[0].sets.val for seed, jobs in students_by_seed(made).items()}
    assert (val[0], val[1]) == (val[2], val[3])
    assert val[0] != val[1]
    assert {job.sets.val for job in made.teachers} == set(val.values())


@pytest.mark.parametrize(("data", "splits"), [({"duplicates": {"near": "drop"}}, 1), ({"split_seed": 3}, 3)])
def test_split_stays_where_near_copies_are_dropped(data: dict[str, Any], splits: int) -> None:
    stated = spec(**FULL, seeds=3, data=data)
    made = make_plan(stated, load_dataset(stated.source()), CPU)
    assert len({job.sets.val for job in made.students}) == splits


def test_teachers_do_not_learn_val_examples_of_their_students(tmp_path: Path) -> None:
    folder = begin(tmp_path, **FULL | {"seeds": 3})
    for seed in range(3):
        roles = folder.roles(Condition((), seed))
        for train in (roles.transfer, *roles.teacher.values()):
            assert not ids_of(train) & ids_of(roles.val)
            assert not ids_of(train) & ids_of(roles.eval["test"])
