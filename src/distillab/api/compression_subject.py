"""The network that is compressed, its teacher and its data, checked against each other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from distillab.api.profiles import source_of
from distillab.canonical import JsonObject
from distillab.deploy.description import ModelDescription
from distillab.deploy.loaded import LoadedModel, load_model
from distillab.errors import RequestError
from distillab.models import InputSpec
from distillab.models.inspection import inspect_network
from distillab.models.objects import write_network
from distillab.sources.ingest import load_dataset
from distillab.sources.memory import HeldData
from distillab.sources.source import ImageSource, Source
from distillab.sources.tabulated import select_classes, tabulate
from distillab.study.loading import LoadProgress
from distillab.tasks import Classification

InputStatistics = dict[str, list[float]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its weights, ready for a study on some data.

    Attributes:
        network: The network; its classifier has the order of the data's classes.
        description: What it is.
        label: Its name in tables.

    Example:
        >>> Subject.__dataclass_fields__["network"].type
        'nn.Module'
    """

    network: nn.Module
    description: ModelDescription
    label: str

    @property
    def statistics(self) -> InputStatistics:
        """The normalization of its inputs, as a study states it."""
        return {"mean": self.description.mean.tolist(), "std": self.description.std.tolist()}


@dataclass(frozen=True, eq=False)
class SubjectData:
    """The data of a compression.

    Attributes:
        source: The source.
        classes: Names of the classes, in the order of the data.
        held: What holds data that were given as Python objects.

    Example:
        >>> SubjectData.__dataclass_fields__["classes"].type
        'tuple[str, ...]'
    """

    source: Source
    classes: tuple[str, ...]
    held: HeldData | None

    @property
    def entry(self) -> JsonObject:
        """The data as a study states them."""
        return self.source.entry()


def subject_and_data(
    model: Any,
    data: Any,
    keys: JsonObject,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    progress: LoadProgress | None = None,
) -> tuple[Subject, SubjectData]:
    """Return the network to compress and its data.

    Args:
        model: The folder of an exported model, a file in it, a loaded model, or a trained network.
        data: As for :func:`distillab.profile`.
        keys: Further keys of the source; the size of images is that of the model unless they state it.
        normalization: Mean and standard deviation per channel, of pixels in [0, 1], that the inputs of a
            network are normalized with; by default those of the data. Exported models bring theirs.
        progress: Called while data are read.

    Raises:
        RequestError: There is no such model, it cannot be changed, or the data do not fit it.
    """
    if isinstance(model, nn.Module):
        read = _data(data, keys, progress)
        return _live(model, read, normalization, progress), read
    if normalization is not None:
        raise RequestError("an exported model has a normalization", where="normalization")
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    where = str(loaded.path.parent)
    _require_supported(loaded.description, where)
    read = _data(data, {**_size_of(loaded.description.item, data), **keys}, progress)
    network = with_class_order(loaded.network, loaded.description, read.classes, where)
    description = _replace(loaded.description, read.classes)
    return Subject(network, description, description.architecture.removeprefix("object:")), read


def teacher_of(teacher: Any, subject: Subject) -> Subject:
    """Return another teacher than the network itself.

    Args:
        teacher: As ``model`` of :func:`subject_and_data`; a network has the classes of the subject in the
            same order, and its normalization.
        subject: The network to compress.

    Raises:
        RequestError: It cannot teach the subject: other classes or inputs.
    """
    own = subject.description
    if isinstance(teacher, nn.Module):
        inspect_network(teacher, own.network_input, classes=len(own.classes), name=type(teacher).__name__)
        return Subject(teacher, own, type(teacher).__name__)
    loaded = teacher if isinstance(teacher, LoadedModel) else load_model(teacher)
    where = f"--teacher {loaded.path.parent}"
    _require_supported(loaded.description, where)
    if loaded.description.item != own.item:
        raise RequestError(
            f"takes images of {loaded.description.item}", where=where, allowed=f"a teacher for {own.item}"
        )
    network = with_class_order(loaded.network, loaded.description, own.classes, where)
    description = _replace(loaded.description, own.classes)
    return Subject(network, description, description.architecture.removeprefix("object:"))


def with_class_order(
    network: nn.Module, description: ModelDescription, classes: Sequence[str], where: str
) -> nn.Module:
    """Return a copy of a network whose logits have the order of some class names.

    Args:
        network: The network.
        description: What it is, with the names in its own order.
        classes: The names in the order of the data.
        where: The network's place, for messages.

    Raises:
        RequestError: The names are not the same, or no linear layer gives the logits.
    """
    copied = copy.deepcopy(network)
    own = description.classes
    if own == tuple(classes):
        return copied
    if set(own) != set(classes):
        unknown = [name for name in classes if name not in own]
        missing = [name for name in own if name not in classes]
        what = f"such as {unknown[0]!r}" if unknown else f"which lack {missing[0]!r}"
        raise RequestError(
            f"the data have other classes than the model, {what}",
            where=where,
            allowed=", ".join(own[:20]) + (" ..." if len(own) > 20 else ""),
        )
    path = inspect_network(copied, description.network_input, classes=len(own)).taps.classifier
    if path is None:
        raise RequestError(
            "the order of its classes is not that of the data, and no linear layer gives its logits",
            where=where,
            allowed=f"data whose classes are in the order {', '.join(own[:20])}",
        )
    order = torch.tensor([own.index(name) for name in classes])
    last = copied.get_submodule(path)
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.copy_(last.weight[order].clone())
        if last.bias is not None:
            last.bias.copy_(last.bias[order].clone())
    return copied


def _replace(description: ModelDescription, classes: tuple[str, ...]) -> ModelDescription:
    from dataclasses import replace

    return replace(description, classes=classes)


def _live(
    network: nn.Module,
    data: SubjectData,
    normalization: tuple[Sequence[float], Sequence[float]] | None,
    progress: LoadProgress | None,
) -> Subject:
    """Return a network that was given as an object, with the shapes and statistics of the data."""
    dataset = load_dataset(data.source, progress)
    mean, std = dataset.normalization() if normalization is None else normalization
    name, _ = write_network(network, "model")
    description = ModelDescription(
        architecture=name,
        classes=data.classes,
        item=InputSpec(*dataset.train.shape),
        mean=np.array(mean, np.float32),
        std=np.array(std, np.float32),
    )
    label = type(network).__name__
    inspect_network(network, description.item, classes=len(data.classes), name=label)
    return Subject(network, description, label)


def _require_supported(description: ModelDescription, where: str) -> None:
    if description.modality != "image" or not isinstance(description.task_config(), Classification):
        raise RequestError(
            f"is a model for {description.task_config().name} of modality {description.modality}",
            where=where,
            allowed="classification of images",
        )
    if description.student_transform is not None:
        raise RequestError(
            "downsamples its inputs, which compression does not support",
            where=where,
            allowed="a model that was trained on images of its own size",
        )


def _size_of(item: InputSpec, data: Any) -> JsonObject:
    """Return the keys that give images the size of the model's inputs."""
    size: JsonObject = {"channels": item.channels}
    return {**size, "resolution": item.height} if item.is_square else size


def _data(data: Any, keys: JsonObject, progress: LoadProgress | None) -> SubjectData:
    source, held = source_of(data, keys, "data", progress)
    if not isinstance(source, ImageSource) and held is None:
        raise RequestError("holds no images", where=str(data), allowed="a source of images")
    source.check_paths()
    raw = source.read().without(source.unused_splits)
    table, _ = select_classes(tabulate(raw), source.classes)
    return SubjectData(source, tuple(table.classes), held)
