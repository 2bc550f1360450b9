"""The tables that a study leaves behind: their columns, their types, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from distillab.artefacts import write_atomically
from distillab.errors import RequestError
from distillab.evidence.pairs import Row
from distillab.tasks.classification import METRICS

VERSION = 1

Columns = dict[str, pa.DataType]
Factors = Sequence[str] | Mapping[str, bool]
"""The factors of a study; in a mapping, whether the levels of each are names."""


def results_schema(factors: Factors, tests: Sequence[str] = ()) -> pa.Schema:
    """Columns of ``results.parquet``, one row a student run, for a study with the named factors.

    Accuracies are fractions in [0, 1]. ``n_test`` (images in the test set) follows the columns that design
    and documentation promise; new columns go after it: ``n_unlabelled`` (transfer images without a label, not
    counted in ``n_train``), accuracies of the frequent, middle and rare classes, and for each of the further
    ``tests`` ``accuracy.NAME`` and ``worst_group_accuracy.NAME``.
    """
    return _schema(
        "results",
        {"run_id": pa.string(), "study": pa.string(), "dataset": pa.string()}
        | _factors(factors)
        | _named("provenance teacher student method", pa.string())
        | {"seed": pa.int64(), "status": pa.string(), "n_train": pa.int64()}
        | _named("accuracy accuracy_selected balanced_accuracy macro_f1", pa.float64())
        | _named("worst_class_accuracy worst_group_accuracy nll brier ece", pa.float64())
        | _named("agreement teacher_kl teacher_accuracy", pa.float64())
        | {"params": pa.int64(), "macs": pa.int64(), "epochs": pa.int64(), "train_seconds": pa.float64()}
        | {"n_test": pa.int64(), "n_unlabelled": pa.int64()}
        | _named("head_accuracy middle_accuracy tail_accuracy", pa.float64())
        | {f"{name}.{test}": pa.float64() for test in tests for name in METRICS.per_test},
    )


def effects_schema(factors: Factors, *, looks: bool = False) -> pa.Schema:
    """Columns of ``effects.parquet``, one row a contrast, for a study with the named factors.

    ``plain_mean``, ``distilled_mean``, ``teacher_accuracy`` and ``n_tests`` (distinct tests in the family
    that ``p_adjusted`` corrects for) follow the promised columns. A study that stops when it is decided
    (``looks``) has two more: ``confidence``, the level of the interval, and ``look``, the number of the look
    that it belongs to.
    """
    return _schema(
        "effects",
        {"dataset": pa.string()}
        | _factors(factors)
        | _named("provenance teacher student method baseline metric", pa.string())
        | {"n_pairs": pa.int64()}
        | _named("gain ci_low ci_high p_value p_adjusted", pa.float64())
        | {"verdict": pa.string()}
        | _named("gap_closed error_ratio plain_mean distilled_mean teacher_accuracy", pa.float64())
        | {"n_tests": pa.int64()}
        | ({"confidence": pa.float64(), "look": pa.int64()} if looks else {}),
    )


def write_table(rows: Sequence[Row], schema: pa.Schema, path: Path) -> None:
    """Write rows as Parquet, whole or not at all: to a temporary name beside ``path``, then renamed.

    A column that a row lacks, and NaN, become null. Raises ValueError for a key that is not a column, so that
    nothing is lost in silence, and pyarrow.ArrowException for a value of the wrong type.
    """
    names = set(schema.names)
    for row in rows:
        if unknown := row.keys() - names:
            raise ValueError(f"not columns of the {_kind(schema)} table: {', '.join(sorted(unknown))}")
    complete = [{name: _plain(row.get(name)) for name in names} for row in rows]
    table = pa.Table.from_pylist(complete, schema=schema)
    with write_atomically(path) as draft:
        pq.write_table(table, draft)


def read_rows(path: Path) -> list[Row]:
    """The rows of a table written by :func:`write_table`, columns in the schema's order, null as None.

    Raises:
        RequestError: if there is no such file, it is no table of this project, or a newer version wrote it.
    """
    if not path.is_file():
        raise RequestError("there is no such table", where=str(path))
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise RequestError("this is not a Parquet file", where=str(path)) from error
    version = (table.schema.metadata or {}).get(b"version", b"")
    if not version.isdigit():
        raise RequestError("this table was not written by distillab: it has no version", where=str(path))
    if int(version) > VERSION:
        raise RequestError(
            f"this table has version {int(version)}", where=str(path), allowed=f"versions up to {VERSION}"
        )
    rows: list[Row] = table.to_pylist()
    return rows


def _schema(kind: str, columns: Columns) -> pa.Schema:
    return pa.schema(list(columns.items()), metadata={"table": kind, "version": str(VERSION)})


def _kind(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(b"table", b"given").decode())


def _named(names: str, kind: pa.DataType) -> Columns:
    return dict.fromkeys(names.split(), kind)


def _factors(factors: Factors) -> Columns:
    named = factors if isinstance(factors, Mapping) else dict.fromkeys(factors, False)
    return {f"factor.{name}": pa.string() if names else pa.float64() for name, names in named.items()}


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
