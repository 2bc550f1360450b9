"""From a study's folder to what its report shows of the question: data, roles, factors, methods, recipe."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, get_args

from distillab.canonical import canonical_json
from distillab.evidence.wording import Phrases
from distillab.factors import Factor as FactorLevel
from distillab.factors import Role, describe_label_quality
from distillab.methods import MethodSpec
from distillab.methods.spec import written
from distillab.modalities.views import Views
from distillab.report.contents import question as view
from distillab.study.design import ConditionRecord
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob
from distillab.study.ledger import Ledger
from distillab.study.spec.study import PLAIN
from distillab.training.numerics.config import NumericsConfig
from distillab.training.recipe import Recipe


def dataset(folder: StudyFolder) -> view.Dataset:
    """What was read, and what was met on the way in."""
    read, report = folder.dataset, folder.dataset.report
    splits = (("train", read.train), ("val", read.val), *read.eval.items())
    return view.Dataset(
        name=read.name,
        classes=read.classes,
        shape=read.train.shape,
        splits=tuple((name, len(images)) for name, images in splits),
        source=str(folder.spec.data["source"]),
        duplicates=tuple(report.duplicates.items()),
        dropped_duplicates=report.dropped_duplicates,
        broken=report.broken,
        carved=report.carved,
        notes=report.notes,
        digest=read.digest,
    )


def roles(folder: StudyFolder) -> tuple[view.Role, ...]:
    """What filled each role, and which factors touched it."""
    spec = folder.spec
    varied = [levels[0] for levels in spec.factor_levels()]
    touched = {role: [factor.name for factor in varied if role in factor.roles] for role in get_args(Role)}

    def words(role: Role, base: str) -> view.Role:
        names, labels = touched[role], describe_label_quality(varied, role)
        told = f"{base}, after {' and '.join(names)}" if names else f"{base}, as read"
        return view.Role(role, f"{told}; {labels}" if labels else told)

    learned = {
        "full": "full: all training images as read",
        "same": "same: the transfer images of each condition and seed",
        "external": "external: unknown data (given weights)",
    }
    taught = "; ".join(learned[each] for each in spec.teacher.provenance)
    carved = "val" in folder.dataset.report.carved
    val = "carved from the training images" if carved else "the validation images of the source"
    return (
        words("teacher", taught) if touched["teacher"] else view.Role("teacher", taught),
        words("transfer", "the training images"),
        words("val", f"{val}, for choosing an epoch"),
        words("eval", "the test images, looked at once, after training"),
    )


def factor(levels: Sequence[FactorLevel], conditions: Sequence[ConditionRecord]) -> view.Factor:
    """A factor with its levels; what a level measures is what its manipulation checks measured."""
    first = levels[0]
    measures = (c.measure for each in conditions for c in each.checks if c.factor == first.name)
    settings = first.model_dump(mode="json", exclude={"level", "roles"})
    return view.Factor(
        name=first.name,
        levels=tuple(factor.level for factor in levels),
        measure=next(measures, ""),
        roles=first.roles,
        description=_first_line(type(first)),
        settings=tuple((key, str(value)) for key, value in settings.items()),
    )


def phrases(folder: StudyFolder) -> Phrases:
    """What people call the levels of each factor as this study sets it."""
    return {levels[0].name: levels[0].phrase for levels in folder.spec.factor_levels()}


def kind_of(spec: MethodSpec) -> Literal["plain", "control", "distillation"]:
    """A control learns nothing from the study's teacher."""
    if spec.label == PLAIN:
        return "plain"
    return "distillation" if spec.distils else "control"


def method(spec: MethodSpec) -> view.Method:
    """A method with all its hyper-parameters."""
    return view.Method(
        name=spec.label,
        kind=kind_of(spec),
        paper=spec.kind.paper,
        description=_first_line(spec.kind),
        settings=tuple((key, written(value)) for key, value in spec.settings.items()),
    )


def recipe(ledger: Ledger, asked: Recipe) -> tuple[view.Setting, ...]:
    """The student recipes that occur; a value that differs between conditions is told with its places."""
    written = {key for key in asked.model_fields_set if getattr(asked, key) not in ("auto", None)}
    seen: dict[int, Mapping[str, Any]] = {}
    for cell in ledger.cells():
        if cell.run and cell.n_train not in seen:
            job = ledger.job(cell.run)
            if isinstance(job, StudentJob):
                seen[cell.n_train] = job.recipe
    settings = []
    chosen = json.loads(ledger.meta("arithmetic") or "{}")
    of_arithmetic = {field.name for field in fields(NumericsConfig)} if chosen else set()
    for key in next(iter(seen.values()), {}):
        if key in of_arithmetic:
            continue  # chosen for each network, and told below
        values = {size: _written(key, recipe) for size, recipe in sorted(seen.items())}
        if len(set(values.values())) == 1:
            auto = key not in written
            value = next(iter(values.values()))
            settings.append(view.Setting(key, value, auto, "resolved from the data" if auto else ""))
        else:
            told = ", ".join(f"{value} at {size:,} images" for size, value in values.items())
            settings.append(view.Setting(key, told, auto=True, why="follows the number of images"))
    for model, choice in chosen.items():
        name, auto = f"arithmetic of {model}", not choice["asked"]
        settings.append(view.Setting(name, choice["arithmetic"], auto, choice["reason"] if auto else ""))
    return tuple(settings)


def _written(key: str, recipe: Mapping[str, Any]) -> str:
    """A value of a resolved recipe, for people."""
    if key == "views":
        return Views.read(recipe["views"], recipe["pad"]).label
    return canonical_json(recipe[key]).strip('"')


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
