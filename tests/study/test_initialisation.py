"""The factor `initialisation`: distillation is compared with and without a pretrained start."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.factors import Initialisation
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.planning.plan import Plan
from distillab.study.spec.references import check_references
from support.studies import begin, plan, run_here, spec

BOTH = {"initialisation": ["scratch", "pretrained"]}


@pytest.fixture
def student(tmp_path: Path) -> dict[str, Any]:
    """A student with weights of its own, which the level `pretrained` stands for."""
    network = build_model("resnet8", classes=6, inputs=InputSpec.square(1, 8))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    return {"model": "resnet8", "weights": str(tmp_path / "w.pth")}


def by_level(made: Plan) -> dict[Any, list[Any]]:
    jobs = defaultdict(list)
    for cell in made.cells:
        jobs[cell.levels["initialisation"]].append(made.jobs[cell.run_id])
    return jobs


def test_level_decides_whether_students_start_from_weights(student: dict[str, Any]) -> None:
    jobs = by_level(plan(factors=BOTH, students=[student]))
    assert jobs.keys() == {"scratch", "pretrained"}
    assert all(job.start is None for job in jobs["scratch"])
    assert all(job.start is not None for job in jobs["pretrained"])


def test_runs_from_scratch_are_those_of_a_study_without_the_factor(student: dict[str, Any]) -> None:
    with_factor = by_level(plan(factors=BOTH, students=[student]))
    assert [job.id for job in with_factor["scratch"]] == [
        cell.run_id for cell in plan(factors={}, students=["resnet8"]).cells
    ]


def test_levels_share_teachers_and_seeds(student: dict[str, Any]) -> None:
    made = plan(factors=BOTH, students=[student], seeds=1, teacher={"provenance": "full"})
    assert len(made.teachers) == 1 and len(made.outputs) == 1
    scratch, pretrained = by_level(made).values()
    assert [job.seeds for job in scratch] == [job.seeds for job in pretrained]
    assert [job.sets for job in scratch] == [job.sets for job in pretrained]


def test_both_spellings_are_one_factor(student: dict[str, Any]) -> None:
    british = spec(factors=BOTH, students=[student])
    american = spec(factors={"initialization": BOTH["initialisation"]}, students=[student])
    assert british.identity == american.identity
    with pytest.raises(RequestError, match="one key: write it once"):
        spec(factors={"initialization": ["scratch"], **BOTH}, students=[student])


def test_results_have_a_column_and_effects_a_gain_for_each_start(
    student: dict[str, Any], tmp_path: Path
) -> None:
    folder = begin(tmp_path, factors=BOTH, students=[student], teacher={"provenance": "full"})
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert {row["factor.initialisation"] for row in rows} == {"scratch", "pretrained"}
    effects = read_rows(folder.effects_file)
    assert {(row["factor.initialisation"], row["n_pairs"]) for row in effects} == {
        ("scratch", 2),
        ("pretrained", 2),
    }
    assert [note.split(",")[0] for note in StudyFolder.open(folder.path).starts] == [
        "resnet8 starts from w.pth"
    ]


def test_networks_without_weights_are_refused_before_data_are_read() -> None:
    study = spec(factors=BOTH, students=["resnet8"], data={"source": "folder", "path": "nowhere"})
    with pytest.raises(RequestError) as caught:
        check_references(study)
    line = str(caught.value)
    assert line.startswith("study.yaml: students: resnet8: has no pretrained weights (allowed: efficientn")
    assert "\n" not in line


def test_scratch_alone_needs_no_weights() -> None:
    check_references(spec(factors={"initialisation": ["scratch"]}, students=["resnet8"]))


def test_teachers_vary_if_their_role_is_named(student: dict[str, Any], tmp_path: Path) -> None:
    factor = {"initialisation": {"levels": ["scratch", "pretrained"], "roles": ["teacher"]}}
    small: dict[str, Any] = {"factors": factor, "seeds": 1, "students": ["resnet8"], "methods": ["kd"]}
    made = plan(**small, teacher={"model": "efficientnet_lite0", "provenance": "full"})
    starts = [job.start for job in made.teachers]
    assert len(starts) == 2 and sum(start is None for start in starts) == 1
    assert all(job.start is None for job in made.students)
    with pytest.raises(RequestError, match=r"several models .*random weights"):
        plan(**small, teacher={"models": ["resnet8", "resnet8"], "model": "", "provenance": "full"})


@pytest.mark.parametrize("roles", [["val"], ["transfer", "eval"], []])
def test_roles_without_networks_are_refused(roles: list[str]) -> None:
    with pytest.raises(RequestError, match=r"initialisation\.roles"):
        spec(factors={"initialisation": {"levels": ["scratch"], "roles": roles}})


def test_a_teacher_that_starts_pretrained_is_another_teacher() -> None:
    teacher = {"model": "efficientnet_lite0", "provenance": "full"}
    small: dict[str, Any] = {"factors": {}, "seeds": 1, "methods": ["kd"]}
    usual, started = (plan(**small, teacher=teacher | {"pretrained": each}) for each in (False, True))
    assert usual.teachers[0].id != started.teachers[0].id
    assert started.teachers[0].start is not None and started.teachers[0].start.pretrained
    assert started.cells[0].teacher == "efficientnet_lite0(pretrained)"
    [note] = started.starts
    assert "ImageNet-1k" in note and "used at 8x8" in note


@pytest.mark.parametrize(
    "teacher",
    [
        {"models": ["resnet8", "resnet8"], "model": "", "pretrained": True},
        {"provenance": "external", "weights": "w.pth", "pretrained": True},
    ],
)
def test_pretrained_is_of_one_trained_teacher(teacher: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="pretrained is how one model starts that is trained"):
        spec(teacher=teacher)


def test_description_names_the_start() -> None:
    assert Initialisation(level="scratch").description == "scratch initialization"


def test_pretrained_network_trains_and_is_read_again(tmp_path: Path) -> None:
    folder = begin(
        tmp_path,
        factors={},
        seeds=1,
        students=[{"model": "efficientnet_lite0", "pretrained": True}],
        methods=["ce"],
        recipe={"steps": 1, "batch_size": 4},
        teacher={"provenance": "full"},
    )
    [row] = run_here(folder)
    assert row["status"] == "done" and row["student"] == "efficientnet_lite0(pretrained)"
    record = folder.store.run_record("student", row["run_id"])
    assert record.normalization == {
        "mean": [pytest.approx(127 / 255, abs=1e-5)],
        "std": [pytest.approx(128 / 255, abs=1e-5)],
    }
    assert record.start is not None and record.start["file"].startswith("efficientnet-lite0")
