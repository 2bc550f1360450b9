"""Reading the evidence base: what is refused, and which runs are paired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillab.base import RUN_METRICS, read
from distillab.base.evidence_base import CONTEXTS, RUNS
from distillab.base.schema import contexts_schema, most_bytes, runs_schema, table_of, write_part
from distillab.errors import RequestError
from support.evidence_base import DIVERGING, FAILING, STARVED, without_columns, write_evidence_base

DAMAGES = ["empty", "not a table", "other table", "newer version", "column missing", "absent"]


def test_a_base_reads_as_it_was_written(tmp_path: Path) -> None:
    base = write_evidence_base(tmp_path / "base")
    assert base.contexts.num_rows == 40
    assert len(base.base_sets) == 8
    again = read(tmp_path / "base")
    assert again.contexts.equals(base.contexts)
    assert again.runs.equals(base.runs)
    assert again.version == base.version


def test_runs_are_paired_by_seed(tmp_path: Path) -> None:
    base = write_evidence_base(tmp_path / "base")
    of_runs = {
        (row["context"], row["seed"], row["method"]): row["accuracy"]
        for row in base.runs.to_pylist()
        if row["kind"] == "run"
    }
    [pairs] = [each for each in base.pairs("kd") if each.context == "r-0002"]
    expected = [of_runs["r-0002", seed, "kd"] - of_runs["r-0002", seed, "ce"] for seed in range(5)]
    assert pairs.differences == pytest.approx(expected)
    assert pairs.gain == pytest.approx(np.mean(expected))
    assert pairs.seeds.tolist() == list(range(5))


@pytest.mark.parametrize(("context", "method"), [(FAILING, "dkd"), (DIVERGING, "kd")])
def test_failed_runs_have_no_pair_and_stay_rows(tmp_path: Path, context: int, method: str) -> None:
    base = write_evidence_base(tmp_path / "base")
    [pairs] = [each for each in base.pairs(method) if each.context == f"r-{context:04d}"]
    assert len(pairs) == 4
    rows = [
        row for row in base.runs.to_pylist() if row["context"] == pairs.context and row["method"] == method
    ]
    assert len([row for row in rows if row["kind"] == "run"]) == 5
    assert [row["accuracy"] for row in rows if row["status"] != "done"] == [None]


def test_starved_contexts_are_left_out_unless_wanted(tmp_path: Path) -> None:
    base = write_evidence_base(tmp_path / "base")
    starved = {f"r-{index:04d}" for index in STARVED}
    assert starved.isdisjoint(each.context for each in base.pairs("kd"))
    every = {each.context: each.usable for each in base.pairs("kd", usable_only=False)}
    assert len(every) == 40
    assert {context for context, usable in every.items() if not usable} == starved


def test_probes_are_not_compared(tmp_path: Path) -> None:
    base = write_evidence_base(tmp_path / "base", seeds=1)
    assert {len(each) for each in base.pairs("kd")} == {1}


def test_tuned_runs_come_first_where_both_arms_have_them() -> None:
    from distillab.base import EvidenceBase

    values = {("ce", "default"): 0.5, ("kd", "default"): 0.6, ("ce", "tuned"): 0.58, ("kd", "tuned"): 0.62}
    common = {"kind": "run", "seed": 0, "status": "done"}
    runs = [
        {"context": context, "method": method, "setting": setting, "accuracy": value, **common}
        for context in ("a", "b")
        for (method, setting), value in values.items()
        if (context, method, setting) != ("b", "ce", "tuned")
    ]
    contexts = [{"context": context, "base_set": "usps", "tier": "R"} for context in ("a", "b")]
    base = EvidenceBase(table_of(contexts, contexts_schema()), table_of(runs, runs_schema()), 1)
    assert {each.context: round(each.gain, 3) for each in base.pairs("kd")} == {"a": 0.04, "b": 0.1}
    assert [round(each.gain, 3) for each in base.pairs("kd", setting="tuned")] == [0.04]
    assert [round(each.gain, 3) for each in base.pairs("kd", setting="default")] == [0.1, 0.1]


@pytest.mark.parametrize("metric", RUN_METRICS)
def test_every_metric_has_pairs_or_none_at_all(tmp_path: Path, metric: str) -> None:
    for each in write_evidence_base(tmp_path / "base", contexts=8).pairs("kd", metric=metric):
        assert np.isfinite(each.differences).all()


@pytest.mark.parametrize(("method", "metric", "named"), [("kdd", "accuracy", "kdd"), ("kd", "acc", "acc")])
def test_unknown_names_are_refused_with_what_is_known(
    tmp_path: Path, method: str, metric: str, named: str
) -> None:
    with pytest.raises(RequestError, match=named) as caught:
        write_evidence_base(tmp_path / "base", contexts=4).pairs(method, metric=metric)
    assert "kd" in str(caught.value) or "accuracy" in str(caught.value)


@pytest.mark.parametrize("name", [CONTEXTS, RUNS])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tables_are_refused_in_one_line(tmp_path: Path, name: str, damage: str) -> None:
    folder = tmp_path / "base"
    write_evidence_base(folder, contexts=3)
    path = folder / name
    table = pq.read_table(path)
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "not a table":
            path.write_text("context,run_id\n")
        case "other table":
            pq.write_table(pa.table({"context": ["r-0000"]}), path)
        case "newer version":
            newer = {**table.schema.metadata, b"version": b"999"}
            pq.write_table(table.replace_schema_metadata(newer), path)
        case "column missing":
            write_part(without_columns(table, "context"), path)
        case "absent":
            path.unlink()
    with pytest.raises(RequestError) as caught:
        read(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_with_an_unknown_column_is_refused() -> None:
    with pytest.raises(ValueError, match="acuracy"):
        table_of([{"acuracy": 0.5}], runs_schema())


def test_runs_fit_the_budget_of_size(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    base = write_evidence_base(folder, contexts=100)
    size = sum((folder / name).stat().st_size for name in (CONTEXTS, RUNS))
    assert size / base.runs.num_rows < most_bytes(20_000) / 20_000
