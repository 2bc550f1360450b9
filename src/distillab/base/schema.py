"""The two tables of the evidence base: their columns, types and version.

``contexts.parquet`` has one row per context, ``runs.parquet`` one row per student run. Measures of the data
(``profile.NAME``), predictors computed from the teacher alone (``predictor.NAME``) and seconds by phase
(``seconds.NAME``) are columns of their own, null where they were not measured. Nothing is imputed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from distillab.artefacts import write_atomically
from distillab.errors import RequestError
from distillab.parquet_files import read_parquet

BASE_VERSION = 1
"""Version of the two tables. Columns are added without a new version, never renamed with the same one."""

PROFILE = "profile."
PREDICTOR = "predictor."
SECONDS = "seconds."

PREDICTORS = (
    "teacher_accuracy",
    "teacher_minus_probe",
    "top_ratio",
    "view_spread",
    "ece",
    "entropy",
)
"""What is computed from the teacher alone; columns ``predictor.NAME`` of the contexts."""

RUN_PHASES = (
    "views",
    "teacher",
    "forward",
    "backward",
    "optimizer",
    "evaluation",
    "waiting",
    "building",
    "test_curve",
    "testing",
    "writing",
)
"""The phases of a run; columns ``seconds.NAME`` of the runs."""

RUN_METRICS = (
    "accuracy",
    "accuracy_selected",
    "balanced_accuracy",
    "macro_f1",
    "worst_class_accuracy",
    "worst_group_accuracy",
    "nll",
    "brier",
    "ece",
    "agreement",
    "teacher_kl",
    "teacher_accuracy",
    "head_accuracy",
    "middle_accuracy",
    "tail_accuracy",
    "val_score",
)
"""The metrics of a run, by the names of ``results.parquet``."""

_CONTEXT_TEXTS = ("context", "tier", "base_set", "dataset")
_LEVELS = ("imbalance", "label_noise", "similarity", "shift", "spurious")
_LIMIT = 5_000_000  # bytes of both files at 20,000 runs


def contexts_schema(profile: Sequence[str] = ()) -> pa.Schema:
    """Return the columns of ``contexts.parquet``, one row per context.

    Args:
        profile: The keys of the measures of a profile; each is a column ``profile.KEY``.

    Example:
        >>> contexts_schema(["images"]).field("profile.images").type
        DataType(double)
    """
    columns: dict[str, pa.DataType] = dict.fromkeys(_CONTEXT_TEXTS, pa.string())
    columns |= {"design_index": pa.int32(), "n_classes": pa.int32(), "classes": pa.list_(pa.string())}
    columns |= dict.fromkeys(("size", "n_train", "n_test", "resolution", "channels"), pa.int32())
    columns |= dict.fromkeys(_LEVELS, pa.float32())
    columns |= {"provenance": pa.string(), "teacher": pa.string(), "teacher_steps": pa.int32()}
    columns |= {"teacher_params": pa.int64(), "student": pa.string(), "student_params": pa.int64()}
    columns |= {"initialisation": pa.string(), "steps": pa.int32(), "batch_size": pa.int32()}
    columns |= {"epochs": pa.int32(), "converged": pa.bool_()}
    columns |= {"doubling_plain": pa.float32(), "doubling_distilled": pa.float32()}
    columns |= {"excluded_because": pa.string()}
    columns |= {f"{PROFILE}{key}": pa.float64() for key in profile}
    columns |= {f"{PREDICTOR}{key}": pa.float64() for key in PREDICTORS}
    columns |= {"study_yaml": pa.string(), "seconds": pa.float32()}
    return _schema("contexts", columns)


def runs_schema() -> pa.Schema:
    """Return the columns of ``runs.parquet``, one row per student run.

    ``kind`` is ``run`` for a run that is compared, ``probe`` for one over twice the steps, and ``trial`` for
    one of tuning. ``look_steps``, ``look_seconds``, ``val_curve`` and ``test_curve`` have one entry per point
    of the validation curve.

    Example:
        >>> runs_schema().names[:5]
        ['context', 'run_id', 'kind', 'method', 'setting']
    """
    columns: dict[str, pa.DataType] = dict.fromkeys(
        ("context", "run_id", "kind", "method", "setting"), pa.string()
    )
    columns |= {"seed": pa.int32(), "teacher_run": pa.string(), "status": pa.string(), "error": pa.string()}
    columns |= {"steps": pa.int32(), "lr": pa.float32(), "tuned_keys": pa.string()}
    columns |= dict.fromkeys(RUN_METRICS, pa.float32())
    columns |= {"train_seconds": pa.float32()}
    columns |= {f"{SECONDS}{phase}": pa.float32() for phase in RUN_PHASES}
    columns |= {"look_steps": pa.list_(pa.int32()), "look_seconds": pa.list_(pa.float32())}
    columns |= dict.fromkeys(("val_curve", "test_curve"), pa.list_(pa.float32()))
    return _schema("runs", columns)


def profile_keys(names: Iterable[str]) -> list[str]:
    """Return the measures of a profile among the names of columns.

    Example:
        >>> profile_keys(["context", "profile.images", "predictor.ece"])
        ['images']
    """
    return [name.removeprefix(PROFILE) for name in names if name.startswith(PROFILE)]


def table_of(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table of a schema. Columns that a row lacks are null.

    Raises:
        ValueError: A key is not a column, so that a value would be lost.

    Example:
        >>> table_of([{"context": "r-0000", "seed": 3}], runs_schema()).column("seed").to_pylist()
        [3]
    """
    names = set(schema.names)
    for row in rows:
        if unknown := row.keys() - names:
            raise ValueError(f"not columns of the table: {', '.join(sorted(unknown))}")
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def write_part(table: pa.Table, path: Path) -> None:
    """Write a table as compressed Parquet, completely or not at all.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "runs.parquet"
        >>> write_part(table_of([{"context": "r-0000"}], runs_schema()), path)
        >>> read_part(path, "runs").num_rows
        1
    """
    with write_atomically(path) as draft, draft.open("wb") as file:
        pq.write_table(table, file, compression="zstd", compression_level=9)


def read_part(path: Path, table: str) -> pa.Table:
    """Return a table of an evidence base.

    Args:
        path: The Parquet file.
        table: ``contexts`` or ``runs``.

    Raises:
        RequestError: There is no such file, it is not this table, or a newer version wrote it.

    Example:
        >>> read_part(Path("missing.parquet"), "runs")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing.parquet: there is no such table of an evidence base
    """
    if not path.is_file():
        raise RequestError("there is no such table of an evidence base", where=str(path))
    try:
        found = read_parquet(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise RequestError("this is not a Parquet file", where=str(path)) from error
    facts = found.schema.metadata or {}
    if facts.get(b"table", b"").decode() != f"evidence base {table}":
        raise RequestError(f"this is not the table of {table} of an evidence base", where=str(path))
    version = int(facts.get(b"version", b"0"))
    if version > BASE_VERSION:
        raise RequestError(
            f"this evidence base has version {version}",
            where=str(path),
            allowed=f"versions up to {BASE_VERSION}",
        )
    promised = contexts_schema() if table == "contexts" else runs_schema()
    if missing := sorted(set(promised.names) - set(found.column_names)):
        raise RequestError(f"the table lacks the columns {', '.join(missing)}", where=str(path))
    return found


def most_bytes(runs: int) -> int:
    """Return how large both files may be together, for a number of runs.

    Five million bytes at 20,000 runs, in proportion above, and never less than one million.

    Example:
        >>> most_bytes(20_000), most_bytes(100)
        (5000000, 1000000)
    """
    return max(1_000_000, _LIMIT * runs // 20_000)


def _schema(table: str, columns: Mapping[str, pa.DataType]) -> pa.Schema:
    metadata = {"table": f"evidence base {table}", "version": str(BASE_VERSION)}
    return pa.schema(list(columns.items()), metadata=metadata)
