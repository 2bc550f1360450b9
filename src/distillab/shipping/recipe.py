"""The study behind `distillab distill`: a plain student and methods, tuned alike, and a few finalists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillab.canonical import JsonObject
from distillab.evidence.pairs import Row
from distillab.methods import MethodSpec, parse_method
from distillab.shipping.design import (
    FINE_TUNING_RATE,
    MOST_SHIPPING_PAIRS,
    TRIED_LENGTHS,
    TRIED_RATES,
    ShippingDesign,
)
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.study import StudySpec, parse_study
from distillab.training.recipe import ResolvedRecipe

TEMPERATURES = (0.5, 1.0, 2.0)  # multiples of a method's own temperature that are tried
MORE_LABEL_WEIGHT = 0.5  # of the labels, tried beside a method's own weight if that is smaller


def shipping_study(
    data: JsonObject,
    students: Sequence[Any],
    teacher: JsonObject,
    methods: Sequence[str],
    recipe: ResolvedRecipe,
    design: ShippingDesign,
    *,
    seeds: int | None,
    multilabel: bool,
    margin: float,
    name: str,
) -> StudySpec:
    """Return the study.

    Every student and method is tried at as many settings as any other, on val; the best method and its plain
    student are then trained under the seeds of the comparison.

    Args:
        data: The key ``data``.
        students: The key ``students``.
        teacher: The key ``teacher``.
        methods: The methods, without the plain student.
        recipe: The recipe of a full training.
        design: How long students are trained, how many settings and pairs there are.
        seeds: Number of seeds, if it is fixed; otherwise there are seeds for as many pairs as time may allow.
        multilabel: Whether an example can have several labels.
        margin: Margin of practical equivalence.
        name: Name of the study.

    Raises:
        RequestError: A network or method is not known.
    """
    taught = dict(teacher)
    if design.teacher_steps:
        taught["recipe"] = {**taught.get("recipe", {}), "steps": design.teacher_steps}
    values: Row = {
        "study": name,
        "data": dict(data),
        "teacher": taught,
        "students": list(students),
        "methods": [PLAIN, *methods],
        "seeds": max(design.pairs, MOST_SHIPPING_PAIRS) if seeds is None else seeds,
        # The student to export is chosen among the seeds, on the same val. With equal views, the teacher sees
        # each of them once, for all students.
        "draws": {"split": "shared", "views": "shared"},
        "recipe": _recipe(recipe, design),
        "tune": {
            "lr": [float(f"{recipe.lr * each:.3g}") for each in _rates(students)],
            "length": list(TRIED_LENGTHS),
            "methods": {
                each: axes for each in methods if (axes := method_axes(parse_method(each, "methods")))
            },
            "budget": design.settings,
            "seeds": 1,
            "finalists": 1,
            "default_runs": False,
        },
        "evidence": {"probes": 0, "margin": margin},
    }
    if multilabel:
        values["task"] = "multilabel"
    return parse_study(values, Path.cwd(), "distill")


def _rates(students: Sequence[Any]) -> tuple[float, ...]:
    """Return the multiples of the learning rate that are tried; trained weights want a low one as well."""
    starts_trained = any(isinstance(each, Mapping) and each.get("pretrained") for each in students)
    return (FINE_TUNING_RATE, *TRIED_RATES) if starts_trained else TRIED_RATES


def _recipe(recipe: ResolvedRecipe, design: ShippingDesign) -> JsonObject:
    """Return the recipe of a student. Numerics are fixed, so that no time goes into trials of them."""
    numerics = {"precision": recipe.precision, "memory_format": recipe.memory_format, "compile": False}
    return {"steps": design.steps, "batch_size": design.batch_size, "warmup": 0.1, **numerics}


def method_axes(method: MethodSpec) -> Mapping[str, list[float]]:
    """Return the values of a method's temperature and of the labels' weight that are tried.

    Example:
        >>> method_axes(parse_method("kd", "methods"))
        {'temperature': [2.0, 4.0, 8.0], 'ce_weight': [0.1, 0.5]}
    """
    axes, settings = {}, method.settings
    temperature, weight = settings.get("temperature"), settings.get("ce_weight")
    if isinstance(temperature, float):
        axes["temperature"] = [temperature * each for each in TEMPERATURES]
    if isinstance(weight, float) and 0 < weight < MORE_LABEL_WEIGHT:
        axes["ce_weight"] = [weight, MORE_LABEL_WEIGHT]
    return axes
