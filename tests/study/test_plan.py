"""Plans: jobs are content-addressed, shared where they agree, and new wherever a number could change."""

from __future__ import annotations

import dataclasses
from json import loads
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from distillab.canonical import canonical_json
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import Manipulation, Size
from distillab.methods import methods
from distillab.models import InputSpec, build_model
from distillab.study.job import OutputsJob, StoredJob, TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.planning.conditions import Condition
from distillab.study.planning.plan import Plan
from distillab.training.recipe import ResolvedRecipe
from support.methods import OF_CLASSIFIERS
from support.studies import EARLIER, plan

ONE: dict[str, Any] = {"factors": {"size": [5]}, "seeds": [0]}  # one condition, one replicate

# All but the control of students that start from stages, and those of students that start from the teacher.
OF_ANY_STUDENT = [
    name
    for name in OF_CLASSIFIERS
    if not methods[name].throughout and "teacher_network" not in (methods[name].teacher_needs or ())
]


def ids(made: Plan, kind: str) -> set[str]:
    return {job.id for job in made.jobs.values() if job.kind == kind}


def runs(made: Plan, **wanted: Any) -> list[str | None]:
    """Return the run ids of cells with certain values, in planned order."""
    return [
        cell.run for cell in made.cells if all(getattr(cell, name) == value for name, value in wanted.items())
    ]


# -- ids -----------------------------------------------------------------------------------------------------


def test_same_study_has_the_same_ids() -> None:
    first, second = plan(), plan()
    assert list(first.jobs) == list(second.jobs)
    assert first.cells == second.cells


@pytest.mark.parametrize(
    "changes",
    [
        {"study": "another name"},
        {"notes": "a thought"},
        {"evidence": {"margin": 0.1}},
        {"data": {"name": "my digits"}},
    ],
)
def test_names_and_notes_are_in_no_id(changes: dict[str, Any]) -> None:
    assert list(plan(**changes).jobs) == list(plan().jobs)


def test_ids_ignore_order_and_other_methods() -> None:
    """A further condition, method or seed leaves the ids of the others as they are."""
    small, large = plan(**ONE), plan(methods=["dkd", "kd"], seeds=[3, 0], factors={"size": [10, 5]})
    assert set(small.jobs) < set(large.jobs)


RECIPES = [
    {"steps": 4},
    {"lr": 0.01},
    {"batch_size": 10},
    {"momentum": 0.8},
    {"nesterov": True},
    {"weight_decay": 0.0},
    {"schedule": "constant"},
    {"schedule": "step", "milestones": [0.5]},
    {"warmup": 0.5},
    {"optimiser": "adamw"},
    {"views": "none"},
    {"precision": "bf16"},
]
FOR_ALL = [
    *({"recipe": keys} for keys in RECIPES),
    {"data": {"classes": 3}},
    {"data": {"split_seed": 1}},
    {"data": {"val": 0.2}},
    {"data": {"test": 0.3}},
    {"data": {"resolution": 16}},
    {"data": {"channels": 3}},
    {"factors": {"size": [6]}},
    {"factors": {"size": [5], "label_noise": [0.2]}},
    {"factors": {"size": {"levels": [5], "roles": ["transfer", "val"]}}},
    {"factors": {"size": {"levels": [5], "roles": ["transfer", "eval"]}}},
    {"students": ["resnet14"]},
    {"seeds": [1]},
    {"seed": 1},
]
FOR_DISTILLED = [
    {"methods": [{"kd": {"temperature": 2}}]},
    {"methods": [{"kd": {"kd_weight": 0.8}}]},
    {"methods": [{"kd": {"ce_weight": 0.2}}]},
    {"methods": ["dkd"]},
    {"teacher": {"model": "resnet14"}},
    {"teacher": {"recipe": {"steps": 5}}},
]


@pytest.mark.parametrize("changes", FOR_ALL, ids=str)
def test_settings_that_change_every_number_change_every_id(changes: dict[str, Any]) -> None:
    base, other = plan(**ONE), plan(**ONE | changes)
    assert not ids(base, "student") & ids(other, "student")
    assert len(ids(other, "student")) == len(ids(base, "student")) == 3  # ce, and kd of either teacher


@pytest.mark.parametrize("changes", FOR_DISTILLED, ids=str)
def test_teacher_settings_leave_the_plain_student_alone(changes: dict[str, Any]) -> None:
    base, other = plan(**ONE), plan(**ONE | changes)
    assert ids(base, "student") & ids(other, "student") == set(runs(base, method="ce"))


def test_each_of_several_teachers_has_its_own_id() -> None:
    one, two = (plan(factors={"size": [5]}, teacher={"replicates": each}) for each in (1, 2))
    full = {"provenance": "full", "method": "kd"}
    assert runs(one, seed=0, **full) == runs(two, seed=0, **full)
    assert runs(one, seed=1, **full) != runs(two, seed=1, **full)
    assert (one.count("teacher"), two.count("teacher")) == (3, 4)  # two of provenance same in either


def test_external_weights_are_in_ids_by_content(tmp_path: Path) -> None:
    model = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8))
    given = {
        "teacher": {"provenance": "external", "weights": "w.safetensors", "at_chance": "continue"},
        **ONE,
    }
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    first = plan(tmp_path, **given)
    with torch.no_grad():
        model.fc.bias += 1  # type: ignore[union-attr, operator]
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    second = plan(tmp_path, **given)
    assert ids(first, "student") & ids(second, "student") == set(runs(first, method="ce"))
    (tmp_path / "w.safetensors").unlink()
    with pytest.raises(RequestError, match="cannot read weights"):
        plan(tmp_path, **given)


# -- what is shared ------------------------------------------------------------------------------------------


def test_design_is_fully_crossed() -> None:
    made = plan()
    assert len(made.cells) == 2 * 2 * 2 * 2  # sizes, provenances, methods, seeds
    assert len(made.conditions) == 4
    assert made.count("student") == 4 + 8  # a plain student per condition, a kd student per teacher
    assert made.count("teacher") == 4 + 2  # one per condition, and one per seed
    assert made.count("outputs") == 4 + 4
    assert made.reused_outputs == 0  # a single method uses each
    assert plan(methods=["kd", "dkd"]).reused_outputs == 8


def test_plain_student_serves_every_provenance() -> None:
    made = plan()
    same, full = (runs(made, method="ce", provenance=each) for each in ("same", "full"))
    assert same == full
    assert len(set(same)) == 4
    assert not set(runs(made, method="kd", provenance="same")) & set(
        runs(made, method="kd", provenance="full")
    )


def test_noise_levels_share_outputs_of_a_clean_teacher() -> None:
    """Outputs depend on images, not on labels."""
    made = plan(factors={"label_noise": [0.0, 0.2, 0.4]}, seeds=[0])
    by_provenance = {
        each: [cell.outputs for cell in made.cells if cell.provenance == each and cell.method == "kd"]
        for each in ("full", "same")
    }
    assert len(by_provenance["full"]) == 3
    assert len(set(by_provenance["full"])) == 1
    assert len(set(by_provenance["same"])) == 3
    assert len(set(runs(made, provenance="full", method="kd"))) == 3


def test_replicates_share_a_clean_teacher_and_its_outputs() -> None:
    teacher = EARLIER["teacher"] | {"provenance": "full"}
    made = plan(factors={}, seeds=3, teacher=teacher, draws=EARLIER["draws"])
    assert (made.count("teacher"), made.count("outputs"), made.count("student")) == (1, 1, 6)


def test_no_teacher_is_planned_that_no_method_needs() -> None:
    made = plan(methods=["ce", "label_smoothing"])
    assert (made.count("teacher"), made.count("outputs")) == (0, 0)
    assert {(cell.teacher_run, cell.outputs) for cell in made.cells} == {(None, None)}


@pytest.mark.parametrize("name", OF_ANY_STUDENT)
def test_every_method_learns_from_its_kind_of_teacher(name: str) -> None:
    made = plan(methods=list({"ce", name}), **ONE, teacher={"model": "resnet14"})
    jobs = made.jobs
    [run] = {
        job.id: job for job in made.students if job.id in runs(made, method=name, provenance="same")
    }.values()
    if methods[name].teacher == "none":
        assert run.teacher is None
        assert run.needs == ()
        return
    needed, *compared = run.needs
    assert run.teacher and run.teacher.job == needed
    # The outputs of a live study teacher for the test sets are computed before.
    live = run.teacher.live and methods[name].teacher == "study"
    assert [job.teacher for job in made.outputs if job.id in compared] == [needed] * live
    source = jobs[needed]
    teacher = jobs[source.teacher] if isinstance(source, OutputsJob) else source
    kind = methods[name].teacher
    assert isinstance(teacher, TeacherJob)
    assert teacher.model == ("resnet8" if kind == "self" else "resnet14")
    assert isinstance(teacher.origin, WeightsOrigin) == (kind == "untrained")


def test_jobs_come_after_those_they_need() -> None:
    made = plan(methods=OF_ANY_STUDENT)
    seen: set[str] = set()
    for name, job in made.jobs.items():
        assert name == job.id
        assert set(job.needs) <= seen
        assert job.cost >= 0
        seen.add(name)
    assert {cell.run for cell in made.cells} == ids(made, "student")


def test_seeds_are_the_outer_loop() -> None:
    made = plan()
    seeds = [job.condition.seed for job in made.students]
    assert seeds == sorted(seeds)


def json(values: Any) -> Any:
    return loads(canonical_json(values))


def test_jobs_are_read_back_from_json() -> None:
    for job in plan(methods=OF_ANY_STUDENT).jobs.values():
        stored = StoredJob.of(job)
        assert dataclasses.replace(stored, spec=json(stored.spec), inputs=json(stored.inputs)).job() == job
        assert Condition.read(job.condition).written() == job.condition
        if not isinstance(job, OutputsJob):
            ResolvedRecipe.from_dict(dict(job.recipe))


def test_paired_students_share_seeds_recipe_and_sets() -> None:
    made = plan(methods=[name for name in OF_ANY_STUDENT if not methods[name].matches_compute])
    for seed in (0, 1):
        for level in (5.0, 10.0):
            of_condition = runs(made, seed=seed, levels={"size": level})
            twins = [StoredJob.of(job).spec for job in made.students if job.id in of_condition]
            for part in ("seeds", "recipe", "sets", "model"):
                assert len({canonical_json(spec[part]) for spec in twins}) == 1
    assert (
        len({job.seeds for job in made.students}) == 2
    )  # conditions share their seed's weights and order, seeds do not


# -- refusals ------------------------------------------------------------------------------------------------


def test_condition_with_a_failed_check_is_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Size.check

    def weak(self: Size, before: Examples, after: Examples) -> Manipulation:
        honest = real(self, before, after)
        return Manipulation("size", honest.measure, 10, 7, 0.0) if self.level == 10 else honest

    monkeypatch.setattr(Size, "check", weak)
    made = plan()
    excluded = [cell for cell in made.cells if cell.excluded]
    assert len(excluded) == 8
    assert {cell.levels["size"] for cell in excluded} == {10}
    assert {cell.excluded for cell in excluded} == {"size: requested examples per class 10, measured 7"}
    assert {cell.run for cell in excluded} == {None}
    assert {len(entry.checks) for entry in made.conditions} == {1}
    monkeypatch.undo()
    assert set(made.jobs) == set(plan(factors={"size": [5]}).jobs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": {"size": [5, 10_000]}}, "at most"),
        ({"factors": {"imbalance": [10_000]}}, "at most"),
        ({"students": ["resnet9"]}, "unknown model"),
        ({"teacher": {"model": "resnet"}}, "unknown model"),
        ({"data": {"resolution": 4}}, "too small"),
    ],
)
def test_impossible_studies_are_refused_when_planned(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        plan(**changes)


def test_outputs_that_only_fit_alone_are_stored_in_part() -> None:
    """The logits are stored, and methods that need more are served by a live teacher."""
    sizes = [plan(**ONE, methods=["ce", name]).stored_bytes for name in ("kd", "rkd")]
    both = {**ONE, "methods": ["ce", "kd", "rkd"]}
    together = plan(**both).stored_bytes
    assert max(sizes) < together < sum(sizes)  # the keys are shared
    tight = plan(**both, teacher={"outputs": {"budget": together - 1}})
    assert 0 < tight.stored_bytes < together
    live = [job for job in tight.students if job.cohort]
    assert {job.method["name"] for job in live} == {"rkd"}


@pytest.mark.parametrize(("name", "served"), [("progressive_self", False), ("crd", False), ("infonce", True)])
def test_methods_with_a_memory_of_images_refuse_mixed_views(name: str, served: bool) -> None:
    views = {"views": ["crop", "flip", {"mixup": {}}]}
    if served:
        plan(methods=["ce", name], recipe=views)
        return
    for methods_of in (["ce", name], ["ce", {"kd": {}, name: {}}] if name == "crd" else ["ce", name]):
        with pytest.raises(RequestError, match=f"{name}.* stores outputs per image"):
            plan(methods=methods_of, recipe=views)
