"""From the folder of a study to everything that its report shows."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from distillab.evidence.answer import Answer, summarize
from distillab.evidence.caveats import tests_made
from distillab.evidence.exits import exit_rows
from distillab.evidence.group_scores import group_baseline
from distillab.evidence.lengths import confounded_with_epochs
from distillab.evidence.pairs import Row
from distillab.evidence.results import Tables, looks_of
from distillab.evidence.schema import read_rows
from distillab.evidence.tuning import headline_rows
from distillab.evidence.wording import Phrases
from distillab.report.collect.detections import detections_view
from distillab.report.collect.doses import dose_panels
from distillab.report.collect.explanations import explanations_view
from distillab.report.collect.gallery import galleries
from distillab.report.collect.harms import class_panels
from distillab.report.collect.models import model_pairs, teacher_views
from distillab.report.collect.orbit import orbit_pictures
from distillab.report.collect.question import (
    conditions_text,
    dataset_view,
    factor_view,
    method_view,
    phrases_of,
    recipe_lines,
    role_views,
)
from distillab.report.collect.retrieval import retrieval_view
from distillab.report.collect.rows import (
    effects_of,
    exits_of,
    group_views,
    label_views,
    level_effects_of,
    method_costs,
    qualities,
    runs_of,
)
from distillab.report.collect.stopping import stopping_of
from distillab.report.collect.tracks import tracks_view
from distillab.report.collect.train_examples import train_examples
from distillab.report.collect.tuning import tuning_view
from distillab.report.contents.cost import Cost
from distillab.report.contents.report import ReportContents
from distillab.report.contents.runs import Exclusion, FailureView, Reproduction, Statistics
from distillab.report.contents.tuning import TuningView
from distillab.study.folder import StudyFolder
from distillab.study.ledger import Ledger
from distillab.study.planning.conditions import PRIMARY
from distillab.study.run_count import RunCount
from distillab.study.spec.controls import control_labels, missing_controls
from distillab.study.spec.study import StudySpec
from distillab.study.usage import teacher_usage

UNTUNED = (
    "Nothing was tuned: all methods have the recipe's settings, and their own keys as written or by default."
)
JOB_KINDS = {"outputs": "teacher outputs"}  # how kinds of jobs are called in the report
PACKAGES = ("distillab", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pyarrow", "pydantic")


def collect_contents(folder: StudyFolder, tables: Tables) -> ReportContents:
    """Return everything that the report of a study shows, from its ledger, store and tables.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from distillab.study.spec.study import parse_study
        >>> small = {"data": {"source": "digits", "classes": 2}, "teacher": {"model": "resnet8"}, "seeds": 1}
        >>> values = {"study": "tiny", "students": "resnet8", "methods": ["kd"], **small}
        >>> spec = parse_study(values, Path(), "study")
        >>> folder = StudyFolder.begin(Path(tempfile.mkdtemp()) / "tiny", spec, torch.device("cpu"))
        >>> collect_contents(folder, Tables([], [])).methods[1].name
        'kd'
    """
    every, tables = tables, tables.headline
    spec, task, phrases = folder.spec, folder.spec.task_config(), phrases_of(folder)
    baseline = spec.evidence.baselines[0]
    with folder.ledger() as ledger:
        conditions = ledger.conditions()
        failures, exclusions = _failures(ledger), _exclusions(ledger)
        seconds = ledger.seconds().items()
        recipe = recipe_lines(ledger, spec)
    tuning = tuning_view(folder, every, phrases)
    runs, effects = runs_of(tables.results, task, phrases), effects_of(tables.effects, phrases)
    methods, teachers = spec.method_specs(), teacher_views(folder)
    pairs = [(spec.teacher.last_model, each.model) for each in spec.student_entries]
    distilling = [each.label for each in methods if each.distils]
    return ReportContents(
        study=spec.study,
        task=task,
        baseline=baseline,
        answer=_answer(folder, tables, phrases, tuning),
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=metadata.version("distillab"),
        pairs=model_pairs(tables.results, teachers, task, plain=baseline, distilling=distilling),
        datasets=(dataset_view(folder),),
        examples=train_examples(folder),
        roles=role_views(folder),
        factors=tuple(factor_view(levels, conditions) for levels in spec.factor_levels()),
        methods=tuple(method_view(each, pairs) for each in methods),
        recipe=recipe,
        seeds=spec.seed_list,
        pictures=(*galleries(folder, conditions), *orbit_pictures(folder)),
        effects=effects,
        level_effects=level_effects_of(tables.level_effects, phrases),
        doses=dose_panels(effects, runs, task, baseline),
        class_panels=class_panels(folder, tables.effects, baseline, phrases),
        quality=qualities(runs),
        teachers=teachers,
        against_teacher=tuple(tables.against_teacher),
        alignment=tuple(headline_rows(_written(folder.alignment_file))),
        selection=tuple(tables.selection),
        exits=exits_of(exit_rows(folder, tables.results, task), phrases),
        labels=label_views(headline_rows(_written(folder.labels_file)), phrases),
        groups=group_views(headline_rows(_written(folder.groups_file)), phrases),
        group_baseline=group_baseline(folder.dataset.train, folder.dataset.eval[PRIMARY], task),
        explanations=explanations_view(folder),
        retrieval=retrieval_view(folder),
        detections=detections_view(folder),
        tracks=tracks_view(folder),
        runs=runs,
        failures=failures,
        exclusions=exclusions,
        costs=tuple(Cost(JOB_KINDS.get(kind, kind), jobs, total) for kind, (jobs, total) in seconds),
        method_costs=method_costs(runs, baseline),
        usage=teacher_usage(folder),
        stopping=stopping_of(looks_of(folder), effects, runs, task.primary),
        tuning=tuning,
        reproduction=_reproduction(folder),
        statistics=_statistics(folder, tables),
    )


def _written(file: Path) -> list[Row]:
    """Return the rows of a table that some studies have."""
    return read_rows(file) if file.is_file() else []


# --- the answer ------------------------------------------------------------------------------------------


def _answer(folder: StudyFolder, tables: Tables, phrases: Phrases, tuning: TuningView | None) -> Answer:
    spec, task = folder.spec, folder.spec.task_config()
    margin, confidence, baseline = spec.evidence.margin, spec.evidence.confidence, spec.evidence.baselines[0]
    with folder.ledger() as ledger:
        runs = RunCount.of(ledger.tally().get("student", {}))
    answer = summarize(
        tables.effects,
        task,
        baseline=baseline,
        controls=control_labels(spec),
        margin=margin,
        confidence=confidence,
        phrases=phrases,
        runs=runs,
        confounded=confounded_with_epochs(tables.results),
        level_effects=tables.level_effects,
        declared=bool(spec.evidence.contrasts),
        settings=tuning.sentence if tuning else UNTUNED,
        same_views=spec.has_shared_views,
        metric=spec.evidence.declared_metric,
    )
    warnings = tuning.warnings if tuning else ()
    return replace(answer, caveats=(*answer.caveats, *missing_controls(spec), *warnings))


# --- failures and exclusions -----------------------------------------------------------------------------


def _failures(ledger: Ledger) -> tuple[FailureView, ...]:
    cells = ledger.cells()
    cell_of = {cell.doubled: (cell, ", twice the steps") for cell in cells}
    cell_of |= {cell.run: (cell, "") for cell in cells}
    failures = []
    for failure in ledger.failures():
        what = str(failure.kind)
        if failure.id in cell_of:
            cell, length = cell_of[failure.id]
            what = f"{cell.student}, {cell.method}, {conditions_text(cell.levels)}, seed {cell.seed}{length}"
        failures.append(FailureView(failure.id, failure.kind, what, failure.error))
    return tuple(failures)


def _exclusions(ledger: Ledger) -> tuple[Exclusion, ...]:
    runs: dict[tuple[str, str], int] = {}
    for cell in ledger.cells():
        if cell.excluded:
            key = conditions_text(cell.levels), cell.excluded
            runs[key] = runs.get(key, 0) + 1
    return tuple(Exclusion(where, reason, number) for (where, reason), number in runs.items())


# --- how to obtain it again ------------------------------------------------------------------------------


def _reproduction(folder: StudyFolder) -> Reproduction:
    return Reproduction(
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


def _statistics(folder: StudyFolder, tables: Tables) -> Statistics:
    spec, task = folder.spec, folder.spec.task_config()
    metric = task.metrics[task.primary]
    levels = "; each at the stricter level of its look, so that the intervals of all looks are valid together"
    return Statistics(
        estimand=f"the paired gain: {metric.label} of the distilled student minus that of the plain "
        f"student with the same initial weights, examples, order and views, {_length_of_pairs(spec)}",
        interval="Student's t interval of the mean paired difference over draws of seeds, of teachers where "
        "pairs have several, and of test examples for the primary metric, widened for skewness and for the "
        "step of the test set (its coverage is measured in docs/statistics.md)" + levels * bool(spec.looks),
        test="exact sign-flip test of the paired differences, two-sided",
        margin=metric.margin_for(spec.evidence.margin),
        confidence=spec.evidence.confidence,
        tests=tests_made(tables.effects, tables.level_effects, one_family=bool(spec.evidence.contrasts)),
        correction="Holm's method, within each metric and baseline over the whole study",
        notes=(
            f"{_testing(spec)}; metrics are from the last epoch unless they are named selected.",
            "A plain run that serves several provenances is listed under each of them and counts as one run.",
            *folder.starts,
        ),
    )


def _length_of_pairs(spec: StudySpec) -> str:
    """Return how long both students of a pair are trained."""
    return "each under the setting that was chosen for it" if spec.tune else "and the same number of steps"


def _testing(spec: StudySpec) -> str:
    """Return when test sets are evaluated."""
    if spec.curves.test:
        return (
            "Test sets are evaluated after training, and at each point of the validation curve for curves "
            "that nothing reads which trains, selects or stops"
        )
    return "Test sets are evaluated once, after training"
