"""The design of the evidence base: context k is a pure function of a design file and k.

All sources of variation are drawn at once by a scrambled Sobol sequence with a fixed seed: one coordinate
each, so that any first n contexts cover every range about evenly, and no two sources are confounded. A design
file (``studies/evidence/``) states the ranges.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import qmc

from distillab.base.ranges import Choices, NumberRange, Range, Weights
from distillab.canonical import JsonObject
from distillab.errors import RequestError, validation_error

SOURCES_OF_VARIATION = (
    *("base_set", "classes", "class_draw", "size", "similarity", "imbalance", "label_noise", "spurious"),
    *("shift", "resolution", "provenance", "teacher", "teacher_age", "student", "initialisation", "steps"),
    *("define", "channels", "rotation", "position", "noise", "cue", "times", "draw"),
    "clutter",
)
"""The sources of variation, each a coordinate of the sequence; new ones are added at the end."""
_WIDTH = 32  # coordinates; fixed, since scrambling depends on it
_SEED_KEY = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"  # renamed in SciPy 1.15
SEEDS_APART = 100  # contexts have seeds of their own: those of context k start at 100 k

Tier = Literal["R", "S", "T"]


class Ranges(BaseModel):
    """The ranges of a design. Quantities that a tier does not have are left out.

    Attributes:
        classes: Number of classes; at most what the base set has.
        size: Training examples per class; where it is not varied, all.
        similarity: Levels of the factor.
        imbalance: Levels of the factor.
        label_noise: Levels of the factor.
        spurious: Levels of the factor.
        shift: Share of images that come from a base set with the same classes, where there is one.
        resolution: Pixels per side.
        provenance: ``full`` or ``same``.
        teacher: Networks.
        teacher_age: Steps of the teacher as a multiple of those of the student.
        student: Networks.
        initialisation: ``scratch`` or ``pretrained``.
        steps: Steps of the student.
        define: What defines the classes of a world: names of variables, joined by ``+``.
        channels: Of a world.
        rotation: Of a world, in degrees.
        position: Of a world.
        noise: Of a world.
        clutter: Kinds of backgrounds and of textures in a world.
        cue: Strength of a cue of a world in train.
        times: Multiple of the steps of another design.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: NumberRange
    size: NumberRange
    similarity: NumberRange | None = None
    imbalance: NumberRange | None = None
    label_noise: NumberRange | None = None
    spurious: NumberRange | None = None
    shift: NumberRange | None = None
    resolution: Choices
    provenance: Choices
    teacher: Choices
    teacher_age: NumberRange
    student: Choices
    initialisation: Choices = Weights(weights={"scratch": 1})
    steps: NumberRange
    define: Choices | None = None
    channels: Choices | None = None
    rotation: NumberRange | None = None
    position: NumberRange | None = None
    noise: NumberRange | None = None
    clutter: NumberRange | None = None
    cue: NumberRange | None = None


class Longer(BaseModel):
    """The contexts of another design, trained longer.

    Attributes:
        design: The file of the other design, beside this one.
        times: The multiple of the steps, of students and teachers.
        every: The number of contexts between two that are taken.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    design: Path
    times: NumberRange
    every: Annotated[int, Field(ge=1)] = 1


class DesignFile(BaseModel):
    """A design file.

    Attributes:
        tier: ``R`` real images, ``S`` worlds of shapes, ``T`` contexts of another design, trained longer.
        prefix: The first letter of the names of contexts.
        contexts: How many contexts the base has.
        sobol_seed: Seed of the scrambling.
        pairs: Seeds per context.
        sets: The base sets of tier R, see :func:`~distillab.base.sets.prepare_sets`.
        shifts: By base set, the ones with the same classes.
        ranges: What is varied; tier T has none.
        of: What tier T trains longer.
        study: Keys of every study: methods, recipe, tune, evidence, curves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: Tier
    prefix: str = Field(min_length=1)
    contexts: Annotated[int, Field(ge=1)]
    sobol_seed: int = 0
    pairs: Annotated[int, Field(ge=1, lt=SEEDS_APART)] = 5
    sets: Mapping[str, JsonObject] = Field(default_factory=dict)
    shifts: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    ranges: Ranges | None = None
    of: Longer | None = None
    study: JsonObject = Field(default_factory=dict)


@dataclass(frozen=True)
class DesignPoint:
    """A point of the sequence: the coordinate of each source of variation.

    Attributes:
        index: Its number.
        coordinates: By name, in [0, 1).

    Example:
        >>> DesignPoint(0, {"size": 0.5}).number("size", Range(between=(1, 100), scale="log"))
        10.0
    """

    index: int
    coordinates: Mapping[str, float]

    def number(self, name: str, values: Range | None) -> float | None:
        """Return the value of a quantity in its range, or None if it is not varied here."""
        return None if values is None else values.at(self.coordinates[name])

    def name(self, name: str, values: Weights) -> str:
        """Return the choice of a quantity as text."""
        return str(values.at(self.coordinates[name]))

    def generator(self, name: str) -> np.random.Generator:
        """Return a generator whose seed is a coordinate, to draw more than one number from it."""
        return np.random.default_rng([self.index, int(self.coordinates[name] * 2**32)])


@dataclass(frozen=True, eq=False)
class Design:
    """A design file, with its place.

    Attributes:
        file: Its contents.
        path: Its place, by which other designs are found.
    """

    file: DesignFile
    path: Path

    @cached_property
    def other(self) -> Design:
        """The design whose contexts this one trains longer. Raises RequestError if there is none."""
        if self.file.of is None:
            raise RequestError("this design trains no other one longer", where=f"{self.path}: of")
        return read_design(self.path.parent / self.file.of.design)

    @property
    def base_sets(self) -> Mapping[str, JsonObject]:
        """The base sets that its contexts are drawn from, those of the other design for tier T."""
        return self.other.base_sets if self.file.of else self.file.sets

    def first(self, contexts: int) -> Design:
        """Return the design of the first so many contexts.

        Example:
            >>> design = Design(DesignFile(tier="S", prefix="s", contexts=8), Path("worlds.yaml"))
            >>> design.first(2).file.contexts
            2
        """
        fewer = min(contexts, self.file.contexts)
        return Design(self.file.model_copy(update={"contexts": fewer}), self.path)

    def point(self, index: int) -> DesignPoint:
        """Return a point of the sequence.

        Example:
            >>> design = Design(DesignFile(tier="S", prefix="s", contexts=8), Path("worlds.yaml"))
            >>> design.point(3) == design.point(3), design.point(3) == design.point(4)
            (True, False)
        """
        generator = np.random.default_rng(self.file.sobol_seed)
        sequence = qmc.Sobol(_WIDTH, scramble=True, **{_SEED_KEY: generator})
        if index:
            sequence.fast_forward(index)
        values = sequence.random(1)[0]
        return DesignPoint(
            index, {name: float(u) for name, u in zip(SOURCES_OF_VARIATION, values, strict=False)}
        )

    def name(self, index: int) -> str:
        """Return the name of a context.

        Example:
            >>> Design(DesignFile(tier="S", prefix="s", contexts=8), Path("worlds.yaml")).name(7)
            's-0007'
        """
        return f"{self.file.prefix}-{index:04d}"


def read_design(path: Path) -> Design:
    """Return the design of a file.

    Raises:
        RequestError: The file cannot be read, or a key or value is not accepted.

    Example:
        >>> read_design(Path("missing.yaml"))
        Traceback (most recent call last):
        distillab.errors.RequestError: missing.yaml: there is no such design file
    """
    if not path.is_file():
        raise RequestError("there is no such design file", where=str(path))
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RequestError(f"this is not YAML: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(values, Mapping):
        raise RequestError("a design file is a mapping of keys to values", where=str(path))
    try:
        file = DesignFile.model_validate(values)
    except ValidationError as error:
        raise validation_error(error, str(path), DesignFile.model_fields) from error
    if (file.tier == "T") != (file.of is not None) or (file.tier == "T") == (file.ranges is not None):
        raise RequestError(
            "tier T states `of`, and the others state `ranges`", where=str(path), allowed="one of both"
        )
    if (file.tier == "R") != bool(file.sets):
        raise RequestError("tier R states `sets`, and no other does", where=f"{path}: sets")
    return Design(file, path)
