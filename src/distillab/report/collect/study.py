"""From a study's folder to everything its report shows."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from distillab.canonical import canonical_json
from distillab.evidence.answer import summarize
from distillab.evidence.curves import compute_curves
from distillab.evidence.gains import FloatArray
from distillab.evidence.harms import class_harms
from distillab.evidence.results import Measurements, Tables, looks_of, task_of
from distillab.factors import Level, level_text
from distillab.report.collect import question
from distillab.report.collect import rows as from_rows
from distillab.report.collect.gallery import galleries
from distillab.report.collect.stopping import stopping_of
from distillab.report.contents import study as view
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.usage import teacher_usage

Row = dict[str, Any]
KINDS = {"outputs": "teacher outputs"}  # what a reader calls the jobs
PACKAGES = ("distillab", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pyarrow", "pydantic")


def collect(folder: StudyFolder, tables: Tables) -> view.ReportContents:
    """Everything that the report of a study shows, from its ledger, store and tables."""
    spec = folder.spec
    with folder.ledger() as ledger:
        conditions = ledger.conditions()
        failures = _failures(ledger)
        seconds = ledger.seconds().items()
        costs = tuple(view.Cost(KINDS.get(kind, kind), jobs, total) for kind, (jobs, total) in seconds)
        teachers = _teachers(folder, ledger)
        recipes = question.recipe(ledger, spec.recipe)
    phrases = question.phrases(folder)
    runs = from_rows.runs_of(tables.results, phrases)
    effects, baseline = from_rows.effects_of(tables.effects, phrases), spec.evidence.baselines[0]
    distilling = [each.label for each in spec.method_specs() if each.distils]
    return view.ReportContents(
        study=spec.study,
        baseline=baseline,
        answer=_answer(folder, tables),
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=metadata.version("distillab"),
        pairs=_pairs(tables.results, teachers, baseline, distilling),
        datasets=(question.dataset(folder),),
        roles=question.roles(folder),
        factors=tuple(question.factor(levels, conditions) for levels in spec.factor_levels()),
        methods=tuple(question.method(each) for each in spec.method_specs()),
        recipe=recipes,
        seeds=spec.seed_list,
        pictures=galleries(folder, conditions),
        effects=effects,
        doses=from_rows.dose_panels(effects, runs, baseline=baseline),
        class_panels=_class_panels(folder, tables.effects, baseline),
        quality=from_rows.qualities(runs),
        teachers=teachers,
        runs=runs,
        failures=failures,
        exclusions=_exclusions(tables.results, folder),
        costs=costs,
        method_costs=from_rows.method_costs(runs, baseline),
        work=_work(folder),
        stopping=stopping_of(looks_of(folder), effects, runs),
        reproduction=_reproduction(folder),
        statistics=_statistics(folder, tables),
    )


# --- the answer ------------------------------------------------------------------------------------------


def _answer(folder: StudyFolder, tables: Tables) -> view.Answer:
    evidence = folder.spec.evidence
    margin, confidence, baseline = evidence.margin, evidence.confidence, evidence.baselines[0]
    # Which later seeds a level has depends on what came out: trends rest on those that every level has.
    until = folder.spec.looks[0] if folder.spec.looks else math.inf
    rows = [row for row in tables.results if row["seed"] < until]
    task = task_of(folder)
    metric = task.metrics[task.primary]
    doses = compute_curves(rows, metric, baseline=baseline, margin=margin, confidence=confidence)
    found = summarize(
        tables.effects,
        task,
        doses,
        baseline=baseline,
        controls=[each.label for each in folder.spec.method_specs() if not each.distils],
        margin=margin,
        confidence=confidence,
        phrases=question.phrases(folder),
    )
    return view.Answer(
        headline=found.headline,
        sentences=tuple(found.sentences),
        decided=found.decided > 0,
        missing=tuple(found.missing),
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


def _work(folder: StudyFolder) -> view.Work:
    done = teacher_usage(folder)
    return view.Work(
        done.queries, done.forward_passes, done.saved, done.stored_bytes, tuple(done.phases.items())
    )


# --- what came out ---------------------------------------------------------------------------------------


def _pairs(
    rows: Sequence[Row], teachers: Sequence[view.Teacher], plain: str, distilling: Sequence[str]
) -> tuple[view.Pair, ...]:
    """Each student with its teacher, where the plain twin and the first of the distilling methods are both
    done. The first that is written, and not the best: that would be chosen on test images."""
    pairs = []
    for teacher, student in dict.fromkeys((row["teacher"], row["student"]) for row in rows):
        mine = [r for r in rows if (r["teacher"], r["student"], r["status"]) == (teacher, student, "done")]
        if not mine:
            continue
        method, twins = _first_twins(mine, plain, distilling)
        sizes = next((t for t in teachers if t.name == teacher), None)
        pairs.append(
            view.Pair(
                teacher=teacher,
                student=student,
                teacher_accuracy=_mean(twins, "teacher_accuracy"),
                plain_accuracy=_mean(twins, "accuracy", method=plain),
                distilled_accuracy=_mean(twins, "accuracy", method=method) if method else None,
                distilled_method=method,
                teacher_params=None if sizes is None else sizes.params,
                teacher_macs=None if sizes is None else sizes.macs,
                student_params=mine[0]["params"],
                student_macs=mine[0]["macs"],
                context="means over the conditions and seeds where both are done"
                if method
                else "means over all conditions and seeds",
            )
        )
    return tuple(pairs)


def _first_twins(rows: Sequence[Row], plain: str, distilling: Sequence[str]) -> tuple[str, Sequence[Row]]:
    """The first distilling method that has runs whose plain twin is done, and both sides of them; no method
    and the plain runs if there is none."""
    places = {method: {_place(row) for row in rows if row["method"] == method} for method in distilling}
    begun = {_place(row) for row in rows if row["method"] == plain}
    for method in distilling:
        if both := places[method] & begun:
            return method, [r for r in rows if r["method"] in (method, plain) and _place(r) in both]
    return "", [row for row in rows if row["method"] == plain]


def _place(row: Row) -> tuple[Any, ...]:
    """What a run shares with its twin: levels, provenance and seed."""
    levels = tuple(value for name, value in row.items() if name.startswith("factor."))
    return (*levels, row["provenance"], row["seed"])


def _mean(rows: Sequence[Row], column: str, method: str | None = None) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None and method in (None, row["method"])]
    return float(np.mean(values)) if values else None


def _class_panels(folder: StudyFolder, effects: Sequence[Row], baseline: str) -> tuple[view.ClassPanel, ...]:
    """Gains by class of every method against its plain twin, in every cell; the worst losses first."""
    measured, phrases, looks = Measurements(folder), question.phrases(folder), looks_of(folder)
    by_arm: dict[tuple[Any, ...], dict[int, dict[str, tuple[float, int]]]] = {}
    for cell in measured.cells:
        accuracies = measured.per_class(cell)
        if accuracies is not None:
            arm = _arm(cell.levels, cell.provenance, cell.teacher, cell.student, cell.method)
            by_arm.setdefault(arm, {})[cell.seed] = accuracies
    panels = []
    for row in effects:
        if row["metric"] != "accuracy" or row["baseline"] != baseline:
            continue
        levels = {k.removeprefix("factor."): v for k, v in row.items() if k.startswith("factor.")}
        mine, plain = (
            by_arm.get(_arm(levels, row["provenance"], row["teacher"], row["student"], method), {})
            for method in (row["method"], baseline)
        )
        until = looks[(row["look"] or 1) - 1].seeds if looks else math.inf
        seeds = sorted(seed for seed in mine.keys() & plain.keys() if seed < until)
        if seeds:
            # Seeds may have drawn other classes: each class rests on the seeds that have it.
            names = list(dict.fromkeys(name for seed in seeds for name in mine[seed]))
            sizes = [max(mine[s][name][1] for s in seeds if name in mine[s]) for name in names]
            harms = class_harms(
                _by_class(mine, seeds, names),
                _by_class(plain, seeds, names),
                names,
                resolution=1.0 / np.maximum(sizes, 1),
                confidence=row.get("confidence") or folder.spec.evidence.confidence,
            )
            panels.append(from_rows.class_panel(from_rows.cell_of(row, phrases), row["method"], harms))
    panels.sort(key=lambda panel: min((each.gain or 0.0) for each in panel.classes))
    return tuple(panels)


def _by_class(
    arm: Mapping[int, Mapping[str, tuple[float, int]]], seeds: Sequence[int], names: Sequence[str]
) -> FloatArray:
    """Accuracies ``[seeds, classes]``, NaN for a class that a seed does not have."""
    return np.array([[arm[seed].get(name, (np.nan, 0))[0] for name in names] for seed in seeds])


def _arm(
    levels: Mapping[str, Level], provenance: str, teacher: str, student: str, method: str
) -> tuple[str, ...]:
    return canonical_json(levels), provenance, teacher, student, method


def _teachers(folder: StudyFolder, ledger: Ledger) -> tuple[view.Teacher, ...]:
    """Every teacher of the study that has been trained, tested on the test images as read."""
    dataset, measured, found = folder.dataset, Measurements(folder), {}
    for cell in ledger.cells():
        name = cell.teacher_run
        if name is None or name in found or not folder.store.has("teacher", name):
            continue
        record = folder.store.run_record("teacher", name)
        quality = measured.teacher_metrics(cell)
        same = cell.provenance == "same"
        levels = _levels_text(cell.levels) if same else ""
        found[name] = view.Teacher(
            name=cell.teacher,
            provenance=cell.provenance,
            dataset=dataset.name,
            trained_on=f"{record.n_train:,} images" + (f" ({levels})" if levels else ""),
            seed=cell.seed if same else None,
            params=record.params,
            macs=record.macs,
            seconds=record.seconds,
            **{key: quality[key] for key in ("accuracy", "nll", "ece", "brier")},
        )
    return tuple(found.values())


def _failures(ledger: Ledger) -> tuple[view.Failure, ...]:
    places = {cell.run: cell for cell in ledger.cells()}
    failures = []
    for failure in ledger.failures():
        cell = places.get(failure.id)
        levels = _levels_text(cell.levels) if cell else ""
        what = f"{cell.student}, {cell.method}, {levels}, seed {cell.seed}" if cell else failure.kind
        failures.append(view.Failure(failure.id, failure.kind, what, failure.error))
    return tuple(failures)


def _exclusions(rows: Sequence[Row], folder: StudyFolder) -> tuple[view.Exclusion, ...]:
    with folder.ledger() as ledger:
        reasons: dict[tuple[str, str], int] = {}
        for cell in ledger.cells():
            if cell.excluded:
                where = _levels_text(cell.levels)
                reasons[where, cell.excluded] = reasons.get((where, cell.excluded), 0) + 1
    return tuple(view.Exclusion(where, reason, runs) for (where, reason), runs in reasons.items())


def _levels_text(levels: Mapping[str, Level]) -> str:
    return ", ".join(f"{name} {level_text(level)}" for name, level in levels.items())


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


_LEVELS = "; each at the stricter level of its look, so that the intervals of all looks hold with this one"


def _statistics(folder: StudyFolder, tables: Tables) -> view.Statistics:
    spec, evidence = folder.spec, folder.spec.evidence
    # A contrast without a pair has made no test; the others of a family all know how many it holds.
    families: dict[tuple[str, str], int] = {}
    for row in tables.effects:
        family = (row["metric"], row["baseline"])
        families[family] = max(families.get(family, 0), int(row["n_tests"] or 0))
    return view.Statistics(
        estimand="the paired gain: accuracy of the distilled student minus that of its plain twin, which "
        "shares initial weights, images, order, views and number of steps",
        interval="Student's t of the paired differences over seeds, widened for skewness and for the steps "
        "of the test set (its coverage was measured: docs/statistics.md)" + _LEVELS * bool(spec.looks),
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
