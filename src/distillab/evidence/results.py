"""From the folder of a study to its tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from distillab.evidence.against_teacher import students_against_teacher
from distillab.evidence.conclusions import compute_conclusions, reference_levels
from distillab.evidence.contrast import covering_draws
from distillab.evidence.exits import write_exits
from distillab.evidence.lengths import add_convergence
from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import Row
from distillab.evidence.part_scores import part_rows, write_part_scores
from distillab.evidence.schema import (
    against_teacher_schema,
    effects_schema,
    level_effects_schema,
    results_schema,
    tuning_schema,
    write_table,
)
from distillab.evidence.selection import select_students, selection_schema
from distillab.evidence.sequential import Look, look_plan
from distillab.evidence.tuning import headline_rows, tuning_rows
from distillab.study.folder import StudyFolder
from distillab.study.planning.conditions import PRIMARY


@dataclass(frozen=True)
class Tables:
    """The rows of ``results.parquet``, ``effects.parquet``, ``level_effects.parquet``,
    ``against_teacher.parquet`` and ``selection.parquet``.

    Example:
        >>> Tables(results=[{"method": "kd", "accuracy": 0.9}], effects=[]).results[0]["method"]
        'kd'
    """

    results: list[Row]
    effects: list[Row]
    level_effects: list[Row] = field(default_factory=list)
    against_teacher: list[Row] = field(default_factory=list)
    selection: list[Row] = field(default_factory=list)

    @property
    def headline(self) -> Tables:
        """The rows that conclusions rest on: those at tuned settings, if any, else all."""
        every = (self.results, self.effects, self.level_effects, self.against_teacher, self.selection)
        return Tables(*map(headline_rows, every))


def write_tables(folder: StudyFolder) -> Tables:
    """Measure every finished run of a study and write the tables.

    Rows are in the order of the plan, so a study gives the same tables however often it was interrupted.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from distillab.study.spec.study import parse_study
        >>> small = {"data": {"source": "digits", "classes": 2}, "teacher": {"model": "resnet8"}, "seeds": 1}
        >>> values = {"study": "tiny", "students": "resnet8", "methods": ["kd"], **small}
        >>> spec = parse_study(values, Path(), "study")
        >>> folder = StudyFolder.begin(Path(tempfile.mkdtemp()) / "tiny", spec, torch.device("cpu"))
        >>> [(row["method"], row["status"]) for row in write_tables(folder).results]
        [('ce', 'queued'), ('kd', 'queued')]
    """
    spec, task = folder.spec, folder.spec.task_config()
    names = {levels[0].name: isinstance(levels[0].level, str) for levels in spec.factor_levels()}
    measurements = Measurements(folder)
    rows = measurements.rows()
    found = compute_conclusions(
        rows,
        task,
        spec.evidence,
        looks=looks_of(folder),
        contributions=covering_draws(measurements.contributions, task, folder.dataset.eval[PRIMARY]),
        further=measurements.contributions_to,
        references=reference_levels(spec.factor_levels()),
    )
    add_convergence(
        found.effects,
        rows,
        task.metrics[task.primary],
        curve=measurements.val_curve,
        annealed=spec.recipe.schedule != "constant",
        margin=task.metrics[task.primary].margin_for(spec.evidence.margin),
    )
    tests = list(measurements.further_tests)
    tuned = spec.tune is not None
    write_table(rows, results_schema(names, task, tests, tuned=tuned), folder.results_file)
    of_gains = effects_schema(names, task, looks=bool(spec.looks), tuned=tuned)
    write_table(found.effects, of_gains, folder.effects_file)
    write_table(found.level_effects, level_effects_schema(names, tuned=tuned), folder.level_effects_file)
    if tuned:
        write_table(tuning_rows(folder), tuning_schema(names), folder.tuning_file)
    against = students_against_teacher(
        rows,
        task,
        margin=spec.evidence.margin,
        confidence=spec.evidence.confidence,
        student_values=measurements.contributions,
        teacher_values=measurements.teacher_contributions,
    )
    write_exits(folder, rows, task, names)
    if not task.targets.complete:
        scores = map(measurements.per_class, measurements.cells)
        by_label = part_rows("label", task.class_metric.name, rows, scores)
        write_part_scores("label", by_label, folder.labels_file, names, tuned=tuned)
    by_group = part_rows("group", task.primary, rows, map(measurements.per_group, measurements.cells))
    write_part_scores("group", by_group, folder.groups_file, names, tuned=tuned)
    write_table(against, against_teacher_schema(names, tuned=tuned), folder.against_teacher_file)
    choices = select_students(
        rows,
        task,
        margin=task.metrics[task.primary].margin_for(spec.evidence.margin),
        plain=[each.label for each in spec.method_specs() if not each.distils],
    )
    write_table(choices, selection_schema(names, tuned=tuned), folder.selection_file)
    return Tables(rows, found.effects, found.level_effects, against, choices)


def looks_of(folder: StudyFolder) -> tuple[Look, ...]:
    """Return the looks of a study with sequential stopping; empty for others."""
    spec = folder.spec
    return look_plan(spec.looks, spec.evidence.confidence) if spec.looks else ()
