"""TeacherSpec: the teacher of a study."""

from __future__ import annotations

from collections.abc import Mapping
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
from distillab.models import Combine, ensemble_name, ensemble_parts
from distillab.models.black_box import BLACK_BOXES, ONNX, black_box_of, is_black_box
from distillab.models.orbit import orbit_name, split_orbit
from distillab.models.stems import with_original_stem
from distillab.study.spec.draws import Replicates
from distillab.study.spec.storage_budget import StoredOutputs

Provenance = Literal["same", "full", "external"]
PROVENANCE_NAMES: frozenset[str] = frozenset(get_args(Provenance))
# Keys that are younger than some studies, whose identity they must not change.
YOUNG_TEACHER_KEYS = (
    *("outputs", "classes", "class_map"),
    *("models", "combine", "assistants", "generations", "normalisation", "pretrained"),
    *("stem", "entry", "at_chance", "layout", "size", "orbit"),
)


class ExternalStatistics(BaseModel):
    """Channel statistics that given weights were trained with, on the [0, 1] scale.

    Attributes:
        mean: Mean per channel.
        std: Standard deviation per channel.

    Example:
        >>> ExternalStatistics(mean=[0.5], std=[0.25]).std
        (0.25,)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]


class TeacherSpec(PublicConfig):
    """The teacher of a study: one network, several together, or a chain with assistants.

    Attributes:
        model: The network.
        models: In place of ``model``: several networks that teach together.
        combine: How the logits of several networks are combined.
        orbit: Whether the teacher's logits are the mean over the quarter turns and mirror images of its
            input.
        assistants: Networks between teacher and student, each distilled by ``kd`` from the one before on the
            teacher's training set; the last one teaches.
        generations: How often the student's architecture is distilled by a method, each time from the
            generation before. Only the last generation is a student of the study.
        provenance: What the teacher learned from. ``full``: the full training set without factors, one
            network per seed, or fewer (``replicates``). ``same``: the manipulated transfer set, one network
            per condition and seed. ``external``: it has given ``weights``, and is the default with them.
        weights: The weights of an external teacher: a file of safetensors, or one that ``torch.save`` wrote.
            Of several files, each holds a teacher of its own; seeds use them in turn. Without a model: an
            ONNX file, or a table of stored predictions (``.parquet``, ``.npz``).
        entry: The entry or prefix in the file, such as ``ema``, if several fit the network; the output of an
            ONNX file that has several.
        layout: Whether an ONNX file takes ``nchw`` or ``nhwc``; ``auto`` to read it from the graph.
        size: The side of the square to which images are resized for an ONNX file that takes several sizes.
        stem: ``fitted`` to the size of the images, or the ``original``, published one. With given weights,
            ``auto`` takes the one that the weights fit.
        at_chance: Whether a study with a given teacher that is no better than chance on the study's data is
            to ``stop`` or to ``continue``.
        normalisation: The channel statistics that the given weights were trained with, if they are not the
            study's. Written ``normalization``.
        pretrained: Whether a teacher that is trained in the study starts from the pretrained weights of its
            network.
        recipe: Keys that replace those of the study's recipe, for all teachers, or by provenance
            (``{full: {steps: 5000}, same: {steps: 600}}``).
        replicates: How many ``full`` teachers are trained: ``each`` for one per seed, or a number, which the
            seeds use in turn. ``auto`` is ``each`` if training them costs no more than training the students,
            else at least three.
        outputs: Which outputs are stored.
        classes: The classes of an external teacher, in the order of its logits, if they are not the data's.
        class_map: The data's names of the teacher's classes, where the names differ.

    Raises:
        ValueError: Values exclude each other or are not accepted.

    Example:
        >>> TeacherSpec(model="resnet56", assistants="resnet20").label
        'resnet56 > resnet20'
        >>> TeacherSpec(models=["resnet20", "resnet14"], combine="accuracy").whole
        'accuracy(resnet20+resnet14)'
    """

    model: str = ""
    models: tuple[str, ...] = ()
    combine: Combine = "mean"
    orbit: bool = False
    assistants: tuple[str, ...] = ()
    generations: int = Field(default=1, ge=1)
    provenance: tuple[Provenance, ...] = ("same",)
    weights: Path | tuple[Path, ...] | None = None
    entry: str = ""
    stem: Literal["auto", "fitted", "original"] = "auto"
    at_chance: Literal["stop", "continue"] = "stop"
    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    size: int | None = Field(default=None, ge=1)
    normalisation: ExternalStatistics | None = None
    pretrained: bool = False
    recipe: JsonObject = Field(default_factory=dict)
    replicates: Replicates = "auto"
    outputs: StoredOutputs = StoredOutputs()
    classes: tuple[str, ...] = ()
    class_map: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _weights_mean_external(cls, values: Any) -> Any:
        """Let a teacher with given weights be external unless its provenance is stated, and name what needs
        no model."""
        if not isinstance(values, Mapping):
            return values
        found = dict(values)
        model = values.get("model")
        if isinstance(model, str | Path) and black_box_of(model) and not values.get("weights"):
            found |= {"model": black_box_of(model), "weights": model}
        if not found.get("weights"):
            return values
        found.setdefault("provenance", ["external"])
        written = found["weights"]
        files = list(written) if isinstance(written, list | tuple) else [written]
        kinds = {black_box_of(each) for each in files if isinstance(each, str | Path)}
        if len(kinds) == 1 and (kind := kinds.pop()) and not (found.get("model") or found.get("models")):
            found["model"] = kind
        return found

    @field_validator("weights")
    @classmethod
    def _each_file_once(cls, value: Path | tuple[Path, ...] | None) -> Path | tuple[Path, ...] | None:
        if not isinstance(value, tuple):
            return value
        if not value or len(set(value)) < len(value):
            raise ValueError("weights are one file, or a list that names each file once")
        return value if len(value) > 1 else value[0]

    @field_validator("classes", "class_map", mode="before")
    @classmethod
    def _names_of_classes(cls, value: Any) -> Any:
        """Turn numbers into names: classes may be called 0, 1, 2."""
        if isinstance(value, Mapping):
            return {_class_name(key): _class_name(name) for key, name in value.items()}
        return [_class_name(name) for name in value] if isinstance(value, list | tuple) else value

    @field_validator("provenance", "assistants", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _weights_belong_to_external(self) -> TeacherSpec:
        if ("external" in self.provenance) != (self.weights is not None):
            raise ValueError("provenance external and weights (a file) go together")
        self._check_black_box()
        if self.entry and self.weights is None:
            raise ValueError("entry is one of a file of weights")
        if self.normalisation is not None and self.weights is None:
            raise ValueError(
                "normalization is that of given weights; networks trained in the study share the study's"
            )
        if self.pretrained and (self.models or self.provenance == ("external",)):
            raise ValueError("pretrained is how one model starts that is trained: of provenance full or same")
        if len(set(self.provenance)) != len(self.provenance) or not self.provenance:
            raise ValueError("name each provenance once, and at least one")
        return self

    def _check_black_box(self) -> None:
        """Raise ValueError if a file, the model or the keys belong to different kinds of teachers."""
        for each in self.files:
            kind = black_box_of(each)
            if kind and kind != self.model:
                raise ValueError(
                    f"{each.name} is {BLACK_BOXES[kind]}: leave `model` out, and name files of one kind"
                )
        if is_black_box(self.model) and self.weights is None:
            raise ValueError(f"model {self.model} needs weights: {BLACK_BOXES[self.model]}")
        if (self.layout != "auto" or self.size) and self.model != ONNX:
            raise ValueError("layout and size are those of an ONNX file")

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
            raise ValueError("models are at least two networks, and combine is how their logits are combined")
        if self.models and "external" in self.provenance:
            raise ValueError("several models are trained in the study: their provenance is full or same")
        if self.orbit and (self.combine == "correctness" or "external" in self.provenance or self.assistants):
            raise ValueError(
                "orbit is for networks that are trained in the study and teach the students: without "
                "assistants, given weights or combine: correctness"
            )
        if self.combine == "correctness" and self.outputs.top_k is not None:
            raise ValueError(
                "combine: correctness needs all logits of every teacher, so outputs.top_k must be left out"
            )
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of weights, one teacher each."""
        if self.weights is None:
            return ()
        return self.weights if isinstance(self.weights, tuple) else (self.weights,)

    @property
    def whole(self) -> str:
        """The first network of the chain, or the ensemble that is first."""
        return orbit_name(self.plain_network) if self.orbit else self.plain_network

    @property
    def plain_network(self) -> str:
        """The same, for its input as it is."""
        parts = [self._with_stem(name) for name in self.models or (self.model,)]
        return parts[0] if self.model else ensemble_name(self.combine, parts)

    def with_model(self, model: str) -> TeacherSpec:
        """Return the same teacher with another network, or with several: ``orbit(greedy(NAME+NAME))``.

        Raises:
            RequestError: It is an ensemble of one.
        """
        plain = split_orbit(model)
        several = ensemble_parts(plain or model)
        changed: dict[str, object] = {"orbit": True} if plain else {}
        if several:
            changed |= {"model": "", "combine": several[0], "models": several[1]}
        else:
            changed |= {"model": plain or model}
        return self.model_copy(update=changed)

    @property
    def members(self) -> tuple[str, ...]:
        """The networks that teach together; empty for a single one."""
        return tuple(self._with_stem(name) for name in self.models)

    def _with_stem(self, name: str) -> str:
        return with_original_stem(name) if self.stem == "original" else name

    @property
    def last_model(self) -> str:
        """The network that students learn from: the last of the chain."""
        return self.assistants[-1] if self.assistants else self.whole

    @property
    def label(self) -> str:
        """The name of the teacher in tables: ``resnet56 > resnet20`` with an assistant."""
        first = f"{self.whole}(pretrained)" if self.pretrained else self.whole
        return " > ".join([first, *self.assistants])

    @field_validator("replicates", mode="before")
    @classmethod
    def _number_or_each(cls, value: Any) -> Any:
        # Not as branches of the union, so that an error is one line.
        number = isinstance(value, int) and not isinstance(value, bool)
        if value not in ("each", "auto") and not (number and value >= 1):
            raise ValueError(f"{value!r} is not accepted: a number of at least 1, `each` or `auto`")
        return value

    @field_validator("recipe")
    @classmethod
    def _one_form(cls, recipe: JsonObject) -> JsonObject:
        by_provenance = recipe.keys() & PROVENANCE_NAMES
        if by_provenance and by_provenance != recipe.keys():
            raise ValueError("name either keys of a recipe or provenances (same, full, external), not both")
        if any(not isinstance(recipe[name] or {}, dict) for name in by_provenance):
            raise ValueError("the recipe of a provenance must be a mapping of keys to values")
        return recipe

    def recipe_keys(self, provenance: str) -> JsonObject:
        """Return the keys that replace those of the study's recipe for a provenance."""
        if self.recipe.keys() & PROVENANCE_NAMES:
            return dict(self.recipe.get(provenance) or {})
        return self.recipe


def _class_name(name: Any) -> Any:
    return str(name) if isinstance(name, int | float) else name
