"""From a study's folder to everything its report shows."""

from __future__ import annotations

import datetime
import inspect
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Literal

import numpy as np

from distillab.canonical import canonical_json
from distillab.evidence import answer as answers
from distillab.evidence.curves import curves
from distillab.evidence.harms import class_harms
from distillab.evidence.metrics import classification_metrics
from distillab.evidence.results import PRIMARY, Measurements, Tables
from distillab.factors import Factor as FactorLevel
from distillab.methods import MethodSpec, methods
from distillab.report import contents as view
from distillab.report import rows as from_rows
from distillab.report.gallery import galleries
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.spec import PLAIN
from distillab.training.checkpoints import load_logits
from distillab.training.recipe import Recipe
from distillab.training.stages import LOGITS

Row = dict[str, Any]
PACKAGES = ("distillab", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pyarrow", "pydantic")


def collect(folder: StudyFolder, tables: Tables) -> view.ReportContents:
    """Everything that the report of a study shows, from its ledger, store and tables."""
    spec = folder.spec
    with folder.ledger() as ledger:
        conditions = ledger.conditions()
        failures = _failures(ledger)
        costs = tuple(view.Cost(kind, jobs, total) for kind, (jobs, total) in ledger.seconds().items())
        teachers = _teachers(folder, ledger)
        recipes = _recipes(ledger, spec.recipe)
    runs = from_rows.runs_of(tables.results)
    effects = from_rows.effects_of(tables.effects)
    return view.ReportContents(
        study=spec.study,
        answer=_answer(folder, tables),
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=metadata.version("distillab"),
        pairs=_pairs(tables.results, teachers),
        datasets=(_dataset(folder),),
        roles=_roles(folder),
        factors=tuple(_factor(levels) for levels in spec.factor_levels()),
        methods=tuple(_method(each) for each in spec.method_specs()),
        recipe=recipes,
        seeds=spec.seeds,
        pictures=galleries(folder, conditions),
        effects=effects,
        doses=from_rows.dose_panels(effects, runs),
        class_panels=_class_panels(folder, tables.effects),
        quality=from_rows.qualities(runs),
        teachers=teachers,
        runs=runs,
        failures=failures,
        exclusions=_exclusions(tables.results, folder),
        costs=costs,
        method_costs=from_rows.method_costs(runs, PLAIN),
        reproduction=_reproduction(folder),
        statistics=_statistics(folder, tables),
    )


# --- the answer ------------------------------------------------------------------------------------------


def _answer(folder: StudyFolder, tables: Tables) -> view.Answer:
    evidence = folder.spec.evidence
    margin, confidence, baseline = evidence.margin, evidence.confidence, evidence.baselines[0]
    doses = curves(tables.results, baseline=baseline, margin=margin, confidence=confidence)
    found = answers.answer(
        tables.effects,
        doses,
        baseline=baseline,
        controls=[each.label for each in folder.spec.method_specs() if _kind(each) == "control"],
        margin=margin,
        confidence=confidence,
    )
    return view.Answer(
        headline=found.headline,
        sentences=tuple(found.sentences),
        decided=found.decided > 0,
        caveats=(*found.caveats, *_teacher_caveats(folder)),
    )


def _teacher_caveats(folder: StudyFolder) -> list[str]:
    teacher = folder.spec.teacher
    if "full" not in teacher.provenance or teacher.replicates > 1:
        return []
    return [
        "All runs with provenance full learn from one and the same teacher, so their intervals do not say "
        "what another teacher would have changed."
    ]


# --- what was asked --------------------------------------------------------------------------------------


def _dataset(folder: StudyFolder) -> view.Dataset:
    dataset, report = folder.dataset, folder.dataset.report
    splits = (("train", dataset.train), ("val", dataset.val), *dataset.eval.items())
    return view.Dataset(
        name=dataset.name,
        classes=dataset.classes,
        shape=dataset.train.shape,
        splits=tuple((name, len(images)) for name, images in splits),
        source=str(folder.spec.data["source"]),
        duplicates=tuple(report.duplicates.items()),
        dropped_duplicates=report.dropped_duplicates,
        broken=report.broken,
        carved=report.carved,
        notes=report.notes,
        digest=dataset.digest,
    )


def _roles(folder: StudyFolder) -> tuple[view.Role, ...]:
    spec = folder.spec
    touched = {role: [] for role in ("teacher", "transfer", "val", "eval")}  # type: dict[str, list[str]]
    for levels in spec.factor_levels():
        for role in levels[0].roles:
            touched[role].append(levels[0].name)

    def words(role: str, base: str) -> view.Role:
        names = touched[role]
        return view.Role(role, f"{base}, after {' and '.join(names)}" if names else f"{base}, as read")

    learned = {
        "full": "full: all training images as read",
        "same": "same: the transfer images of each condition and seed",
        "external": "external: unknown data (given weights)",
    }
    taught = "; ".join(learned[each] for each in spec.teacher.provenance)
    return (
        words("teacher", taught) if touched["teacher"] else view.Role("teacher", taught),
        words("transfer", "the training images"),
        words("val", "carved from the training images, for choosing an epoch"),
        words("eval", "the test images, looked at once, after training"),
    )


def _factor(levels: Sequence[FactorLevel]) -> view.Factor:
    first = levels[0]
    settings = first.model_dump(mode="json", exclude={"level", "roles"})
    return view.Factor(
        name=first.name,
        levels=tuple(factor.level for factor in levels),
        roles=first.roles,
        description=_first_line(type(first)),
        settings=tuple((key, str(value)) for key, value in settings.items()),
    )


def _kind(spec: MethodSpec) -> Literal["plain", "control", "distillation"]:
    """A control learns nothing from the study's teacher."""
    if spec.label == PLAIN:
        return "plain"
    return "distillation" if methods[spec.name].teacher == "study" else "control"


def _method(spec: MethodSpec) -> view.Method:
    kind = methods[spec.name]
    return view.Method(
        name=spec.label,
        kind=_kind(spec),
        paper=kind.paper,
        description=_first_line(kind),
        settings=tuple((key, f"{value:g}") for key, value in spec.config.model_dump().items()),
    )


def _recipes(ledger: Ledger, asked: Recipe) -> tuple[view.Setting, ...]:
    """The student recipes that occur; a value that differs between conditions is told with its places."""
    written = {key for key in asked.model_fields_set if getattr(asked, key) != "auto"}
    seen: dict[int, Mapping[str, Any]] = {}
    for cell in ledger.cells():
        if cell["run"] and cell["n_train"] not in seen:
            job = ledger.job(cell["run"])
            if job:
                seen[cell["n_train"]] = job.spec["recipe"]
    settings = []
    for key in next(iter(seen.values()), {}):
        values = {size: canonical_json(recipe[key]).strip('"') for size, recipe in sorted(seen.items())}
        if len(set(values.values())) == 1:
            auto = key not in written
            value = next(iter(values.values()))
            settings.append(view.Setting(key, value, auto, "not written in the study" if auto else ""))
        else:
            told = ", ".join(f"{value} at {size:,} images" for size, value in values.items())
            settings.append(view.Setting(key, told, auto=True, why="follows the number of images"))
    return tuple(settings)


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]


# --- what came out ---------------------------------------------------------------------------------------


def _pairs(rows: Sequence[Row], teachers: Sequence[view.Teacher]) -> tuple[view.Pair, ...]:
    """Each student with its teacher, over all conditions; the method is the best on average."""
    pairs = []
    for teacher, student in dict.fromkeys((row["teacher"], row["student"]) for row in rows):
        mine = [r for r in rows if (r["teacher"], r["student"], r["status"]) == (teacher, student, "done")]
        if not mine:
            continue
        distilled = {
            method: _mean(mine, "accuracy", method=method)
            for method in dict.fromkeys(row["method"] for row in mine)
            if methods[method.split("(")[0]].teacher == "study"
        }
        best = max(distilled, key=lambda name: distilled[name] or 0.0, default="")
        sizes = next((t for t in teachers if t.name == teacher), None)
        pairs.append(
            view.Pair(
                teacher=teacher,
                student=student,
                teacher_accuracy=_mean(mine, "teacher_accuracy"),
                plain_accuracy=_mean(mine, "accuracy", method=PLAIN),
                distilled_accuracy=distilled.get(best),
                distilled_method=best,
                teacher_params=None if sizes is None else sizes.params,
                teacher_macs=None if sizes is None else sizes.macs,
                student_params=mine[0]["params"],
                student_macs=mine[0]["macs"],
                context="means over all conditions and seeds",
            )
        )
    return tuple(pairs)


def _mean(rows: Sequence[Row], column: str, method: str | None = None) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None and method in (None, row["method"])]
    return float(np.mean(values)) if values else None


def _class_panels(folder: StudyFolder, effects: Sequence[Row]) -> tuple[view.ClassPanel, ...]:
    """Gains by class of every method against its plain twin, in every cell; the worst losses first."""
    measured = Measurements(folder)
    by_arm: dict[tuple[Any, ...], dict[int, Any]] = {}
    for cell in measured.cells:
        accuracies = measured.class_accuracies(cell)
        if accuracies is not None:
            by_arm.setdefault(_arm(cell, cell["method"]), {})[cell["seed"]] = accuracies
    counts = np.bincount(folder.dataset.eval[PRIMARY].labels, minlength=len(folder.dataset.classes))
    panels = []
    for row in effects:
        if row["metric"] != "accuracy" or row["baseline"] != PLAIN:
            continue
        cell = {
            "levels": {k.removeprefix("factor."): v for k, v in row.items() if k.startswith("factor.")}
        } | row
        mine, plain = by_arm.get(_arm(cell, row["method"]), {}), by_arm.get(_arm(cell, PLAIN), {})
        seeds = sorted(mine.keys() & plain.keys())
        if seeds:
            harms = class_harms(
                np.stack([mine[seed] for seed in seeds]),
                np.stack([plain[seed] for seed in seeds]),
                folder.dataset.classes,
                resolution=1.0 / np.maximum(counts, 1),
                confidence=folder.spec.evidence.confidence,
            )
            panels.append(from_rows.class_panel(from_rows.cell_of(row), row["method"], harms))
    panels.sort(key=lambda panel: min((each.gain or 0.0) for each in panel.classes))
    return tuple(panels)


def _arm(cell: Mapping[str, Any], method: str) -> tuple[Any, ...]:
    return (canonical_json(cell["levels"]), cell["provenance"], cell["teacher"], cell["student"], method)


def _teachers(folder: StudyFolder, ledger: Ledger) -> tuple[view.Teacher, ...]:
    """Every teacher of the study that has been trained, tested on the test images as read."""
    dataset, found = folder.dataset, {}
    for cell in ledger.cells():
        name = cell["teacher_run"]
        if name is None or name in found or not folder.store.has("teacher", name):
            continue
        record = folder.store.record("teacher", name)
        logits = load_logits(folder.store.folder("teacher", name) / LOGITS)[f"{PRIMARY}.last"]
        measured = classification_metrics(logits, dataset.eval[PRIMARY].labels)
        same = cell["provenance"] == "same"
        levels = ", ".join(f"{factor} {level:g}" for factor, level in cell["levels"].items()) if same else ""
        found[name] = view.Teacher(
            name=cell["teacher"],
            provenance=cell["provenance"],
            dataset=dataset.name,
            trained_on=f"{record['n_train']:,} images" + (f" ({levels})" if levels else ""),
            seed=cell["seed"] if same else None,
            params=record["params"],
            macs=record["macs"],
            seconds=record["seconds"],
            **{key: measured[key] for key in ("accuracy", "nll", "ece", "brier")},
        )
    return tuple(found.values())


def _failures(ledger: Ledger) -> tuple[view.Failure, ...]:
    places = {cell["run"]: cell for cell in ledger.cells()}
    failures = []
    for failure in ledger.failures():
        cell = places.get(failure.id)
        levels = ", ".join(f"{name} {level:g}" for name, level in cell["levels"].items()) if cell else ""
        what = f"{cell['student']}, {cell['method']}, {levels}, seed {cell['seed']}" if cell else failure.kind
        failures.append(view.Failure(failure.id, failure.kind, what, failure.error))
    return tuple(failures)


def _exclusions(rows: Sequence[Row], folder: StudyFolder) -> tuple[view.Exclusion, ...]:
    with folder.ledger() as ledger:
        reasons: dict[tuple[str, str], int] = {}
        for cell in ledger.cells():
            if cell["excluded"]:
                where = ", ".join(f"{name} {level:g}" for name, level in cell["levels"].items())
                reasons[where, cell["excluded"]] = reasons.get((where, cell["excluded"]), 0) + 1
    return tuple(view.Exclusion(where, reason, runs) for (where, reason), runs in reasons.items())


# --- how to get it again ---------------------------------------------------------------------------------


def _reproduction(folder: StudyFolder) -> view.Reproduction:
    return view.Reproduction(
        commands=(
            "distillab run study.yaml --out again",
            "distillab reproduce DIR RUN_ID    # one run, compared with the stored numbers",
        ),
        study_yaml=folder.study_file.read_text(),
        versions=tuple((name, metadata.version(name)) for name in PACKAGES),
        machine=(
            ("system", f"{platform.system()} {platform.machine()}"),
            ("python", platform.python_version()),
            ("cpus", str(os.cpu_count())),
        ),
    )


def _statistics(folder: StudyFolder, tables: Tables) -> view.Statistics:
    evidence = folder.spec.evidence
    # A contrast without a pair has made no test; the others of a family all know how many it holds.
    families: dict[tuple[str, str], int] = {}
    for row in tables.effects:
        family = (row["metric"], row["baseline"])
        families[family] = max(families.get(family, 0), int(row["n_tests"] or 0))
    return view.Statistics(
        estimand="the paired gain: accuracy of the distilled student minus that of its plain twin, which "
        "shares initial weights, images, order, views and number of steps",
        interval="paired t interval over seeds (see docs/statistics.md for its measured coverage)",
        test="exact sign-flip test of the paired differences, two-sided",
        margin=evidence.margin,
        confidence=evidence.confidence,
        tests=sum(families.values()),
        correction="Holm, within each metric and baseline over the whole study",
        notes=(
            "Test images are read once, after training; last epoch unless a name says selected.",
            "A plain run that serves several provenances stands in each of them and counts as one run.",
        ),
    )
