"""StudentEntry: a student of a study, with the weights that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from distillab.canonical import JsonObject
from distillab.config import PublicConfig
from distillab.errors import RequestError, validation_error
from distillab.study.spec.teacher import ExternalStatistics

_FORM = "a model, or a mapping with 'model' and the student's other keys"


class StudentEntry(PublicConfig):
    """A student: its network, and what its initial weights are if they are not random.

    Attributes:
        model: The network.
        weights: A file of trained weights that it starts from. A classifier for other classes is replaced by
            a random one.
        pretrained: Whether it starts from the pretrained weights of its network.
        normalisation: The channel statistics that ``weights`` were trained with, if nothing beside them
            states them and they are not the study's. Written ``normalization``.
        name: The name of the student in tables; by default that of its network, with what it starts from.

    Raises:
        ValueError: Keys exclude each other.

    Example:
        >>> StudentEntry(model="resnet8", weights="runs/best.pth").label
        'resnet8(weights=best.pth)'
        >>> StudentEntry(model="efficientnet_lite0", pretrained=True).label
        'efficientnet_lite0(pretrained)'
    """

    model: str = Field(min_length=1)
    weights: Path | None = None
    pretrained: bool = False
    normalisation: ExternalStatistics | None = None
    name: str = ""

    @model_validator(mode="after")
    def _one_start(self) -> StudentEntry:
        if self.pretrained and self.weights is not None:
            raise ValueError("a student starts from weights or from pretrained ones, not both")
        if self.normalisation is not None and self.weights is None:
            raise ValueError("normalization is that of weights; pretrained weights bring theirs")
        return self

    @property
    def starts_from_weights(self) -> bool:
        """True if its initial weights are not random."""
        return self.pretrained or self.weights is not None

    @property
    def label(self) -> str:
        """The name of the student in tables."""
        if self.name:
            return self.name
        if self.weights is not None:
            return f"{self.model}(weights={self.weights.name})"
        return f"{self.model}(pretrained)" if self.pretrained else self.model

    @property
    def written(self) -> str | JsonObject:
        """The entry in canonical spelling, in its shortest form: the model alone if that is all."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return self.model if values.keys() == {"model"} else values


def student_entry(student: str | StudentEntry) -> StudentEntry:
    """Return the entry of a student, of which a study may name the model alone."""
    return student if isinstance(student, StudentEntry) else StudentEntry(model=student)


def read_entry(value: Any) -> str | StudentEntry:
    """Return an entry of ``students``: a model, or a mapping, which without further keys is a model.

    Raises:
        RequestError: It is neither, or a key of it is not accepted.
    """
    if isinstance(value, StudentEntry):
        entry = value
    elif isinstance(value, Mapping):
        try:
            entry = StudentEntry.model_validate(dict(value))
        except ValidationError as error:
            raise validation_error(error, "", StudentEntry.model_fields) from error
    elif isinstance(value, str) and value:
        return value
    else:
        raise RequestError(f"{value!r} is not a student: write {_FORM}")
    return entry.model if isinstance(entry.written, str) else entry
