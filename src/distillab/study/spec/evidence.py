"""EvidenceSpec: how the conclusions of a study are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from distillab.canonical import JsonObject
from distillab.config import NumericConfig
from distillab.errors import RequestError, read_each, validation_error
from distillab.study.spec.seeds import LEAST_PAIRS

PLAIN = "ce"
"""The method of the plain student."""


class ContrastSpec(BaseModel):
    """Contrasts that a study declares before it is run: the gains of a method, or their differences.

    Attributes:
        method: The label of the method.
        at: Levels by factor; the contrasts are those at these levels, by default at all.
        difference: A factor, for differences of the gain between its levels and its reference level instead
            of gains.
        provenance: What the teacher learned from; by default any.
        student: The name of the student; by default any.
        metric: The column of the metric, such as ``accuracy_gap.conflicting``; by default any.

    Example:
        >>> ContrastSpec(method="kd", at={"size": 25}).difference is None
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    at: Mapping[str, float | str] = Field(default_factory=dict)
    difference: str | None = None
    provenance: str | None = None
    student: str | None = None
    metric: str | None = None

    @model_serializer(mode="wrap")
    def _without_defaults(self, dumped: SerializerFunctionWrapHandler) -> JsonObject:
        return {key: value for key, value in dumped(self).items() if value}


def _read_contrast(value: Any) -> ContrastSpec:
    """Return an entry of ``contrasts``: a method, or a mapping. Raises RequestError."""
    entry = {"method": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping | ContrastSpec):
        raise RequestError(f"{value!r} is no contrast: write a method, or a mapping with the key method")
    try:
        return ContrastSpec.model_validate(entry)
    except ValidationError as error:
        raise validation_error(error, "", ContrastSpec.model_fields) from error


class EvidenceSpec(NumericConfig):
    """How conclusions are drawn. Nothing here changes what is trained, but for ``probes``, which add runs.

    Attributes:
        margin: Half width of the region of practical equivalence, as a fraction: 0.005 is 0.5 points.
        confidence: Confidence level of intervals.
        baselines: Methods that the others are compared with.
        contrasts: The contrasts whose verdicts hold together; all of them if empty. The name of a method
            stands for its gains at all levels.
        probes: Of how many seeds the students are trained for twice the steps as well, under every condition,
            to see whether training was long enough; ``auto`` is 1 for a study of enough seeds for a verdict.
        probed_methods: The methods whose students are trained for twice the steps; all of them if empty.

    Example:
        >>> EvidenceSpec(margin=0.01).confidence
        0.95
        >>> EvidenceSpec(contrasts=["kd"]).contrasts[0].method
        'kd'
    """

    margin: float = Field(default=0.005, ge=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    baselines: Annotated[tuple[str, ...], Field(min_length=1)] = (PLAIN,)
    contrasts: tuple[ContrastSpec, ...] = ()
    probes: Annotated[int, Field(ge=0, strict=True)] | Literal["auto"] = "auto"
    probed_methods: tuple[str, ...] = ()

    @property
    def declared_metric(self) -> str | None:
        """The metric that headlines are about: the one that all declared contrasts name; None if they do not.

        Example:
            >>> entry = {"method": "kd", "metric": "accuracy_gap.conflicting"}
            >>> EvidenceSpec(contrasts=[entry]).declared_metric
            'accuracy_gap.conflicting'
        """
        named = {entry.metric for entry in self.contrasts}
        return named.pop() if len(named) == 1 else None

    @field_validator("baselines")
    @classmethod
    def _each_baseline_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a baseline is named twice: name each once")
        return value

    @field_validator("contrasts", mode="before")
    @classmethod
    def _named_methods(cls, value: Any) -> Any:
        if isinstance(value, str | Mapping):
            value = [value]
        if not isinstance(value, list | tuple):
            raise ValueError("contrasts are a list of methods, or of mappings with the key method")
        return tuple(read_each(value, _read_contrast))

    @model_serializer(mode="wrap")
    def _without_default(self, dumped: SerializerFunctionWrapHandler) -> JsonObject:
        """Return the values without ``contrasts`` and ``probes`` at their defaults, as studies without these
        keys have them."""
        values = dict(dumped(self))
        if not self.contrasts:
            del values["contrasts"]
        if self.probes == "auto":
            del values["probes"]
        if not self.probed_methods:
            del values["probed_methods"]
        return values

    def is_probed(self, method: str) -> bool:
        """Return True if the students of a method, named by its label, are trained for twice the steps.

        Example:
            >>> EvidenceSpec().is_probed("at"), EvidenceSpec(probed_methods=["ce", "kd"]).is_probed("at")
            (True, False)
        """
        return not self.probed_methods or method in self.probed_methods

    def probed_seeds(self, seeds: int) -> int:
        """Return the number of seeds whose students are trained for twice the steps as well.

        Args:
            seeds: The number of seeds that every condition has.

        Example:
            >>> EvidenceSpec().probed_seeds(4), EvidenceSpec().probed_seeds(6)
            (0, 1)
            >>> EvidenceSpec(probes=8).probed_seeds(6)
            6
        """
        if self.probes == "auto":
            return 1 if seeds >= LEAST_PAIRS else 0
        return min(self.probes, seeds)
