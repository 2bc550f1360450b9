"""The question of a study, from its folder: data, roles, factors, methods and recipe."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Literal, get_args

from distillab.canonical import JsonObject, canonical_json
from distillab.evidence.wording import Phrases
from distillab.factors import Factor, Level, Role, describe_label_quality, level_text
from distillab.methods import MethodSpec
from distillab.methods.pair_defaults import for_pair
from distillab.methods.spec import written
from distillab.modalities.views import Views
from distillab.report.contents.question import DatasetView, FactorView, MethodView, RecipeLine, RoleView
from distillab.spelling import american
from distillab.study.design import ConditionRecord
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob
from distillab.study.ledger import Ledger
from distillab.study.spec.evidence import PLAIN
from distillab.training.numerics.config import NumericsConfig
from distillab.training.recipe import Recipe


def dataset_view(folder: StudyFolder) -> DatasetView:
    """Return the facts of the dataset, including what was found while reading it."""
    dataset, report = folder.dataset, folder.dataset.report
    splits = (("train", dataset.train), ("val", dataset.val), *dataset.eval.items())
    return DatasetView(
        name=dataset.name,
        classes=dataset.classes,
        shape=dataset.train.shape,
        splits=tuple((name, len(examples)) for name, examples in splits),
        source=str(folder.spec.data["source"]),
        duplicates=tuple(report.duplicates.items()),
        dropped_duplicates=report.dropped_duplicates,
        broken=report.broken,
        carved=report.carved,
        notes=(*report.notes, *folder.network_notes),
        digest=dataset.digest,
        modality=dataset.modality,
    )


def role_views(folder: StudyFolder) -> tuple[RoleView, ...]:
    """Return what filled each role, and which factors were applied to it."""
    spec = folder.spec
    varied = [levels[0] for levels in spec.factor_levels() if levels[0].changes]
    applied = {role: [factor.name for factor in varied if role in factor.roles] for role in get_args(Role)}

    def described(role: Role, base: str) -> RoleView:
        names, labels = applied[role], describe_label_quality(varied, role)
        text = f"{base}, after {' and '.join(names)}" if names else f"{base}, as read"
        return RoleView(role, f"{text}; {labels}" if labels else text)

    sources = {
        "full": "full: all training examples as read",
        "same": "same: the transfer examples of each condition and seed",
        "external": "external: unknown data (pretrained weights)",
    }
    taught = "; ".join(sources[each] for each in spec.teacher.provenance)
    carved = "val" in folder.dataset.report.carved
    val = "carved from the training examples" if carved else "the validation examples of the source"
    return (
        described("teacher", taught) if applied["teacher"] else RoleView("teacher", taught),
        described("transfer", "the training examples"),
        described("val", f"{val}, for selecting an epoch"),
        described("eval", "the test examples, evaluated once, after training"),
    )


def factor_view(levels: Sequence[Factor], conditions: Sequence[ConditionRecord]) -> FactorView:
    """Return a factor with its levels; their meaning is what its manipulation checks measure."""
    first = levels[0]
    measures = (c.measure for each in conditions for c in each.checks if c.factor == first.name)
    settings = first.model_dump(mode="json", exclude={"level", "roles"})
    return FactorView(
        name=first.name,
        levels=tuple(factor.level for factor in levels),
        measure=next(measures, ""),
        roles=first.roles,
        description=_first_line(type(first)),
        settings=tuple((key, str(value)) for key, value in settings.items()),
    )


def phrases_of(folder: StudyFolder) -> Phrases:
    """Return how the levels of each factor are written, given its settings in this study."""
    return {levels[0].name: levels[0].phrase for levels in folder.spec.factor_levels()}


def conditions_text(levels: Mapping[str, Level]) -> str:
    """Return the levels of a condition in one line."""
    return ", ".join(f"{name} {level_text(level)}" for name, level in levels.items())


def kind_of(spec: MethodSpec) -> Literal["plain", "control", "distillation"]:
    """Return the kind of a method; a control learns nothing from the study's teacher."""
    if spec.label == PLAIN:
        return "plain"
    return "distillation" if spec.distils else "control"


def method_view(spec: MethodSpec, pairs: Sequence[tuple[str, str]]) -> MethodView:
    """Return a method with all its hyperparameters.

    Args:
        spec: The method.
        pairs: Teacher and student of each pair of networks, which may decide hyperparameters.
    """
    resolved = {student: for_pair(spec, teacher, student).settings for teacher, student in pairs}
    settings = []
    for key in spec.settings:
        values = {student: written(each[key]) for student, each in resolved.items()}
        by_student = (f"{value} for {student}" for student, value in values.items())
        settings.append(
            (key, ", ".join(by_student if len(set(values.values())) > 1 else set(values.values())))
        )
    return MethodView(
        name=spec.label,
        kind=kind_of(spec),
        paper=spec.kind.paper,
        description=_first_line(spec.kind),
        settings=tuple(settings),
    )


def recipe_lines(ledger: Ledger, requested: Recipe) -> tuple[RecipeLine, ...]:
    """Return the student recipes that occur; a value that differs between conditions has its places."""
    fixed = {key for key in requested.model_fields_set if getattr(requested, key) not in ("auto", None)}
    recipes: dict[int, JsonObject] = {}
    for cell in ledger.cells():
        if cell.run and cell.n_train not in recipes:
            job = ledger.job(cell.run)
            if isinstance(job, StudentJob):
                recipes[cell.n_train] = job.recipe
    lines = []
    chosen = json.loads(ledger.meta("arithmetic") or "{}")
    of_numerics = {field.name for field in fields(NumericsConfig)} if chosen else set()
    for key in next(iter(recipes.values()), {}):
        if key in of_numerics:
            continue  # chosen per network, and listed below
        values = {size: _value_text(key, recipe) for size, recipe in sorted(recipes.items())}
        if len(set(values.values())) == 1:
            auto = key not in fixed
            value = next(iter(values.values()))
            lines.append(RecipeLine(american(key), value, auto, "resolved from the data" if auto else ""))
        else:
            text = ", ".join(f"{value} at {size:,} examples" for size, value in values.items())
            lines.append(RecipeLine(american(key), text, auto=True, why="depends on the number of examples"))
    for model, choice in chosen.items():
        name, auto = f"numerics of {model}", not choice["asked"]
        lines.append(RecipeLine(name, choice["arithmetic"], auto, choice["reason"] if auto else ""))
    return tuple(lines)


def _value_text(key: str, recipe: JsonObject) -> str:
    """Return a value of a resolved recipe as text."""
    if key == "views":
        return Views.read(recipe["views"], recipe["pad"]).label
    return canonical_json(recipe[key]).strip('"')


def _first_line(thing: type) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
