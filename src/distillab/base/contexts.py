"""From a point of the design to a context: the study that makes it, and the facts that its row states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from distillab.base.design import SEEDS_APART, Design, DesignPoint, Ranges, Tier
from distillab.base.sets import PRETRAINED_ON, BaseSet
from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.sources.shapes import Shapes
from distillab.study.spec.study import StudySpec, parse_study

SETS_VARIABLE = "DISTILLAB_EVIDENCE"
"""The environment variable with the folder of the prepared base sets and pretrained weights."""

VAL_SHARE = 0.25  # of the training examples: judged lengths and chosen settings rest on val
_SUPERSET = 3  # classes among which those of a similarity are chosen, as a multiple
_MOST_IN_SIMILARITY = 24
_WORLD_IMAGES, _WORLD_TESTS = 240, 60  # per class
_HARD_SHIFT = 0.8  # share of the other set's smallest class that a shift may take


@dataclass(frozen=True, eq=False)
class DrawnContext:
    """A context: a study of one condition, and what was drawn for it.

    Attributes:
        name: Its name.
        tier: The tier.
        base_set: The data set that it was drawn from.
        index: Its number in the design.
        classes: The classes that it was drawn with; of a context with a similarity, those to choose from.
        levels: Levels of the factors that are varied, and ``resolution``, ``channels``.
        study: The study, as a study file has it; paths contain ``${DISTILLAB_EVIDENCE}``.

    Example:
        >>> context = DrawnContext("s-0001", "S", "shapes:shape", 1, ("disc", "ring"), {}, {})
        >>> context.name
        's-0001'
    """

    name: str
    tier: Tier
    base_set: str
    index: int
    classes: tuple[str, ...]
    levels: Mapping[str, float | int | None]
    study: JsonObject = field(repr=False)

    @property
    def study_yaml(self) -> str:
        """The study as text, the same for the same study."""
        return str(yaml.safe_dump(self.study, sort_keys=False))

    def spec(self, evidence_folder: Path) -> StudySpec:
        """Return the study.

        Args:
            evidence_folder: The folder that ``${DISTILLAB_EVIDENCE}`` stands for.

        Raises:
            RequestError: A key or value is not accepted.
        """
        return parse_study(dict(_placed(self.study, str(evidence_folder))), Path(), self.name)


def _placed(value: Any, folder: str) -> Any:
    """Return a value with the folder in place of its variable, in all texts."""
    if isinstance(value, Mapping):
        return {key: _placed(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, folder) for item in value]
    return value.replace(f"${{{SETS_VARIABLE}}}", folder) if isinstance(value, str) else value


def draw_context(design: Design, index: int, sets: Mapping[str, BaseSet]) -> DrawnContext:
    """Return a context of a design.

    Args:
        design: The design.
        index: Its number, from 0.
        sets: The facts of the base sets; empty for worlds.

    Raises:
        RequestError: A base set is missing, or the context cannot be drawn from it.
    """
    if design.file.of is not None:
        return _longer(design, index, sets)
    assert design.file.ranges is not None
    point = design.point(index)
    if design.file.tier == "S":
        return _world(design, point, design.file.ranges)
    return _real(design, point, design.file.ranges, sets)


# -- tier R -------------------------------------------------------------------------------------------------


def _real(design: Design, point: DesignPoint, ranges: Ranges, sets: Mapping[str, BaseSet]) -> DrawnContext:
    names = list(design.file.sets)
    name = names[int(point.coordinates["base_set"] * len(names))]
    if name not in sets:
        raise RequestError(f"the base set {name!r} is not prepared", allowed=", ".join(sets) or "none is")
    facts = sets[name]
    count = min(int(point.number("classes", ranges.classes) or 2), len(facts.classes))
    similarity = point.number("similarity", ranges.similarity)
    if len(facts.classes) < 2 * count:
        similarity = None
    superset = (
        count if similarity is None else min(_SUPERSET * count, len(facts.classes), _MOST_IN_SIMILARITY)
    )
    classes = _drawn_classes(facts.classes, superset, point)
    resolution = int(point.name("resolution", ranges.resolution))
    data: dict[str, object] = {"source": "npz", "path": f"${{{SETS_VARIABLE}}}/{name}.npz", "name": name}
    data |= {"classes": list(classes), "resolution": resolution, "val": VAL_SHARE}
    size = _size(point, ranges, facts)
    factors = _factors(point, ranges, size)
    others: dict[str, object] = {}
    if similarity is not None:
        factors = {"similarity": {"levels": [similarity], "classes": count}} | factors
    elif (other := _other_set(design, name, classes, point, sets)) is not None:
        shift = _shift(point, ranges, size or int(facts.smallest * (1 - VAL_SHARE)), other)
        if shift is not None:
            factors["shift"] = {"levels": [shift], "to": other.name}
            others = {
                other.name: {**data, "path": f"${{{SETS_VARIABLE}}}/{other.name}.npz", "name": other.name}
            }
    levels = _levels(factors) | {"resolution": resolution, "channels": facts.channels}
    study = _study(design, point, ranges, data, factors, channels=facts.channels, n_classes=count)
    if others:
        study["others"] = others
    return DrawnContext(design.name(point.index), "R", name, point.index, classes, levels, study)


def _drawn_classes(names: tuple[str, ...], count: int, point: DesignPoint) -> tuple[str, ...]:
    places = point.generator("class_draw").choice(len(names), size=count, replace=False)
    return tuple(names[place] for place in np.sort(places))


def _size(point: DesignPoint, ranges: Ranges, facts: BaseSet) -> int | None:
    """Return examples per class, at most what the scarcest class has beside val; None for all."""
    size = point.number("size", ranges.size)
    return None if size is None else min(int(size), int(facts.smallest * (1 - VAL_SHARE)) - 1)


def _other_set(
    design: Design, name: str, classes: tuple[str, ...], point: DesignPoint, sets: Mapping[str, BaseSet]
) -> BaseSet | None:
    known = [
        other
        for other in design.file.shifts.get(name, ())
        if other in sets and set(classes) <= set(sets[other].classes)
    ]
    if not known:
        return None
    return sets[known[int(point.generator("draw").integers(len(known)))]]


def _shift(point: DesignPoint, ranges: Ranges, size: int, other: BaseSet) -> float | None:
    """Return the level of a shift, at most what the other set has images for."""
    level = point.number("shift", ranges.shift)
    if level is None:
        return None
    most = _HARD_SHIFT * other.smallest * (1 - VAL_SHARE) / size
    return float(f"{min(level, most):.2g}")


# -- tier S -------------------------------------------------------------------------------------------------


def _world(design: Design, point: DesignPoint, ranges: Ranges) -> DrawnContext:
    assert ranges.define is not None and ranges.channels is not None
    define = point.name("define", ranges.define).split("+")
    channels = 3 if "colour" in define else int(point.name("channels", ranges.channels))
    resolution = int(point.name("resolution", ranges.resolution))
    count = int(point.number("classes", ranges.classes) or 2)
    data: dict[str, object] = {
        "source": "shapes",
        "define": define,
        "seed": point.index,
        "channels": channels,
    }
    data |= {"values": _values_of(define, count), "resolution": resolution, "val": VAL_SHARE}
    data |= {"images": _WORLD_IMAGES, "test_images": _WORLD_TESTS, "name": f"world {point.index}"}
    nuisances = {
        name: value
        for name in ("rotation", "position", "noise")
        if (value := point.number(name, getattr(ranges, name))) is not None
    }
    clutter = point.number("clutter", ranges.clutter)
    if clutter is not None:
        values = {name: max(2, int(clutter)) for name in ("background", "texture") if name not in define}
        data["values"] = _values_of(define, count) | values
    if nuisances:
        data["nuisances"] = nuisances
    cue = None if "background" in define else point.number("cue", ranges.cue)
    if cue is not None:
        data["cues"] = {"background": {"train": cue}}
    classes = Shapes(define=define, values=_values_of(define, count)).tree.classes
    size = point.number("size", ranges.size)
    factors = _factors(point, ranges, None if size is None else int(size))
    levels = _levels(factors) | {"resolution": resolution, "channels": channels, "spurious": cue}
    study = _study(design, point, ranges, data, factors, channels=channels, n_classes=len(classes))
    base_set = f"shapes:{'+'.join(define)}"
    return DrawnContext(design.name(point.index), "S", base_set, point.index, classes, levels, study)


def _values_of(define: list[str], count: int) -> dict[str, int]:
    """Return how many values each defining variable has, for about so many classes."""
    if len(define) == 1:
        return {define[0]: count}
    first = max(2, round(count / 2))
    return {define[0]: first, define[1]: max(2, round(count / first))}


# -- tier T -------------------------------------------------------------------------------------------------


def _longer(design: Design, index: int, sets: Mapping[str, BaseSet]) -> DrawnContext:
    assert design.file.of is not None
    short = draw_context(design.other, index * design.file.of.every, sets)
    times = float(design.point(index).number("times", design.file.of.times) or 1)
    study = dict(short.study) | {"study": design.name(index), "seeds": _seeds(short.index, design.file.pairs)}
    recipe, teacher = dict(study["recipe"]), dict(study["teacher"])
    recipe["steps"] = round(recipe["steps"] * times)
    teacher["recipe"] = {**teacher["recipe"], "steps": round(teacher["recipe"]["steps"] * times)}
    study |= {"recipe": recipe, "teacher": teacher, **design.file.study}
    return DrawnContext(
        design.name(index), "T", short.base_set, short.index, short.classes, short.levels, study
    )


# -- what all tiers share -----------------------------------------------------------------------------------


def _factors(point: DesignPoint, ranges: Ranges, size: int | None) -> dict[str, object]:
    factors: dict[str, object] = {}
    if size is not None:
        factors["size"] = [size]
    imbalance = point.number("imbalance", ranges.imbalance)
    if imbalance is not None and (size is None or size >= 2 * imbalance):
        factors["imbalance"] = {"levels": [imbalance], "order": "random"}
    noise = point.number("label_noise", ranges.label_noise)
    if noise is not None:
        factors["label_noise"] = [noise]
    spurious = point.number("spurious", ranges.spurious)
    if spurious is not None:
        factors["spurious"] = [spurious]
    return factors


def _levels(factors: JsonObject) -> dict[str, float | int | None]:
    """Return the level of each factor."""
    return {
        name: entry["levels"][0] if isinstance(entry, Mapping) else entry[0]
        for name, entry in factors.items()
    }


def _study(
    design: Design,
    point: DesignPoint,
    ranges: Ranges,
    data: JsonObject,
    factors: JsonObject,
    *,
    channels: int,
    n_classes: int,
) -> dict[str, object]:
    """Return a study of one condition."""
    steps = int(point.number("steps", ranges.steps) or 0)
    provenance = point.name("provenance", ranges.provenance)
    teacher_steps = max(1, round(steps * float(point.number("teacher_age", ranges.teacher_age) or 1)))
    teacher: dict[str, object] = {"model": point.name("teacher", ranges.teacher), "provenance": provenance}
    teacher["recipe"] = {"steps": teacher_steps}
    if provenance == "full":
        teacher["replicates"] = 2
    student: str | JsonObject = point.name("student", ranges.student)
    start = point.name("initialisation", ranges.initialisation)
    if start == "pretrained" and data.get("name") != PRETRAINED_ON:
        weights = f"${{{SETS_VARIABLE}}}/pretrained/{student}-{channels}.safetensors"
        student = {"model": student, "weights": weights, "name": f"{student}(pretrained)"}
    study: dict[str, object] = {"study": design.name(point.index), "data": data, "teacher": teacher}
    study |= {"students": [student], "factors": factors}
    study |= {"seeds": _seeds(point.index, design.file.pairs), "seed": point.index}
    recipe = {"steps": steps, **design.file.study.get("recipe", {})}
    return {**study, **design.file.study, "recipe": recipe}


def _seeds(index: int, pairs: int) -> list[int]:
    return list(range(SEEDS_APART * index, SEEDS_APART * index + pairs))
