"""The rows of a context, from the folder of its study: one of the context, one per student run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from distillab.artefacts import RunRecord
from distillab.base.contexts import DrawnContext
from distillab.base.predictors import teacher_predictors
from distillab.base.profiling import profile_of_transfer
from distillab.base.schema import PREDICTOR, PROFILE, RUN_METRICS, RUN_PHASES, SECONDS
from distillab.data.class_map import class_map
from distillab.evidence.lengths import add_convergence
from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import Row, cell_columns, finite_value
from distillab.evidence.tuning import headline_rows, tuning_rows
from distillab.modalities import normalization_of
from distillab.profile.loaded_teacher import LoadedTeacher
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, StudentJob
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import PRIMARY, Condition, Roles
from distillab.study.spec.evidence import PLAIN
from distillab.study.tuning_record import DIVERGED
from distillab.training.stages.outputs import open_network, teacher_class_count

DISTILLED = "kd"
"""The method whose convergence stands beside that of the plain student."""
STARVED = 0.01
"""The rise of the plain student by twice the steps, on val, from which on a context is excluded."""
_MOST_TEACHERS = 2  # whose predictors are averaged
_CONTINUOUS = ("nll", "brier", "ece", "teacher_kl")
_AMERICAN = {"optimiser": "optimizer"}


@dataclass(frozen=True)
class ContextRows:
    """The rows of a context.

    Attributes:
        context: The row of ``contexts.parquet``.
        runs: The rows of ``runs.parquet``.
    """

    context: Row
    runs: list[Row]


def rows_of(context: DrawnContext, folder: StudyFolder, seconds: float) -> ContextRows:
    """Return the rows of a context whose study has run.

    Args:
        context: The context.
        folder: The folder of its study.
        seconds: Processor seconds that the study took.
    """
    started = time.process_time()
    measurements = Measurements(folder)
    results = headline_rows(measurements.rows())
    runs = _Runs(context.name, folder)
    rows = [runs.row(row, "run") for row in results]
    rows += [runs.row(row, "probe") for row in measurements.probe_rows()]
    rows += [runs.row(row | {"setting": "trial"}, "trial") for row in tuning_rows(folder)]
    row = _context_row(context, folder, measurements, results)
    row["seconds"] = seconds + time.process_time() - started
    return ContextRows(row, rows)


def refused_rows(context: DrawnContext, reason: str, seconds: float) -> ContextRows:
    """Return the rows of a context that could not be made: it stays in the table, with the reason."""
    facts = _design_facts(context) | {"excluded_because": reason, "seconds": seconds}
    return ContextRows(facts, [])


# -- runs ---------------------------------------------------------------------------------------------------


class _Runs:
    """Turns rows of results and of tuning into those of the evidence base."""

    def __init__(self, context: str, folder: StudyFolder) -> None:
        self._context, self._folder = context, folder
        with folder.ledger() as ledger:
            self._states = ledger.states()

    def row(self, row: Row, kind: str) -> Row:
        run = row["run_id"]
        status = self._states.get(run) if run else None
        error = status.error if status else None
        found: Row = {
            "context": self._context,
            "run_id": run or None,
            "kind": kind,
            "method": row["method"],
            "setting": row.get("setting") or "default",
            "seed": row["seed"],
            "teacher_run": row.get("teacher_run"),
            "status": _status(row["status"], error),
            "error": error,
            "tuned_keys": row.get("tuned_keys") or row.get("keys"),
        }
        job = self._job(run)
        if isinstance(job, StudentJob):
            found |= {"steps": job.recipe["steps"], "lr": float(job.recipe["lr"])}
        found |= {name: _metric(name, finite_value(row, name)) for name in RUN_METRICS}
        if status is not None and status.state == JobState.DONE:
            found |= _recorded(self._folder.store.run_record("student", run))
        return found

    def _job(self, run: str) -> Job | None:
        return self._folder.job(run) if run else None


def _status(status: str, error: str | None) -> str:
    return "diverged" if (error or "").startswith(DIVERGED) else status


def _metric(name: str, value: float | None) -> float | None:
    """Return a metric as it is stored: those that count no examples have four digits, to keep files small."""
    return with_digits(value, 4) if name in _CONTINUOUS else value


def with_digits(value: float | None, digits: int) -> float | None:
    """Return a number with so many significant digits.

    Example:
        >>> with_digits(1.23456, 3), with_digits(None, 3)
        (1.23, None)
    """
    return None if value is None else float(f"{value:.{digits}g}")


def _recorded(record: RunRecord) -> Row:
    """Return the seconds, with three digits, and the curves of a run."""
    seconds = {
        _AMERICAN.get(name, name): value for name, value in {**record.phases, **record.overhead}.items()
    }
    found: Row = {f"{SECONDS}{phase}": with_digits(seconds.get(phase), 3) for phase in RUN_PHASES}
    curve = record.curve
    tests = [point.test.get(PRIMARY) for point in curve]
    return found | {
        "train_seconds": with_digits(record.seconds, 4),
        "look_steps": [point.step for point in curve],
        "look_seconds": [with_digits(point.seconds, 3) for point in curve],
        "val_curve": [point.val_accuracy for point in curve],
        "test_curve": tests if any(each is not None for each in tests) else None,
    }


# -- the context --------------------------------------------------------------------------------------------


def _context_row(
    context: DrawnContext, folder: StudyFolder, measurements: Measurements, results: list[Row]
) -> Row:
    row = _design_facts(context)
    done = [each for each in results if each["status"] == JobState.DONE]
    plain = [each for each in done if each["method"] == PLAIN]
    excluded = _failed_checks(measurements)
    if results:
        row |= {name: results[0][name] for name in ("dataset", "n_train", "n_test", "provenance", "teacher")}
    if plain:
        row |= {
            "student_params": plain[0]["params"],
            "steps": plain[0]["steps"],
            "epochs": plain[0]["epochs"],
        }
        row |= _convergence(folder, measurements, results)
        excluded = excluded or _starved(row)
    first = min(entry.seed for entry in measurements.entries.values())
    roles = _roles_of_seed(folder, measurements, first)
    row |= {"n_classes": len(roles.transfer.classes)}
    row |= _of_teachers(folder, measurements)
    row |= {f"{PROFILE}{key}": value for key, value in profile_of_transfer(roles).items()}
    row["excluded_because"] = excluded or (None if plain else "no plain student finished")
    return row


def _design_facts(context: DrawnContext) -> Row:
    """Return what is known of a context before anything runs."""
    study, levels = context.study, context.levels
    student = study["students"][0]
    pretrained = isinstance(student, Mapping)
    size = levels.get("size")
    return {
        "context": context.name,
        "tier": context.tier,
        "base_set": context.base_set,
        "dataset": study["data"].get("name", context.base_set),
        "design_index": context.index,
        "n_classes": len(context.classes),
        "classes": list(context.classes),
        "size": None if size is None else int(size),
        "resolution": levels["resolution"],
        "channels": levels["channels"],
        **{
            name: levels.get(name) for name in ("imbalance", "label_noise", "similarity", "shift", "spurious")
        },
        "provenance": study["teacher"]["provenance"],
        "teacher": study["teacher"]["model"],
        "teacher_steps": study["teacher"]["recipe"]["steps"],
        "student": student["model"] if pretrained else student,
        "initialisation": "pretrained" if pretrained else "scratch",
        "steps": study["recipe"]["steps"],
        "batch_size": study["recipe"]["batch_size"],
        "study_yaml": context.study_yaml,
    }


def _convergence(folder: StudyFolder, measurements: Measurements, results: list[Row]) -> Row:
    """Return whether both arms are trained to the end, and the changes by twice the steps."""
    columns = {name: results[0].get(name) for name in cell_columns(results)}
    effect: Row = {**columns, "method": DISTILLED, "baseline": PLAIN}
    task = folder.spec.task_config()
    add_convergence(
        [effect],
        results,
        task.metrics[task.primary],
        curve=measurements.val_curve,
        annealed=folder.spec.recipe.schedule != "constant",
        margin=task.metrics[task.primary].margin_for(folder.spec.evidence.margin),
    )
    return {name: effect[name] for name in ("converged", "doubling_plain", "doubling_distilled")}


def _starved(row: Row) -> str | None:
    """Return why a context is excluded from advice: its plain student is not trained to the end."""
    change = row["doubling_plain"]
    if change is None:
        return "there is no probe of the plain student"
    if change < STARVED:
        return None
    return f"starved: twice the steps raise the plain student by {100 * change:.1f} points on val"


def _failed_checks(measurements: Measurements) -> str | None:
    excluded = [cell.excluded for cell in measurements.cells if cell.excluded]
    return excluded[0] if excluded else None


def _roles_of_seed(folder: StudyFolder, measurements: Measurements, seed: int) -> Roles:
    [entry] = [each for each in measurements.entries.values() if each.seed == seed]
    return folder.roles(Condition.read(entry.condition))


def _of_teachers(folder: StudyFolder, measurements: Measurements) -> Row:
    """Return the parameters of the teachers, and the means of their predictors.

    Each is judged on the examples of the first seed that it teaches.
    """
    seeds: dict[str, int] = {}
    for cell in sorted(measurements.cells, key=lambda cell: cell.seed):
        if cell.teacher_run and cell.run and measurements.states[cell.teacher_run].state == JobState.DONE:
            seeds.setdefault(cell.teacher_run, cell.seed)
    first = list(seeds.items())[:_MOST_TEACHERS]
    found = [_predictors(folder, run, _roles_of_seed(folder, measurements, seed)) for run, seed in first]
    if not found:
        return {}
    means = {f"{PREDICTOR}{name}": float(np.mean([each[name] for each in found])) for name in found[0]}
    return {"teacher_params": folder.store.run_record("teacher", first[0][0]).params} | means


def _predictors(folder: StudyFolder, run: str, roles: Roles) -> dict[str, float]:
    device = torch.device("cpu")
    place = folder.store.folder("teacher", run)
    network = open_network(place, roles.read.train, device)
    record = folder.store.run_record("teacher", run)
    count = teacher_class_count(place, roles.read.train)
    mapping = class_map(
        record.class_names or roles.read.classes[:count], roles.transfer.classes, roles.read.train
    )
    teacher = LoadedTeacher(record.model, network, normalization_of(folder.dataset), device, mapping)
    return teacher_predictors(teacher, roles.val, roles.transfer).as_dict()
