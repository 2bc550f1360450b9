"""TeacherSpec: who teaches in a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    field_validator,
    model_validator,
)

from distillab.canonical import JsonObject
from distillab.config import PublicConfig
from distillab.models import Combine, ensemble_name
from distillab.study.spec.storage_budget import StoredOutputs

Provenance = Literal["same", "full", "external"]
YOUNG_KEYS_OF_TEACHER = (
    *("outputs", "classes", "class_map"),
    *("models", "combine", "assistants", "generations", "normalisation"),
)


class ChannelStatistics(BaseModel):
    """Mean and standard deviation of every channel, on the [0, 1] scale, that a network was trained with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]


class TeacherSpec(PublicConfig):
    """The teacher of a study.

    ``provenance``: what it learned from. ``full``: the clean full training data, one network for the whole
    study. ``same``: the manipulated transfer data, a network for every condition and seed. ``external``:
    given ``weights`` (a safetensors file), with the ``normalisation`` of images that they were trained with
    if that is not the study's. ``recipe`` overrides single keys of the study's recipe, for all teachers or by
    provenance (``{full: {steps: 5000}, same: {steps: 600}}``).
    ``replicates``: how many ``full`` teachers are trained; pairs use them in turn, so that the interval
    includes what another teacher would have changed. ``outputs``: what is stored of what teachers say.
    ``classes``: what an ``external`` teacher knows, in the order of its logits, if that is not the data's
    classes. ``class_map``: what the data call its classes, where the names differ.

    ``models`` in the place of ``model``: several networks that teach together, their logits ``combine``d.
    ``assistants``: networks between teacher and student, each distilled from the one before by ``kd``, on
    what the teacher learned from; the last one teaches. ``generations``: how often a student's architecture
    is distilled by an arm's method, each time from the generation before; only the last is a student of the
    study.
    """

    model: str = ""
    models: tuple[str, ...] = ()
    combine: Combine = "mean"
    assistants: tuple[str, ...] = ()
    generations: int = Field(default=1, ge=1)
    provenance: tuple[Provenance, ...] = ("same",)
    weights: Path | None = None
    normalisation: ChannelStatistics | None = None
    recipe: JsonObject = Field(default_factory=dict)
    replicates: int = Field(default=1, ge=1)
    outputs: StoredOutputs = StoredOutputs()
    classes: tuple[str, ...] = ()
    class_map: dict[str, str] = Field(default_factory=dict)

    @field_validator("provenance", "assistants", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _weights_belong_to_external(self) -> TeacherSpec:
        if ("external" in self.provenance) != (self.weights is not None):
            raise ValueError("provenance external and weights (a safetensors file) go together")
        if self.normalisation is not None and self.weights is None:
            raise ValueError(
                "normalisation is that of given weights; what is trained here sees what students see"
            )
        if len(set(self.provenance)) != len(self.provenance) or not self.provenance:
            raise ValueError("name each provenance once, and at least one")
        return self

    @model_validator(mode="after")
    def _classes_belong_to_external(self) -> TeacherSpec:
        if self.classes and self.provenance != ("external",):
            raise ValueError("only a teacher of provenance external has classes of its own")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class of the teacher is named twice")
        return self

    @model_validator(mode="after")
    def _one_or_several_networks(self) -> TeacherSpec:
        if bool(self.model) == bool(self.models):
            raise ValueError("name the teacher's model, or several models, and not both")
        if len(self.models) == 1 or ("combine" in self.model_fields_set and not self.models):
            raise ValueError("models are two networks at least, and combine says how they teach together")
        if self.models and "external" in self.provenance:
            raise ValueError("several models are trained in the study: their provenance is full or same")
        if self.combine == "correctness" and self.outputs.top_k is not None:
            raise ValueError(
                "combine: correctness weighs whole predictions, so outputs.top_k must be left out"
            )
        return self

    @property
    def whole(self) -> str:
        """The network that heads the chain, or all that do so together."""
        return self.model or ensemble_name(self.combine, self.models)

    @property
    def last_model(self) -> str:
        """The network that students learn from: the last of the chain."""
        return self.assistants[-1] if self.assistants else self.whole

    @property
    def label(self) -> str:
        """The teacher as tables name it: ``resnet56 > resnet20`` with an assistant."""
        return " > ".join([self.whole, *self.assistants])

    @field_validator("recipe")
    @classmethod
    def _one_form(cls, recipe: JsonObject) -> JsonObject:
        by_provenance = recipe.keys() & set(get_args(Provenance))
        if by_provenance and by_provenance != recipe.keys():
            raise ValueError("name either keys of a recipe or provenances (same, full, external), not both")
        if any(not isinstance(recipe[name] or {}, dict) for name in by_provenance):
            raise ValueError("the recipe of a provenance must be a mapping of keys to values")
        return recipe

    def recipe_keys(self, provenance: str) -> JsonObject:
        """The keys that override the study's recipe for a provenance."""
        if self.recipe.keys() & set(get_args(Provenance)):
            return dict(self.recipe.get(provenance) or {})
        return self.recipe
