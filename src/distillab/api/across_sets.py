"""Conclusions over several studies of one user, or over the evidence base."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distillab.base.evidence_base import CONTEXTS, RUNS, EvidenceBase, packaged, read
from distillab.base.schema import RUN_METRICS
from distillab.canonical import JsonObject, canonical_json
from distillab.errors import RequestError, unknown_name
from distillab.evidence.pairs import Row, finite_value
from distillab.study.folder import StudyFolder
from distillab.tasks import Classification, MultiLabel, Task

if TYPE_CHECKING:
    from distillab.evidence.across import AcrossSets, AnswerAcross, ContextTable, LeftOut, StudiedContext

DEFAULT_MARGIN = 0.005
NOT_VARIED = {"imbalance": 1.0, "label_noise": 0.0, "similarity": 0.0, "shift": 0.0, "spurious": 0.0}
"""Levels of the evidence base and what they are where the factor is not varied."""
NAMED = ("provenance", "initialisation", "student")


@dataclass(frozen=True, repr=False)
class Across:
    """Conclusions over several data sets, and how they are shown.

    Attributes:
        found: The conclusions.

    Example:
        >>> from distillab.evidence.across import ContextTable, conclude_across
        >>> Across(conclude_across(ContextTable(()), Classification()))
        Across(No context has a pair of a distilled and a plain student.)
    """

    found: AcrossSets

    @cached_property
    def answer(self) -> AnswerAcross:
        """The conclusions in plain words, harm first."""
        from distillab.evidence.across import summarize_across

        return summarize_across(self.found)

    def as_dict(self) -> JsonObject:
        """Return the conclusions in a JSON-able form, as ``distillab across --json`` prints them."""
        from distillab.evidence.across import across_as_dict

        return across_as_dict(self.found, self.answer)

    def write(self, path: str | Path) -> None:
        """Write the page: one HTML file that opens offline.

        Raises:
            OSError: The folder does not exist or cannot be written to.
        """
        from distillab.report.page.across import write_across

        write_across(self.found, self.answer, Path(path))

    def __repr__(self) -> str:
        return f"Across({self.answer.headline})"


def across(
    *sources: str | Path | EvidenceBase,
    methods: Sequence[str] = (),
    margin: float | None = None,
    confidence: float = 0.95,
) -> Across:
    """Return what holds over several data sets.

    Args:
        sources: Folders of studies, ``results.parquet`` files, or evidence bases (folders or objects);
            without any, the evidence base that is part of the package. The base set of a study is the name of
            its data: studies of the same data are contexts of one base set.
        methods: The methods to compare with plain training; all if empty.
        margin: Half width of the region of practical equivalence; by default that of the studies, if they
            agree, else half a point.
        confidence: Of intervals and families of verdicts.

    Raises:
        RequestError: There is no study or base, tasks differ, or there is no such method.

    Example:
        >>> across("nowhere")
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here ...
    """
    from distillab.evidence.across import ContextTable, conclude_across

    if not 0.0 < confidence < 1.0:
        raise RequestError(f"{confidence} is no confidence", where="confidence", allowed="above 0, below 1")
    if margin is not None and margin < 0:
        raise RequestError(f"{margin} is negative", where="margin", allowed="0 or more")
    read_in = [_read(source) for source in sources or (_packaged(),)]
    tasks = {type(each.task) for each in read_in}
    if len(tasks) > 1:
        names = ", ".join(sorted(each.task.name for each in read_in))
        raise RequestError(f"the studies have different tasks: {names}", allowed="studies of one task")
    margins = {each.margin for each in read_in}
    table = _without_repeats(
        ContextTable(
            tuple(context for each in read_in for context in each.contexts),
            tuple(out for each in read_in for out in each.left_out),
            ", ".join(each.name for each in read_in),
        )
    )
    for name in methods:
        if name not in table.methods:
            raise unknown_name("method", name, table.methods, where="--method")
    chosen = margin if margin is not None else margins.pop() if len(margins) == 1 else DEFAULT_MARGIN
    return Across(
        conclude_across(table, read_in[0].task, margin=chosen, confidence=confidence, methods=methods)
    )


@dataclass(frozen=True)
class _ReadIn:
    """The contexts of one source."""

    name: str
    task: Task
    margin: float
    contexts: Sequence[StudiedContext]
    left_out: tuple[LeftOut, ...] = ()


def _packaged() -> Path:
    folder = packaged()
    if not (folder / CONTEXTS).is_file():
        raise RequestError(
            "no evidence base is part of this installation",
            where="distillab across",
            allowed="DIR..., folders of studies or of an evidence base",
        )
    return folder


def _read(source: str | Path | EvidenceBase) -> _ReadIn:
    if isinstance(source, EvidenceBase):
        return _of_base(source, "evidence base")
    path = Path(source)
    if (path / CONTEXTS).is_file() or (path / RUNS).is_file():
        return _of_base(read(path), "evidence base" if path == packaged() else path.name)
    if path.is_file():
        return _of_table(path)
    return _of_study(path)


def _of_study(path: Path) -> _ReadIn:
    """Return the contexts of a study, at tuned settings where it has them."""
    from distillab.evidence.across import contexts_of_results
    from distillab.evidence.schema import read_rows
    from distillab.evidence.tuning import headline_rows

    folder = StudyFolder.open(path)
    if not folder.results_file.is_file():
        raise RequestError(
            "this study has no results yet", where=str(path), allowed=f"after `distillab report {path}`"
        )
    task, name = folder.spec.task_config(), folder.spec.study
    rows = headline_rows(read_rows(folder.results_file))
    return _ReadIn(name, task, folder.spec.evidence.margin, contexts_of_results(rows, task, name=name))


def _of_table(path: Path) -> _ReadIn:
    """Return the contexts of a ``results.parquet`` without its study."""
    from distillab.evidence.across import contexts_of_results
    from distillab.evidence.schema import read_rows
    from distillab.evidence.tuning import headline_rows

    rows = headline_rows(read_rows(path))
    if rows and "run_id" not in rows[0]:
        raise RequestError("this is not a table of runs", where=str(path), allowed="results.parquet")
    multilabel = MultiLabel()
    labels = any(finite_value(row, multilabel.primary) is not None for row in rows)
    task: Task = multilabel if labels else Classification()
    return _ReadIn(path.name, task, DEFAULT_MARGIN, contexts_of_results(rows, task, name=path.stem))


def _of_base(base: EvidenceBase, name: str) -> _ReadIn:
    """Return the contexts of an evidence base that are usable for advice."""
    from distillab.evidence.across import LeftOut

    runs: defaultdict[str, list[Row]] = defaultdict(list)
    columns = ["context", "kind", "method", "setting", "seed", "status", *RUN_METRICS]
    for row in base.runs.select(columns).to_pylist():
        if row["kind"] == "run":
            runs[row["context"]].append(row)
    drop = [key for key in base.contexts.column_names if key.startswith("profile.") or key == "study_yaml"]
    rows = base.contexts.drop_columns(drop).to_pylist()
    varied = {key for key in NOT_VARIED if any(row[key] is not None for row in rows)}
    usable = [row for row in rows if row["excluded_because"] is None]
    starved = len(rows) - len(usable)
    return _ReadIn(
        name,
        Classification(),
        DEFAULT_MARGIN,
        [_base_context(row, runs[row["context"]], varied) for row in usable],
        (LeftOut("excluded from advice by the base", starved),) if starved else (),
    )


def _base_context(row: Row, runs: Sequence[Row], varied: set[str]) -> StudiedContext:
    """Return a context of the base, with its runs at tuned settings if plain training has them."""
    from distillab.evidence.across import StudiedContext

    tuned = any(run["method"] == "ce" and run["setting"] == "tuned" for run in runs)
    runs = [run for run in runs if (run["setting"] == "tuned") == tuned]
    scores: defaultdict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    metrics = [name for name in RUN_METRICS if name in Classification.metrics]
    for run in runs:
        for metric in metrics if run["status"] == "done" else ():
            value = finite_value(run, metric)
            if value is not None:
                scores[run["method"], metric][run["seed"]] = value
    teacher = finite_value(row, "predictor.teacher_accuracy")
    if teacher is None:
        known = [value for run in runs if (value := finite_value(run, "teacher_accuracy")) is not None]
        teacher = float(np.mean(known)) if known else None
    failed = sum(run["status"] != "done" for run in runs)
    return StudiedContext(
        row["context"], row["base_set"], _base_levels(row, varied), dict(scores), teacher, failed
    )


def _base_levels(row: Row, varied: set[str]) -> dict[str, float | str]:
    levels: dict[str, float | str] = {}
    if row["n_train"] and row["n_classes"]:
        levels["size"] = row["n_train"] / row["n_classes"]
    for key, column in (("classes", "n_classes"), ("steps", "steps"), ("resolution", "resolution")):
        if row[column] is not None:
            levels[key] = float(row[column])
    for key in NOT_VARIED:
        if key in varied:
            levels[key] = NOT_VARIED[key] if row[key] is None else float(row[key])
    if row["teacher_params"] and row["student_params"]:
        levels["teacher_capacity"] = row["teacher_params"] / row["student_params"]
    return levels | {key: row[key] for key in NAMED if row[key] is not None}


def _without_repeats(table: ContextTable) -> ContextTable:
    """Return contexts without those whose runs are those of another one, where studies share runs."""
    from distillab.evidence.across import ContextTable, LeftOut

    seen: dict[str, StudiedContext] = {}
    for context in table.contexts:
        scores = sorted((*key, *sorted(of.items())) for key, of in context.scores.items())
        key = canonical_json([context.base_set, dict(context.levels), [str(each) for each in scores]])
        seen.setdefault(key, context)
    repeated = len(table.contexts) - len(seen)
    if not repeated:
        return table
    out = LeftOut(f"{'whose' if repeated > 1 else 'its'} runs are those of another one", repeated)
    return ContextTable(tuple(seen.values()), (*table.left_out, out), table.source)
