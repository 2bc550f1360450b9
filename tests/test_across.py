"""distillab across: studies, tables and evidence bases as a user gives them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import distillab
from distillab.api.across_sets import Across
from distillab.base.evidence_base import CONTEXTS, EvidenceBase, read
from distillab.cli import execute
from support.evidence_base import write_evidence_base
from support.source_tree import ROOT

CIFAR, LEAVES = (
    str(ROOT / "docs" / "results" / f"{name}-results.parquet")
    for name in ("cifar100-size", "corn-leaf-noise")
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> EvidenceBase:
    return write_evidence_base(tmp_path_factory.mktemp("base"), contexts=80)


@pytest.fixture(scope="module")
def over_base(base: EvidenceBase) -> Across:
    return distillab.across(base)


def test_planted_effect_of_size_is_recovered(over_base: Across) -> None:
    [kd] = [each for each in over_base.found.factors if each.method == "kd"]
    [size] = [each for each in kd.effects if each.term == "size from 10 to 160"]
    assert size.ci_low < -0.03 < size.ci_high  # planted: -0.03 from 10 to 160 examples per class
    assert size.p_value < 0.05
    assert size.note == "few base sets: it varies within 8"


def test_planted_order_of_methods_is_recovered(over_base: Across) -> None:
    methods = [each.method for each in over_base.found.methods]
    assert methods[:3] == ["kd", "dkd", "attention"]
    assert methods[-1] == "random_teacher"
    assert {each.method for each in over_base.found.methods if each.control} == {
        "label_smoothing",
        "random_teacher",
    }


def test_starved_contexts_are_left_out_and_failures_counted(over_base: Across) -> None:
    [out] = over_base.found.table.left_out
    assert (out.count, out.reason) == (2, "excluded from advice by the base")
    assert len(over_base.found.table.contexts) == 78
    assert over_base.found.table.failed == 2


def test_probes_and_trials_are_no_runs(base: EvidenceBase, over_base: Across) -> None:
    probes = {row["run_id"] for row in base.runs.to_pylist() if row["kind"] == "probe"}
    assert probes
    assert all(len(scores) <= 5 for each in over_base.found.table.contexts for scores in each.scores.values())


def test_folder_of_a_base_is_read_like_the_base(
    base: EvidenceBase, tmp_path: Path, over_base: Across
) -> None:
    write_evidence_base(tmp_path / "there", contexts=80)
    there = distillab.across(tmp_path / "there", methods=["kd"])
    assert [each.method for each in there.found.methods] == ["kd"]
    assert there.found.methods[0].gain.mean == pytest.approx(over_base.found.methods[0].gain.mean)


def test_tables_of_two_studies_are_two_base_sets() -> None:
    found = distillab.across(CIFAR, LEAVES)
    assert found.found.table.base_sets == ["cifar100", "corn_leaf"]
    assert found.answer.headline == "Over 2 base sets and 16 contexts, kd and dkd have no verdict."
    assert found.answer.harms[0] == "kd worsens calibration error in 6 of 16 contexts."


def test_runs_that_two_studies_share_count_once(tmp_path: Path) -> None:
    copy = tmp_path / "copy.parquet"
    shutil.copy(LEAVES, copy)
    once, twice = distillab.across(LEAVES), distillab.across(LEAVES, copy)
    assert len(twice.found.table.contexts) == len(once.found.table.contexts) == 8
    assert twice.found.methods[0].gain.mean == once.found.methods[0].gain.mean
    assert [out.count for out in twice.found.table.left_out] == [8]


def test_command_prints_harm_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["across", CIFAR, LEAVES]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Over 2 base sets")
    assert lines[1].startswith("Harm: kd worsens")


def test_json_has_the_same_conclusions(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["across", LEAVES, "--json", "--method", "kd"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["method"] for each in found["methods"]] == ["kd"]
    assert found["contexts"] == 8
    assert found["harm_sentences"] == list(distillab.across(LEAVES, methods=["kd"]).answer.harms)


def test_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["across", LEAVES, "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "Critical-difference" not in text  # one base set has no ranks
    assert "Ranks need two base sets" in text
    assert "no mixed model, fewer than 5 base sets (1)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no study here"),
        ([LEAVES, "--method", "kdd"], "--method: unknown method 'kdd'"),
        ([LEAVES, "--margin", "-1"], "margin: -1.0 is negative"),
        (
            [LEAVES, "--out", "/no/such/folder/page.html"],
            "--out /no/such/folder/page.html: cannot be written",
        ),
        ([str(ROOT / "README.md")], "this is not a Parquet file"),
        ([LEAVES.replace("results.parquet", "effects.parquet")], "this is not a table of runs"),
    ],
)
def test_wrong_requests_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["across", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_half_an_evidence_base_is_refused(
    base: EvidenceBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(base.contexts, tmp_path / CONTEXTS)
    assert execute(["across", str(tmp_path)]) == 2
    assert "runs.parquet: there is no such table of an evidence base" in capsys.readouterr().err


def test_shipped_base_or_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code = execute(["across", "--method", "kd"])
    try:
        read()
    except distillab.RequestError:
        assert code == 2
        assert "no evidence base is part of this installation" in capsys.readouterr().err
    else:
        assert code == 0
