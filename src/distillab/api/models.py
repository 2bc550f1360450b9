"""Exported models: written, loaded and evaluated, for Python and for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distillab.canonical import JsonObject
from distillab.deploy import (
    Evaluation,
    Exported,
    LoadedModel,
    evaluate_model,
    export_run,
    load_model,
)
from distillab.deploy.runs import find_run
from distillab.deploy.writer import ExportProgress
from distillab.study.folder import StudyFolder
from distillab.study.loading import LoadProgress

EXPORTED = "exported"  # the folder, in that of a study, of exported models


def load(model: str | Path, *, threads: int | None = None) -> LoadedModel:
    """Load a model that ``distillab export`` wrote: something with ``classes``, ``preprocess``, ``predict``.

    Args:
        model: The folder, or a model file in it: ``model.safetensors``, ``model.onnx``, ``model.int8.onnx``
            or ``model.pt2``.
        threads: Compute threads of ONNX Runtime; None for what it chooses.

    Raises:
        RequestError: There is no such model, its file is damaged, or a package is not installed.

    Example:
        >>> load("missing")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: there is no such file or folder (allowed: ...
    """
    return load_model(model, threads=threads)


def export(
    folder: str | Path,
    run_id: str | None = None,
    out: str | Path | None = None,
    *,
    formats: Sequence[str] | None = None,
    max_drop: float = 1.0,
    on_progress: ExportProgress | None = None,
) -> Exported:
    """Write one student of a study as an exported model.

    Args:
        folder: The folder of the study.
        run_id: The run, or the beginning of its id; by default the one that the study's answer.json names,
            or the one with the best score on val.
        out: The folder that is written; by default ``exported/RUN_ID`` in that of the study.
        formats: Which of ``safetensors``, ``onnx``, ``int8`` and ``pt2`` (a program of torch.export) are
            wanted; by default all that models of the task have.
        max_drop: Points of the primary metric that int8 may lose on val.
        on_progress: Called with what is being done.

    Raises:
        RequestError: There is no such study or run, or it cannot be exported.

    Example:
        >>> export("missing")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: ...
    """
    study = StudyFolder.open(Path(folder))
    if out is None:
        run_id = find_run(study, run_id).job.id
        out = study.path / EXPORTED / run_id
    return export_run(study, run_id, Path(out), formats=formats, max_drop=max_drop, on_progress=on_progress)


def evaluate(
    model: str | Path,
    data: Any,
    *,
    split: str = "auto",
    keys: JsonObject | None = None,
    threads: int | None = None,
    on_load: LoadProgress | None = None,
) -> Evaluation:
    """Measure an exported model on labelled data, by the same code as in a study.

    Args:
        model: As for :func:`load`.
        data: A path, ``source:argument``, or Python objects, as for :class:`~distillab.Study`.
        split: ``auto`` (the test split, or all examples that were not in training), ``test``, ``val``,
            ``train`` or ``all``.
        keys: Further keys of the source.
        threads: As for :func:`load`.
        on_load: Called with (stage, done, total).

    Raises:
        RequestError: The model or the data cannot be read, or do not fit each other.

    Example:
        >>> evaluate("missing", "digits")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: there is no such file or folder (allowed: ...
    """
    return evaluate_model(load_model(model, threads=threads), data, split=split, keys=keys, on_load=on_load)
