"""From a study folder to rows: what each finished run measured, one row a student run in a teacher's cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from distillab.artefacts import LOGITS, load_logits
from distillab.data.examples import Examples
from distillab.evidence.effects import Row, effects
from distillab.evidence.schema import effects_schema, results_schema, write_table
from distillab.evidence.sequential import Look, look_plan
from distillab.study.design import Cell, ConditionRecord
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.planning.conditions import PRIMARY, Condition
from distillab.tasks.classification_metrics import (
    Logits,
    class_accuracies,
    classification_metrics,
    fidelity,
    group_accuracies,
    thirds,
)
from distillab.training.teachers.class_mapping import to_student_classes


@dataclass(frozen=True)
class Tables:
    """The rows of ``results.parquet`` and ``effects.parquet``."""

    results: list[Row]
    effects: list[Row]


def write_tables(folder: StudyFolder) -> Tables:
    """Measure every finished run of a study and write both tables. The order of rows is the plan's, so the
    same study gives the same tables however often it was interrupted."""
    spec = folder.spec
    names = {levels[0].name: isinstance(levels[0].level, str) for levels in spec.factor_levels()}
    measurements = Measurements(folder)
    rows = measurements.rows()
    contrasts = effects(
        rows,
        baselines=spec.evidence.baselines,
        margin=spec.evidence.margin,
        confidence=spec.evidence.confidence,
        looks=looks_of(folder),
    )
    write_table(rows, results_schema(names, tests=list(measurements.further_tests)), folder.results_file)
    write_table(contrasts, effects_schema(names, looks=bool(spec.looks)), folder.effects_file)
    return Tables(rows, contrasts)


def looks_of(folder: StudyFolder) -> tuple[Look, ...]:
    """The looks of a study that stops when it is decided; empty for others."""
    spec = folder.spec
    return look_plan(spec.looks, spec.evidence.confidence) if spec.looks else ()


class Measurements:
    """Reads a study's logits and measures them."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        with folder.ledger() as ledger:
            self.cells = ledger.cells()
            self.states = ledger.states()
            self.entries = {_key(entry.levels, entry.seed): entry for entry in ledger.conditions()}
        self.further_tests: dict[str, None] = {}
        self._evals: dict[str, Mapping[str, Examples]] = {}
        self._measured: dict[str, dict[str, Any]] = {}

    def rows(self) -> list[Row]:
        """One row a cell of the design. A plain run that serves several provenances stands under each."""
        return [self._row(cell) for cell in self.cells]

    def class_accuracies(self, cell: Cell) -> dict[str, tuple[float, int]] | None:
        """Accuracy of each class on the primary test set, and its test images; None if it is not done."""
        if self._status(cell) != "done":
            return None
        test = self._tests(cell)[PRIMARY]
        found = class_accuracies(self._logits("student", cell.run_id)[f"{PRIMARY}.last"], test.labels)
        return dict(zip(test.classes, zip(found.tolist(), test.counts.tolist(), strict=True), strict=True))

    def teacher_metrics(self, cell: Cell) -> dict[str, float]:
        """How good the teacher of a cell is on the test images that it was shown when it was trained."""
        run = str(cell.teacher_run)
        job = self.folder.job(run)
        assert isinstance(job, TeacherJob)
        test = self.folder.dataset.eval[PRIMARY]
        if job.sets.eval[PRIMARY] != test.digest:
            test = self._tests(cell)[PRIMARY]
        said = self._logits("teacher", run)[f"{PRIMARY}.last"]
        mapping = job.origin.class_map if isinstance(job.origin, WeightsOrigin) else None
        return classification_metrics(to_student_classes(said, mapping), test.labels)

    # -- inside ---------------------------------------------------------------------------------------------

    def _row(self, cell: Cell) -> Row:
        row: Row = {
            "run_id": cell.run or "",
            "study": self.folder.spec.study,
            "dataset": self.folder.dataset.name,
            **{
                f"factor.{name}": level if isinstance(level, str) else float(level)
                for name, level in cell.levels.items()
            },
            "provenance": cell.provenance,
            "teacher": cell.teacher,
            "student": cell.student,
            "method": cell.method,
            "seed": cell.seed,
            "status": self._status(cell),
            "n_train": cell.n_train,
            "n_test": len(self._tests(cell)[PRIMARY]),
            "n_unlabelled": cell.n_unlabelled,
        }
        if row["status"] == "done":
            row |= self._student(cell) | self._against_teacher(cell)
        return row

    def _status(self, cell: Cell) -> str:
        return "excluded" if cell.excluded else self.states[cell.run_id][0]

    def _student(self, cell: Cell) -> Row:
        run = cell.run_id
        if run not in self._measured:
            record = self.folder.store.run_record("student", run)
            logits = self._logits("student", run)
            tests = self._tests(cell)
            test = tests[PRIMARY]
            measured = classification_metrics(logits[f"{PRIMARY}.last"], test.labels, test.groups)
            selected = logits[f"{PRIMARY}.selected"].argmax(axis=1)
            elsewhere, worst = self._elsewhere(logits, tests)
            if test.groups is None:
                measured["worst_group_accuracy"] = worst
            self._measured[run] = {
                **measured,
                **self._by_frequency(cell, logits[f"{PRIMARY}.last"], test),
                **elsewhere,
                "accuracy_selected": float((selected == test.labels).mean()),
                "params": record.params,
                "macs": record.macs,
                "epochs": record.epochs,
                "train_seconds": record.seconds,
            }
        return self._measured[run]

    def _against_teacher(self, cell: Cell) -> Row:
        """Fidelity to the study's teacher of this cell, if it has one and its outputs are there."""
        outputs = cell.outputs
        if outputs is None or self.states[outputs][0] != "done":
            return {}
        said = self._logits("outputs", outputs)[PRIMARY]
        student = self._logits("student", cell.run_id)[f"{PRIMARY}.last"]
        right = said.argmax(axis=1) == self._tests(cell)[PRIMARY].labels
        return fidelity(student, said) | {"teacher_accuracy": float(np.mean(right))}

    def _logits(self, kind: str, run: str) -> dict[str, Logits]:
        return dict(load_logits(self.folder.store.folder(kind, run) / LOGITS))

    def _elsewhere(self, logits: Mapping[str, Logits], tests: Mapping[str, Examples]) -> tuple[Row, float]:
        """What is measured on the further test sets of a condition; and the accuracy of the worst group of
        any of them, NaN without groups."""
        found: Row = {}
        worst = float("nan")
        for name, images in tests.items():
            if name == PRIMARY:
                continue
            said = logits[f"{name}.last"]
            found[f"accuracy.{name}"] = float((said.argmax(axis=1) == images.labels).mean())
            if images.groups is not None:
                by_group = group_accuracies(said, images.labels, images.groups)
                worst = float(np.fmin(worst, min(by_group.values())))
                if len(by_group) > 1:
                    found[f"worst_group_accuracy.{name}"] = min(by_group.values())
        self.further_tests |= dict.fromkeys(name for name in tests if name != PRIMARY)
        return found, worst

    def _by_frequency(self, cell: Cell, said: Logits, test: Examples) -> Row:
        """Accuracies of the frequent, middle and rare classes, if a factor made classes unequal."""
        counts = self._condition(cell).counts
        return thirds(class_accuracies(said, test.labels), np.asarray(counts)) if counts else {}

    def _condition(self, cell: Cell) -> ConditionRecord:
        return self.entries[_key(cell.levels, cell.seed)]

    def _tests(self, cell: Cell) -> Mapping[str, Examples]:
        """The test sets of the cell's condition; those that were read, if no factor touches them."""
        entry = self._condition(cell)
        if not entry.own_tests:
            return self.folder.dataset.eval
        key = _key(cell.levels, cell.seed)
        if key not in self._evals:
            self._evals[key] = self.folder.roles(Condition.read(entry.condition)).eval
        return self._evals[key]


def _key(levels: Mapping[str, Any], seed: int) -> str:
    return f"{sorted(levels.items())}/{seed}"
