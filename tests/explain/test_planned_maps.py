"""The cost of explanation maps in a plan, and their computation by several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab.api import Study
from distillab.cli import execute
from distillab.evidence.results import write_tables
from distillab.evidence.schema import read_rows
from distillab.explain.costs import planned_maps
from distillab.explain.tables import write_explanations
from distillab.study.folder import StudyFolder
from distillab.study.planning.summary import PlanSummary, summarize_plan
from support.explained import counted_passes
from support.studies import CPU, study, write_study

CHANGES: dict[str, Any] = {
    "data": {"source": "digits", "classes": 4, "resolution": 16},
    "teacher": {"model": "resnet14", "provenance": "full", "replicates": 1},
    "factors": {},
    "evidence": {"probes": 0},
    "explain": {"attributions": ["occlusion"], "images": 6},
}


def planned(**changes: Any) -> Study:
    return Study(**study(**{**CHANGES, **changes}))


def summary(**changes: Any) -> PlanSummary:
    made = planned(**changes)
    dataset, plan = made.plan(device="cpu")
    maps = planned_maps(made.spec, dataset, plan.at_most)
    return summarize_plan(made.spec, dataset, plan, CPU, maps=maps, workers=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study without explanations in its store."""
    out = tmp_path_factory.mktemp("maps") / "study"
    kept = {key: value for key, value in study(**CHANGES).items() if key != "explain"}
    Study(**kept).run(out, executor="inline", workers=1, report=False)
    return StudyFolder.begin(out, planned().spec, CPU)


def test_plan_counts_the_forward_passes_that_maps_take(folder: StudyFolder) -> None:
    dataset, plan = planned().plan(device="cpu")
    maps = planned_maps(folder.spec, dataset, plan)
    tables = write_tables(folder)
    with counted_passes() as counted:
        write_explanations(folder, tables)
    assert maps is not None
    assert (maps.networks, maps.images, maps.attributions) == (4 + 1, 6, ("occlusion",))
    assert counted == maps.passes


def test_several_processes_give_the_same_tables(folder: StudyFolder, tmp_path: Path) -> None:
    tables = write_tables(folder)
    write_explanations(folder, tables)
    alone = read_rows(folder.explanations_file)
    stored = folder.store.folder("explanations", "").parent / "explanations"
    stored.rename(tmp_path / "moved")
    seen: list[tuple[str, int, int]] = []
    write_explanations(folder, tables, workers=2, on_progress=lambda *each: seen.append(each))
    for one, other in zip(alone, read_rows(folder.explanations_file), strict=True):
        assert other == pytest.approx(one)
    assert len(list(stored.iterdir())) == 4 + 1
    assert seen == [("explaining networks", done, 5) for done in range(6)]


def test_maps_are_part_of_the_wall_time() -> None:
    without = summary(explain=None)
    seen = summary()
    assert (without.maps, without.map_seconds) == (None, 0.0)
    assert seen.map_seconds > 0
    assert seen.wall_seconds >= seen.map_seconds / 2
    assert set(seen.seconds) == set(without.seconds)


def test_plan_states_the_cost_of_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path / "study.yaml", **CHANGES)
    assert execute(["plan", str(tmp_path / "study.yaml"), "--device", "cpu"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "explanations about 0:0" in printed
    assert "occlusion of 5 networks on 6 images" in printed
    assert "retrieval" not in printed


@pytest.mark.parametrize("task", ["classification", "embedding"])
def test_evaluations_by_retrieval_are_part_of_the_training_time(task: str) -> None:
    seen = summary(task=task, explain=None)
    assert seen.retrieval_seconds <= sum(seen.seconds.values())
    assert (seen.retrieval_seconds > 0) == (task == "embedding")
