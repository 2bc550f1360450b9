"""Tables: the promised columns, atomic writes, and a version that is checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillab.errors import RequestError
from distillab.evidence.schema import effects_schema, read_rows, results_schema, write_table
from distillab.evidence.table_schema import VERSION
from distillab.tasks import Classification

TASK = Classification()

RESULTS = """
run_id study dataset factor.size factor.label_noise provenance teacher student method seed status n_train
accuracy accuracy_selected balanced_accuracy macro_f1 worst_class_accuracy worst_group_accuracy nll brier ece
agreement teacher_kl teacher_accuracy params macs epochs train_seconds
"""
EFFECTS = """
dataset factor.size factor.label_noise provenance teacher student method baseline metric n_pairs gain ci_low
ci_high p_value p_adjusted verdict gap_closed error_ratio
"""


@pytest.mark.parametrize(("schema", "promised"), [(results_schema, RESULTS), (effects_schema, EFFECTS)])
def test_promised_columns_come_first_in_the_promised_order(
    schema: Callable[..., pa.Schema], promised: str
) -> None:
    made, names = schema(["size", "label_noise"], TASK), promised.split()
    assert made.names[: len(names)] == names
    assert made.metadata[b"version"] == str(VERSION).encode()


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    schema = effects_schema(["size"], TASK)
    row = dict.fromkeys(schema.names) | {
        "dataset": "d",
        "factor.size": 25.0,
        "n_pairs": 6,
        "gain": 0.1,
        "verdict": "helps",
    }
    path = tmp_path / "effects.parquet"
    write_table([row], schema, path)
    assert read_rows(path) == [row]
    assert pq.read_schema(path).metadata[b"table"] == b"effects"
    write_table([], schema, path)
    assert read_rows(path) == []


def test_nan_and_missing_values_become_null(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_table(
        [{"run_id": "a", "factor.size": 25, "accuracy": math.nan}], results_schema(["size"], TASK), path
    )
    (row,) = read_rows(path)
    assert row["accuracy"] is None and row["seed"] is None
    assert row["factor.size"] == 25.0


def test_key_that_is_not_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"results table: accurracy"):
        write_table([{"accurracy": 0.5}], results_schema([], TASK), tmp_path / "results.parquet")
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_table_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, schema = tmp_path / "results.parquet", results_schema([], TASK)
    write_table([{"run_id": "old"}], schema, path)

    def broken(table: pa.Table, file: IO[bytes]) -> None:
        file.write(b"half a table")
        raise OSError("no space left")

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(OSError, match="no space"):
        write_table([{"run_id": "new"}], schema, path)
    assert [row["run_id"] for row in read_rows(path)] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowException):
        write_table([{"seed": "first"}], results_schema([], TASK), tmp_path / "results.parquet")


def test_foreign_tables_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    with pytest.raises(RequestError, match="no such table"):
        read_rows(path)
    path.write_text("not parquet")
    with pytest.raises(RequestError, match="not a Parquet file"):
        read_rows(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(RequestError, match="no version"):
        read_rows(path)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"version": str(VERSION + 1)}), path)
    with pytest.raises(RequestError, match=f"versions up to {VERSION}"):
        read_rows(path)
