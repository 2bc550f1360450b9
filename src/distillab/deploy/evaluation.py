"""The numbers of an exported model on labelled data, by the same code as in a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE, Examples
from distillab.data.targets import UNLABELLED
from distillab.deploy.description import ModelDescription
from distillab.deploy.evaluated import EvaluatedExamples, choose_examples
from distillab.deploy.loaded import BATCH, LoadedModel
from distillab.errors import RequestError, unknown_name
from distillab.sources.parsing import parse_source
from distillab.sources.python_data import entry_of
from distillab.sources.source import Source
from distillab.study.loading import LoadProgress

EvaluatedSplit = Literal["auto", "test", "val", "train", "all"]


@dataclass(frozen=True)
class Evaluation:
    """The numbers of a model on some data.

    Attributes:
        model: The model file.
        data: Name of the data.
        split: Which examples: ``test``, ``val``, ``train`` or ``all``; the notes count those of the training.
        examples: Their number.
        metric: The primary metric of the task.
        metrics: All metrics, as in ``results.parquet``.
        per_class: Quality of each class that occurs.
        notes: What a reader must know, one sentence each.

    Example:
        >>> found = Evaluation("model.onnx", "leaves", "test", 100, "accuracy", {"accuracy": 0.9})
        >>> found.as_dict()["accuracy"]
        0.9
    """

    model: str
    data: str
    split: str
    examples: int
    metric: str
    metrics: Mapping[str, float]
    per_class: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> JsonObject:
        """Return the JSON form: the metrics under their names, beside the rest."""
        known = {name: value for name, value in self.metrics.items() if not np.isnan(value)}
        return {
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "examples": self.examples,
            "metric": self.metric,
            **known,
            "per_class": dict(self.per_class),
            "notes": list(self.notes),
        }


def evaluate_model(
    model: LoadedModel,
    data: Any,
    *,
    split: str = "auto",
    keys: JsonObject | None = None,
    batch: int = BATCH,
    on_load: LoadProgress | None = None,
) -> Evaluation:
    """Measure a model on labelled data.

    The data are decoded as those of the training were. With ``auto``, the test split is used if the data have
    one of their own, or are those of the training; else all examples. Examples that were in training are
    recognized by their content, and left out of ``auto`` and ``test``; the notes count them.

    Args:
        model: The model.
        data: A path, ``source:argument``, or Python objects, as for a study.
        split: ``auto``, ``test``, ``val``, ``train`` or ``all``.
        keys: Further keys of the source.
        batch: Examples per forward pass.
        on_load: Called with (stage, done, total).

    Raises:
        RequestError: The data cannot be read, have classes that the model does not know, or do not fit it.

    Example:
        >>> evaluate_model(LoadedModel.__new__(LoadedModel), "digits", split="tests")
        Traceback (most recent call last):
        distillab.errors.RequestError: --split: unknown split 'tests', did you mean 'test'? ...
    """
    if split not in get_args(EvaluatedSplit):
        raise unknown_name("split", split, get_args(EvaluatedSplit), where="--split")
    where = str(data) if isinstance(data, str | Path) else "data"
    entry, held = entry_of(data, where, on_load)
    source = _source(model.description, dict(entry), keys or {}, where)
    chosen = choose_examples(model, source, split, on_load)
    del held  # the data had to exist until here
    return _measured(model, chosen, batch, where)


def _source(description: ModelDescription, entry: JsonObject, keys: JsonObject, where: str) -> Source:
    """Return the source of data, which decodes them as the training did.

    The other keys of the training's source hold for sources of the same kind that they fit.
    """
    shape: dict[str, object] = dict(description.decoding)
    if description.modality == IMAGE:
        shape["channels"] = description.item.channels
        if description.item.is_square:
            shape["resolution"] = description.item.height
    trained = description.data if description.data.get("source") == entry["source"] else {}
    known = {key: value for key, value in trained.items() if key not in ("source", "name", "content")}
    try:
        source = parse_source({**known, **shape, **entry, **keys}, Path(), where)
        if known:
            raw = source.read()
            class_positions_of(description, source, raw.classes)
        return source
    except RequestError:
        if not known:
            raise
        return parse_source({**shape, **entry, **keys}, Path(), where)


def class_positions_of(description: ModelDescription, source: Source, classes: Iterable[str]) -> None:
    """Raise RequestError unless the classes that a source keeps are known to a model."""
    kept = set(source.classes) if isinstance(source.classes, list) else None
    if isinstance(source.classes, int):
        return
    unknown = {name for name in classes if kept is None or name in kept} - set(description.classes)
    if unknown:
        raise RequestError(f"class {min(unknown)!r} is unknown to the model")


def _measured(model: LoadedModel, chosen: EvaluatedExamples, batch: int, where: str) -> Evaluation:
    task, description = model.task, model.description
    examples = _in_model_classes(model, chosen.examples, where)
    if (examples.modality, examples.shape) != (description.modality, description.item.shape):
        raise RequestError(
            f"its examples are {examples.modality} {list(examples.shape)}",
            where=where,
            allowed=f"{description.modality} {list(description.item.shape)}",
        )
    if not isinstance(examples.targets, task.targets):
        kinds = f"the targets are {examples.targets.kind}"
        raise RequestError(kinds, where=where, allowed=f"{task.targets.kind} of the model's task")
    logits = model.logits(examples, batch=batch)
    val = None
    if task.has_thresholds and chosen.val is not None and len(chosen.val):
        known = _in_model_classes(model, chosen.val, where)
        val = model.logits(known, batch=batch), known.targets
    metrics = task.measure(logits, examples.targets, groups=examples.groups, val=val)
    qualities = task.per_class(logits, examples.targets)
    per_class = {
        name: float(value)
        for name, value in zip(model.classes, qualities, strict=True)
        if not np.isnan(value)
    }
    return Evaluation(
        str(model.path),
        chosen.name,
        chosen.split,
        len(examples),
        task.primary,
        metrics,
        per_class,
        chosen.notes,
    )


def class_positions(model: LoadedModel, names: Sequence[str], where: str) -> npt.NDArray[np.int64]:
    """Return the position of each of some class names among a model's classes, int64.

    Raises:
        RequestError: A name is not that of a class of the model.
    """
    positions = {name: position for position, name in enumerate(model.classes)}
    if unknown := [name for name in names if name not in positions]:
        raise RequestError(
            f"{len(unknown)} of {len(names)} classes are unknown to the model, such as {unknown[0]!r}",
            where=where,
            allowed=", ".join(model.classes[:20]) + (" ..." if len(model.classes) > 20 else ""),
        )
    return np.array([positions[name] for name in names], dtype=np.int64)


def _in_model_classes(model: LoadedModel, examples: Examples, where: str) -> Examples:
    """Return examples with their targets in the order of the model's classes."""
    if examples.classes == model.classes:
        return examples
    positions = class_positions(model, examples.classes, where)
    targets = examples.targets.merged(positions, len(model.classes))
    if targets.values.ndim == 2:  # labels that the data do not have are not known to be absent
        values = targets.values.copy()
        values[:, np.setdiff1d(np.arange(len(model.classes)), positions)] = UNLABELLED
        targets = targets.with_values(values)
    return replace(examples, targets=targets, classes=model.classes, parents=())
