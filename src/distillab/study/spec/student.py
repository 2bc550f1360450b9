"""StudentEntry: a student of a study, with the weights that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from distillab.canonical import JsonObject
from distillab.config import PublicConfig
from distillab.errors import RequestError, validation_error
from distillab.study.spec.method_entries import canonical_method, placed_method
from distillab.study.spec.starting import (
    TEACHER,
    RunReference,
    StartStage,
    read_stages,
    start_text,
    written_start,
)
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
        start: What it starts from that a study makes: stages, each from the one before (``docs/studies.md``).
            Trained weights, if there are any as well, are what the first stage starts from.
        keep: The number of its first stages that keep the weights that it starts from, under every method.
        methods: Those of the study's methods that it is trained with, as they stand there; all if empty. The
            method of the plain student is always among them.
        name: The name of the student in tables; by default that of its network, with what it starts from.

    Raises:
        ValueError: Keys exclude each other.

    Example:
        >>> StudentEntry(model="resnet8", weights="runs/best.pth").label
        'resnet8(weights=best.pth)'
        >>> StudentEntry(model="efficientnet_lite0", pretrained=True).label
        'efficientnet_lite0(pretrained)'
        >>> StudentEntry(model="resnet8", start={"method": "fitnet", "steps": 50}).label
        'resnet8(start=fitnet for 50 steps)'
        >>> StudentEntry(model="vgg5_half", start="teacher", keep=3).label
        'vgg5_half(start=teacher, keep=3)'
    """

    model: str = Field(min_length=1)
    weights: Path | None = None
    pretrained: bool = False
    normalisation: ExternalStatistics | None = None
    start: tuple[StartStage, ...] = ()
    keep: int = Field(default=0, ge=0)
    methods: tuple[str | JsonObject, ...] = ()
    name: str = ""

    def __hash__(self) -> int:
        return hash((self.model, self.weights, self.pretrained, self.start, self.name))

    @field_validator("start", mode="before")
    @classmethod
    def _stages(cls, value: Any) -> Any:
        return read_stages(value)

    @field_validator("methods", mode="before")
    @classmethod
    def _canonical_methods(cls, value: Any) -> Any:
        entries = value if isinstance(value, list | tuple) else [value]
        return [canonical_method(entry) for entry in entries]

    @model_validator(mode="after")
    def _one_start(self) -> StudentEntry:
        if self.pretrained and self.weights is not None:
            raise ValueError("a student starts from weights or from pretrained ones, not both")
        if self.normalisation is not None and self.weights is None:
            raise ValueError("normalization is that of weights; pretrained weights bring theirs")
        given = self.starts_from_weights
        if given and self.start and not self.stages:
            raise ValueError("a student starts from weights or from a run, not both")
        if given and TEACHER in self.start:
            raise ValueError("a student starts from trained weights or from the teacher, not both")
        if self.keep and not given and not self.start:
            raise ValueError("`keep` is for a student with a start, weights or pretrained weights")
        return self

    @property
    def stages(self) -> tuple[StartStage, ...]:
        """The stages that the study itself makes."""
        return tuple(stage for stage in self.start if not isinstance(stage, RunReference))

    def placed(self, base: Path) -> StudentEntry:
        """Return the student with absolute paths, and with the weights of a run of another study."""
        start = tuple(stage if isinstance(stage, str) else stage.placed(base) for stage in self.start)
        methods = tuple(placed_method(entry, base) for entry in self.methods)
        placed = self.model_copy(update={"start": start, "methods": methods})
        if self.weights:
            placed = placed.model_copy(update={"weights": base / self.weights})
        if start and isinstance(start[0], RunReference):
            weights = {"weights": start[0].weights, "start": start[1:], "name": self.label}
            placed = placed.model_copy(update=weights)
        return placed

    @property
    def starts_from_weights(self) -> bool:
        """True if its initial weights are not random."""
        return self.pretrained or self.weights is not None

    @property
    def label(self) -> str:
        """The name of the student in tables."""
        if self.name:
            return self.name
        facts = [f"weights={self.weights.name}"] if self.weights is not None else []
        facts += ["pretrained"] if self.pretrained else []
        facts += [f"start={start_text(self.start)}"] if self.start else []
        facts += [f"keep={self.keep}"] if self.keep else []
        return f"{self.model}({', '.join(facts)})" if facts else self.model

    @property
    def written(self) -> str | JsonObject:
        """The entry in canonical spelling, in its shortest form: the model alone if that is all."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        if self.start:
            values["start"] = written_start(self.start)
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
