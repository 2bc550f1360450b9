"""From a run of a study to an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from distillab.artefacts import WEIGHTS, load_state
from distillab.canonical import JsonObject
from distillab.data.examples import Examples
from distillab.deploy.checks import Exported
from distillab.deploy.consistency import compare_decoding, compare_with_stored
from distillab.deploy.decoding import decoding_of
from distillab.deploy.description import ModelDescription
from distillab.deploy.files import require_free
from distillab.deploy.loaded import TorchEngine
from distillab.deploy.runs import StudentRun, find_run
from distillab.deploy.statement import make_statement, statement_facts
from distillab.deploy.writer import ExportProgress, check_formats, formats_of, write_model
from distillab.errors import RequestError
from distillab.modalities import require_exportable
from distillab.models import InputSpec
from distillab.study.folder import StudyFolder

CALIBRATION_EXAMPLES = 256


def export_run(
    folder: StudyFolder,
    run_id: str | None,
    out: Path,
    *,
    formats: Sequence[str] | None = None,
    max_drop: float = 1.0,
    on_progress: ExportProgress | None = None,
) -> Exported:
    """Write one student of a study as an exported model.

    Args:
        folder: The study.
        run_id: The run, or the beginning of its id; None for the one that answer.json names, or, in a study
            of one condition, student and provenance, the one with the best score on val.
        out: The folder that is written.
        formats: Which of ``safetensors``, ``onnx``, ``int8`` and ``pt2`` (a program of torch.export) are
            wanted; None for all that models of the task have.
        max_drop: Points of the primary metric that int8 may lose on val.
        on_progress: Called with what is being done.

    Raises:
        RequestError: There is no such run, or it cannot be exported.

    Example:
        >>> export_run(StudyFolder(Path("missing")), "8f0c", Path("out"), max_drop=-1)
        Traceback (most recent call last):
        distillab.errors.RequestError: --max-drop: -1 is no number of points (allowed: ...
    """
    if not 0 <= max_drop <= 100:
        raise RequestError(
            f"{max_drop:g} is no number of points", where="--max-drop", allowed="0 to 100 (percentage points)"
        )
    if formats is not None:
        check_formats(formats)
    require_free(out)
    run = find_run(folder, run_id)
    task = folder.spec.task_config()
    formats = formats_of(task) if formats is None else formats
    check_formats(formats, dense=task.dense)
    progress = on_progress or (lambda stage: None)
    description = describe_run(run)
    network = trained_network(run, description)
    engine = TorchEngine(network, description)
    progress("comparing with the stored outputs")
    checked = {"stored": compare_with_stored(run, description, engine)}
    checked["preprocessing"] = compare_decoding(run, description)
    progress("measuring robustness")
    statement = make_statement(run, description, engine)
    facts = {**description.facts, "training": statement_facts(statement)}
    return write_model(
        network,
        out,
        description=replace(description, facts=facts),
        val=run.roles.val,
        calibration=calibration_examples(run.roles.transfer, run.job.seeds.order),
        formats=formats,
        max_drop=max_drop,
        training=[folder.dataset.train, folder.dataset.val],
        statement=statement,
        extra_checks=checked,
        on_progress=on_progress,
    )


def describe_run(run: StudentRun) -> ModelDescription:
    """Return what the network of a run is."""
    folder, record = run.folder, run.record
    dataset, train = folder.dataset, run.roles.transfer
    require_exportable(train.modality, f"run {run.job.id}")
    if not (task := folder.spec.task_config()).stores_logits:
        raise RequestError(
            f"networks of the task {task.name} give embeddings, and classifiers alone can be exported",
            where=f"run {run.job.id}",
            allowed="runs of another task; the weights are in the store of the study",
        )
    mean, std = dataset.normalization()
    scaling = record.inputs
    return ModelDescription(
        architecture=record.model,
        classes=train.classes,
        item=InputSpec(*train.shape),
        mean=mean,
        std=std,
        task=task.on_logits.as_dict(),
        modality=train.modality,
        decoding=decoding_of(folder.spec.source(), dataset),
        student_transform=train.student_transform,
        interpolation=record.interpolation,
        scaling={key: tuple(map(float, values)) for key, values in scaling.items()} if scaling else None,
        data=_source_keys(run),
        facts={"dataset": dataset.name, "dataset_digest": dataset.digest, "run_id": run.job.id},
    )


def trained_network(run: StudentRun, description: ModelDescription) -> nn.Module:
    """Return the network of a run with its last weights, which the tables are about."""
    network = description.build()
    load_state(network, run.store / WEIGHTS)
    return network


def calibration_examples(train: Examples, seed: int) -> Examples:
    """Return some training examples, by which the ranges of int8 are set."""
    count = min(CALIBRATION_EXAMPLES, len(train))
    chosen = np.random.default_rng(seed).choice(len(train), count, replace=False)
    return train.select(np.sort(chosen))


def _source_keys(run: StudentRun) -> JsonObject:
    """Return the keys of the source without paths, which the card does not state."""
    source = run.folder.spec.source()
    paths = {key for key in type(source).model_fields if isinstance(getattr(source, key), Path)}
    return {key: value for key, value in source.entry().items() if key not in paths}
