"""The question of a study, from its folder: data, roles, factors, methods and recipe."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Literal, get_args

from distillab.canonical import JsonObject, canonical_json
from distillab.evidence.wording import Phrases
from distillab.factors import Factor, Level, Role, Steps, describe_label_quality, level_text
from distillab.methods import MethodSpec
from distillab.methods.pair_defaults import for_pair
from distillab.methods.value_text import written
from distillab.modalities.views import Views
from distillab.report.contents.question import DatasetView, FactorView, MethodView, RecipeLine, RoleView
from distillab.spelling import american
from distillab.study.design import ConditionRecord
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob
from distillab.study.ledger import Ledger
from distillab.study.planning.summary import notes_on_tests
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.config import NumericsConfig
from distillab.training.recipe import Recipe

SET_IN_STUDY = "set in the study"


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
        notes=(
            *report.notes,
            *notes_on_tests(folder.spec.task_config(), folder.dataset),
            *folder.network_notes,
        ),
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
        settings=tuple((_of_examples(key), _of_examples(str(value))) for key, value in settings.items()),
    )


def _of_examples(text: str) -> str:
    """Return the general word for examples that are no images: keys of factors were named for images."""
    return text.replace("images_per_class", "examples_per_class")


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


def recipe_lines(ledger: Ledger, spec: StudySpec) -> tuple[RecipeLine, ...]:
    """Return the settings of the students' recipes, each with its values and where they come from."""
    recipes = _student_recipes(ledger)
    chosen = json.loads(ledger.meta("arithmetic") or "{}")
    of_numerics = {field.name for field in fields(NumericsConfig)} if chosen else set()
    lines = []
    for key in recipes[0][1] if recipes else ():
        if key in of_numerics:
            continue  # chosen per network, and listed below
        by_size: dict[int, set[str]] = {}
        for size, recipe in recipes:
            by_size.setdefault(size, set()).add(_value_text(key, recipe))
        values = sorted(set().union(*by_size.values()), key=lambda text: (len(text), text))
        follows_size = len(values) > 1 and all(len(each) == 1 for each in by_size.values())
        if follows_size:
            text = ", ".join(f"{min(each)} at {size:,} examples" for size, each in sorted(by_size.items()))
        else:
            text = " or ".join(values)
        lines.append(_recipe_line(key, text, spec, follows_size=follows_size))
    for model, choice in chosen.items():
        name, auto = f"numerics of {model}", not choice["asked"]
        origin = choice["reason"] if auto else SET_IN_STUDY
        lines.append(RecipeLine(name, choice["arithmetic"], auto, origin))
    return tuple(lines)


def _student_recipes(ledger: Ledger) -> list[tuple[int, JsonObject]]:
    """Return the recipes that occur, each with the number of training examples.

    They follow from that number, from the level of ``steps`` and from the chosen settings, so one job is read
    for each combination of them.
    """
    recipes: dict[tuple[int, str], JsonObject] = {}
    for cell in ledger.cells():
        key = cell.n_train, canonical_json([cell.levels.get(Steps.name), cell.tuned])
        if cell.run and key not in recipes:
            job = ledger.job(cell.run)
            if isinstance(job, StudentJob):
                recipes[key] = job.recipe
    return [(n_train, recipe) for (n_train, _), recipe in recipes.items()]


def _recipe_line(key: str, text: str, spec: StudySpec, *, follows_size: bool) -> RecipeLine:
    """Return the line of a setting with the given values."""
    name, requested = american(key), getattr(spec.recipe, key, None)
    if key in _tuned_keys(spec):
        return RecipeLine(name, text, origin="chosen on val for each method: see Tuning")
    if key == "steps" and any(isinstance(levels[0], Steps) for levels in spec.factor_levels()):
        return RecipeLine(name, text, origin="levels of the factor steps")
    if follows_size:
        return RecipeLine(name, text, auto=True, origin="depends on the number of examples")
    if requested in ("auto", None):
        return RecipeLine(name, text, auto=True, origin="resolved from the data")
    is_default = requested == Recipe.model_fields[key].default
    return RecipeLine(name, text, origin="default" if is_default else SET_IN_STUDY)


def _tuned_keys(spec: StudySpec) -> set[str]:
    """Return the keys of the recipe that are tuned."""
    if spec.tune is None:
        return set()
    tuned = {"lr": spec.tune.lr, "weight_decay": spec.tune.weight_decay, "steps": spec.tune.length}
    return {key for key, values in tuned.items() if values}


def _value_text(key: str, recipe: JsonObject) -> str:
    """Return a value of a resolved recipe as text."""
    if key == "views":
        return Views.read(recipe["views"], recipe["pad"]).label
    return canonical_json(recipe[key]).strip('"')


def _first_line(thing: type) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
