"""The tables that a study writes: their columns, their types, and how they are read and written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from distillab.artefacts import write_atomically
from distillab.errors import RequestError
from distillab.evidence.pairs import Row
from distillab.evidence.table_schema import (
    VERSION,
    Factors,
    columns_of_factors,
    number_columns,
    run_columns,
    table_schema,
    text_columns,
)
from distillab.integrity import SEAL, check_seal, sealed
from distillab.parquet_files import read_parquet
from distillab.printable import printable
from distillab.tasks import Classification, Task

# The promised tables have the metrics of classification, whatever the task: null where a task has no such
# metric. These came later and stand after the columns that follow the metrics.
LATER = ("head_accuracy", "middle_accuracy", "tail_accuracy", "group_accuracy")


def results_schema(
    factors: Factors, task: Task, tests: Sequence[str] = (), *, tuned: bool = False
) -> pa.Schema:
    """Return the columns of ``results.parquet``, one row per student run.

    Accuracies are fractions in [0, 1]. After the promised columns stand ``n_test`` (examples in the test
    set), ``n_unlabelled`` (transfer examples without a label, not counted in ``n_train``), ``teacher_run``
    (the id of the teacher's training), ``teacher_weights`` (the content address of a given teacher's weights,
    which several jobs may test), accuracies of frequent, middle and rare classes, the mean accuracy of the
    groups, the metrics of a task other than classification, ``steps``, the primary metric on val after the
    last step (``val_score``) and after twice the steps (``val_score_doubled``, of the seeds that are probed),
    the metrics on further test sets, such as ``accuracy.NAME``, and last how much the primary metric there
    differs from that on ``test``, such as ``accuracy_gap.NAME``.

    Args:
        factors: The factors of the study.
        task: The task of the study.
        tests: Names of the further test sets.
        tuned: Whether the study tunes its methods. It then has the columns ``setting`` (``default`` or
            ``tuned``) and, of tuned runs, the chosen values.

    Example:
        >>> results_schema(["size"], Classification()).names[:5]
        ['run_id', 'study', 'dataset', 'factor.size', 'provenance']
    """
    classification = Classification()
    promised = [name for name in classification.metrics if name not in LATER]
    return table_schema(
        "results",
        {"run_id": pa.string(), "study": pa.string(), "dataset": pa.string()}
        | columns_of_factors(factors)
        | text_columns("provenance", "teacher", "student", "method")
        | {"seed": pa.int64(), "status": pa.string(), "n_train": pa.int64()}
        | number_columns(promised)
        | number_columns([classification.of_teacher])
        | {"params": pa.int64(), "macs": pa.int64(), "epochs": pa.int64(), "train_seconds": pa.float64()}
        | {"n_test": pa.int64(), "n_unlabelled": pa.int64(), "teacher_run": pa.string()}
        | text_columns("teacher_weights")
        | number_columns([*LATER, *task.metrics, task.of_teacher])
        | ({"steps": pa.int64()} | number_columns(["val_score", "val_score_doubled"]))
        | number_columns(f"{name}.{test}" for test in tests for name in task.metrics.per_test)
        | (text_columns("setting") | {"tuned_lr": pa.float64(), "tuned_steps": pa.int64()} if tuned else {})
        | (
            number_columns(["tuned_length", "tuned_weight_decay"]) | text_columns("tuned_keys")
            if tuned
            else {}
        )
        | number_columns(f"{task.metrics.gap}.{test}" for test in tests),
    )


def tuning_schema(factors: Factors) -> pa.Schema:
    """Return the columns of ``tuning.parquet``, one row per trial.

    After the names of the cell stand the number of the setting (``trial``, 0 for the default one), whether it
    was chosen (null before that), the run with its score on the validation set at the last epoch (null if it
    diverged), and the setting; ``keys`` are those of the method, as JSON.

    Args:
        factors: The factors of the study.

    Example:
        >>> tuning_schema(["size"]).names[:4]
        ['study', 'dataset', 'factor.size', 'provenance']
    """
    return table_schema(
        "tuning",
        text_columns("study", "dataset")
        | columns_of_factors(factors)
        | text_columns("provenance", "teacher", "student", "method")
        | {"trial": pa.int64(), "is_default": pa.bool_(), "chosen": pa.bool_(), "seed": pa.int64()}
        | text_columns("run_id", "status")
        | number_columns(["val_score", "lr", "length"])
        | {"steps": pa.int64(), "weight_decay": pa.float64()}
        | text_columns("keys"),
    )


def against_teacher_schema(factors: Factors, *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``against_teacher.parquet``, one row per cell and method.

    ``score`` and ``loss`` are means over seeds of the primary metric and of the negative log-likelihood of
    the students, ``difference`` is the score less that of the teacher, paired by seed, and ``verdict`` is one
    of ``exceeds``, ``below``, ``equal`` and ``undecided``.

    Args:
        factors: The factors of the study.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> against_teacher_schema([]).names[:4]
        ['dataset', 'provenance', 'teacher', 'student']
    """
    return table_schema(
        "against_teacher",
        {"dataset": pa.string()}
        | columns_of_factors(factors)
        | text_columns(
            "provenance", "teacher", "student", *(["setting"] if tuned else []), "method", "metric"
        )
        | {"n_pairs": pa.int64()}
        | number_columns(["score", "loss", "teacher_score", "difference", "ci_low", "ci_high"])
        | text_columns("verdict"),
    )


def exits_schema(factors: Factors) -> pa.Schema:
    """Return the columns of ``exits.parquet``, one row per student, exit and vote.

    ``exit`` is ``exit 1`` and so on from shallow to deep, or ``vote``; ``params`` and ``macs`` are what is
    needed up to it, and ``score`` is the primary metric on the primary test set.

    Args:
        factors: The factors of the study.

    Example:
        >>> exits_schema([]).names[-5:]
        ['exit', 'metric', 'params', 'macs', 'score']
    """
    return table_schema(
        "exits",
        text_columns("run_id", "dataset")
        | columns_of_factors(factors)
        | text_columns("provenance", "teacher", "student", "method")
        | {"seed": pa.int64()}
        | text_columns("exit", "metric")
        | {"params": pa.int64(), "macs": pa.int64(), "score": pa.float64()},
    )


def explanations_schema(factors: Factors, *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``explanations.parquet``, one row per run and attribution.

    Values are means over the explained images. ``iou``, ``pearson`` and ``ssim`` compare the maps of student
    and teacher, and with the ending ``_untrained`` those of the student and of its network with random
    weights. ``deletion`` and ``insertion`` are areas below curves of the student's probability, and with an
    ending those in the order of a random map or of the map of the network with random weights.
    ``border_share`` is the share of the attribution on the border, whose share of the image is
    ``border_area``; ``same_class`` the share of images of which the student predicts the explained class,
    that of the teacher; ``blank`` the share of maps without any evidence for the class.

    Where images have boxes (``n_boxed`` of them), ``pointing`` is the share of maps whose maximum lies in a
    box of the explained class, within 15 pixels of 224, ``box_share`` the share of the attribution in it and
    ``box_iou`` the intersection over union of the top region. They stand beside those of the network with
    random weights, of a random place and of the center of the image, and the share of the image that is box.

    Args:
        factors: The factors of the study.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> explanations_schema([]).names[:4]
        ['run_id', 'study', 'dataset', 'provenance']
    """
    areas = ("deletion", "insertion")
    agreement = ("iou", "pearson", "ssim")
    boxed = ("pointing", "box_share", "box_iou")
    return table_schema(
        "explanations",
        run_columns(["run_id", "study", "dataset"], factors, tuned=tuned)
        | text_columns("teacher_run", "attribution")
        | {"n_images": pa.int64()}
        | number_columns([*agreement, *areas, "border_share", "border_area", "same_class", "blank"])
        | number_columns(f"{area}_{kind}" for area in areas for kind in ("random", "untrained"))
        | number_columns(f"{measure}_untrained" for measure in agreement)
        | number_columns(f"teacher_{measure}" for measure in (*areas, "border_share"))
        | {"n_boxed": pa.int64()}
        | number_columns(f"{measure}{kind}" for measure in boxed for kind in ("", "_untrained"))
        | number_columns(["pointing_random", "pointing_center", "box_area"])
        | number_columns(f"teacher_{measure}" for measure in ("pointing", "box_share")),
    )


def explanation_gains_schema(factors: Factors, *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``explanation_gains.parquet``: one row per cell, method, attribution and measure.

    ``plain`` and ``distilled`` are means over seeds and over the ``n_images`` images of which all runs have
    the measure. Rows of the primary metric have no attribution, and stand beside the others.

    Args:
        factors: The factors of the study.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> explanation_gains_schema([]).names[4:8]
        ['method', 'baseline', 'attribution', 'measure']
    """
    return table_schema(
        "explanation gains",
        {"dataset": pa.string()}
        | columns_of_factors(factors)
        | text_columns(
            "provenance", "teacher", "student", *(["setting"] if tuned else []), "method", "baseline"
        )
        | text_columns("attribution", "measure")
        | {"n_pairs": pa.int64(), "n_images": pa.int64()}
        | number_columns(["plain", "distilled", "gain", "ci_low", "ci_high", "p_value"]),
    )


def effects_schema(factors: Factors, task: Task, *, looks: bool = False, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``effects.parquet``, one row per contrast.

    After the promised columns stand ``plain_mean``, ``distilled_mean``, ``teacher_accuracy``, ``n_tests``
    (distinct tests in the family that ``p_adjusted`` corrects for), the teacher's primary metric of a task
    other than classification, ``undecided_because``, the reason why there is no verdict, the interval for the
    same test examples (``ci_low`` and ``ci_high`` of the primary metric, and of those made of it, are for new
    ones), the number of teachers behind the pairs, the p-value of the verdict, and the verdict after
    correction; then whether both arms are trained to the end
    (:func:`distillab.evidence.lengths.add_convergence`), and the interval for the
    same trained networks on new test examples.

    Args:
        factors: The factors of the study.
        task: The task of the study.
        looks: Whether the study stops sequentially. It then has two more columns: ``confidence``, the level
            of the interval, and ``look``, the number of the look that it belongs to.
        tuned: Whether the study tunes its methods. It then has the column ``setting``: both runs of a pair
            are at ``default`` settings, or both at ``tuned`` ones.

    Example:
        >>> effects_schema([], Classification()).names[:6]
        ['dataset', 'provenance', 'teacher', 'student', 'method', 'baseline']
    """
    return table_schema(
        "effects",
        {"dataset": pa.string()}
        | columns_of_factors(factors)
        | text_columns("provenance", "teacher", "student", "method", "baseline", "metric")
        | {"n_pairs": pa.int64()}
        | number_columns(["gain", "ci_low", "ci_high", "p_value", "p_adjusted"])
        | text_columns("verdict")
        | number_columns(["gap_closed", "error_ratio", "plain_mean", "distilled_mean"])
        | number_columns([Classification().of_teacher])
        | {"n_tests": pa.int64()}
        | number_columns([task.of_teacher])
        | text_columns("undecided_because")
        | number_columns(["ci_low_same_test", "ci_high_same_test"])
        | {"n_teachers": pa.int64(), "p_verdict": pa.float64()}
        | text_columns("verdict_family")
        | {"converged": pa.bool_()}
        | number_columns(["doubling_plain", "doubling_distilled"])
        | text_columns("convergence_note")
        | number_columns(["ci_low_same_runs", "ci_high_same_runs"])
        | ({"confidence": pa.float64(), "look": pa.int64()} if looks else {})
        | (text_columns("setting") if tuned else {}),
    )


def curves_schema() -> pa.Schema:
    """Return the columns of ``curves.parquet``, one row per point of a curve and split.

    Curves belong to students (``run_id`` is that of ``results.parquet``) and to teachers (it is their
    ``teacher_run``). ``split`` is ``val`` or the name of a test set, ``seconds`` those of training until the
    point, and ``score`` the primary metric.

    Example:
        >>> curves_schema().names
        ['run_id', 'kind', 'model', 'epoch', 'step', 'seconds', 'split', 'score']
    """
    numbers = {"epoch": pa.int64(), "step": pa.int64(), "seconds": pa.float64()}
    return table_schema(
        "curves",
        text_columns("run_id", "kind", "model") | numbers | text_columns("split") | number_columns(["score"]),
    )


def level_effects_schema(factors: Factors, *, tuned: bool = False) -> pa.Schema:
    """Return the columns of ``level_effects.parquet``, one row per difference of a gain between levels.

    The column of the row's own ``factor`` has its level; ``level`` and ``reference`` have both levels as
    text. A row of a trend has the level ``trend``, and null in the factor's column.

    Args:
        factors: The factors of the study.
        tuned: Whether the study tunes its methods. It then has the column ``setting``.

    Example:
        >>> level_effects_schema(["size"]).names[:5]
        ['dataset', 'factor', 'level', 'reference', 'factor.size']
    """
    return table_schema(
        "level effects",
        text_columns("dataset", "factor", "level", "reference")
        | columns_of_factors(factors)
        | text_columns("provenance", "teacher", "student", "method", "baseline", "metric")
        | {"n_pairs": pa.int64()}
        | number_columns(["difference", "ci_low", "ci_high", "p_value", "p_adjusted"])
        | text_columns("verdict", "verdict_family")
        | number_columns(["gain", "gain_reference", "ci_low_same_test", "ci_high_same_test", "p_verdict"])
        | {"n_teachers": pa.int64(), "shared_examples": pa.float64(), "n_tests": pa.int64()}
        | text_columns("undecided_because")
        | (text_columns("setting") if tuned else {}),
    )


def write_table(rows: Sequence[Row], schema: pa.Schema, path: Path) -> None:
    """Write rows as Parquet, completely or not at all.

    Columns that a row lacks, and NaN, become null.

    Raises:
        ValueError: A key is not a column, so that a value would be lost.
        pyarrow.ArrowException: A value has the wrong type.
    """
    names = set(schema.names)
    for row in rows:
        if unknown := row.keys() - names:
            raise ValueError(f"not columns of the {_kind(schema)} table: {', '.join(sorted(unknown))}")
    complete = [{name: _plain(row.get(name)) for name in names} for row in rows]
    table = pa.Table.from_pylist(complete, schema=schema)
    written = BytesIO()
    pq.write_table(table.replace_schema_metadata({**(schema.metadata or {}), b"seal": SEAL}), written)
    with write_atomically(path) as draft:
        draft.write_bytes(sealed(written.getvalue()))


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a table of a study, columns in the order of the schema, null as None.

    Args:
        path: A file that :func:`write_table` wrote, such as ``results.parquet``.

    Raises:
        RequestError: There is no such file, it is damaged or not a table of this project, or a newer version
            wrote it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "effects.parquet"
        >>> write_table([{"method": "kd", "gain": 0.02}], effects_schema([], Classification()), path)
        >>> [(row["method"], row["gain"], row["verdict"]) for row in read_rows(path)]
        [('kd', 0.02, None)]
    """
    if not path.is_file():
        raise RequestError("there is no such table", where=str(path))
    try:
        content = path.read_bytes()
        check_seal(path, content)
        table = read_parquet(content)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise RequestError(
            f"this is not a Parquet file, or it is damaged ({first})",
            where=str(path),
            allowed="`distillab report`, which writes the tables of a study again",
        ) from error
    version = (table.schema.metadata or {}).get(b"version", b"")
    if not version.isdigit():
        raise RequestError("this table was not written by distillab: it has no version", where=str(path))
    if int(version) > VERSION:
        raise RequestError(
            f"this table has version {int(version)}", where=str(path), allowed=f"versions up to {VERSION}"
        )
    rows: list[Row] = table.to_pylist()
    return rows


def _kind(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(b"table", b"given").decode())


def _plain(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    return None if isinstance(value, float) and math.isnan(value) else value
