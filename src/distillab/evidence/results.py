"""From a study folder to rows: what each finished run measured, one row a student run in a teacher's cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from distillab.data.imageset import ImageSet
from distillab.evidence.effects import Row, effects
from distillab.evidence.metrics import (
    Logits,
    Values,
    class_accuracies,
    classification_metrics,
    fidelity,
)
from distillab.evidence.schema import effects_schema, results_schema, write_table
from distillab.evidence.sequential import Look, look_plan
from distillab.study.condition import Condition, Roles
from distillab.study.folder import StudyFolder
from distillab.training.checkpoints import load_logits
from distillab.training.stages import LOGITS

PRIMARY = "test"


@dataclass(frozen=True)
class Tables:
    """The rows of ``results.parquet`` and ``effects.parquet``."""

    results: list[Row]
    effects: list[Row]


def write_tables(folder: StudyFolder) -> Tables:
    """Measure every finished run of a study and write both tables. The order of rows is the plan's, so the
    same study gives the same tables however often it was interrupted."""
    spec = folder.spec
    names = list(spec.factors)
    rows = Measurements(folder).rows()
    contrasts = effects(
        rows,
        baselines=spec.evidence.baselines,
        margin=spec.evidence.margin,
        confidence=spec.evidence.confidence,
        looks=looks_of(folder),
    )
    write_table(rows, results_schema(names), folder.results_file)
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
            self.conditions = {
                _key(entry["levels"], entry["seed"]): Condition.from_dict(entry)
                for entry in ledger.conditions()
            }
        self._roles: dict[str, Roles] = {}
        self._measured: dict[str, dict[str, Any]] = {}

    def rows(self) -> list[Row]:
        """One row a cell of the design. A plain run that serves several provenances stands under each."""
        return [self._row(cell) for cell in self.cells]

    def class_accuracies(self, cell: Mapping[str, Any]) -> Values | None:
        """Accuracy of each class on the primary test set, float64 ``[classes]``, or None if not done."""
        if self._status(cell) != "done":
            return None
        return class_accuracies(
            self._logits("student", cell["run"])[f"{PRIMARY}.last"], self._test(cell).labels
        )

    # -- inside ---------------------------------------------------------------------------------------------

    def _row(self, cell: Mapping[str, Any]) -> Row:
        row: Row = {
            "run_id": cell["run"] or "",
            "study": self.folder.spec.study,
            "dataset": self.folder.dataset.name,
            **{f"factor.{name}": float(level) for name, level in cell["levels"].items()},
            "provenance": cell["provenance"],
            "teacher": cell["teacher"],
            "student": cell["student"],
            "method": cell["method"],
            "seed": cell["seed"],
            "status": self._status(cell),
            "n_train": cell["n_train"],
            "n_test": len(self._test(cell)),
        }
        if row["status"] == "done":
            row |= self._student(cell) | self._against_teacher(cell)
        return row

    def _status(self, cell: Mapping[str, Any]) -> str:
        return "excluded" if cell["excluded"] else self.states[cell["run"]][0]

    def _student(self, cell: Mapping[str, Any]) -> Row:
        run = cell["run"]
        if run not in self._measured:
            record = self.folder.store.record("student", run)
            logits = self._logits("student", run)
            test = self._test(cell)
            measured = classification_metrics(logits[f"{PRIMARY}.last"], test.labels, test.groups)
            selected = logits[f"{PRIMARY}.selected"].argmax(axis=1)
            self._measured[run] = {
                **measured,
                "accuracy_selected": float((selected == test.labels).mean()),
                **{name: record[name] for name in ("params", "macs", "epochs")},
                "train_seconds": record["seconds"],
            }
        return self._measured[run]

    def _against_teacher(self, cell: Mapping[str, Any]) -> Row:
        """Fidelity to the study's teacher of this cell, if it has one and its outputs are there."""
        outputs = cell["outputs"]
        if outputs is None or self.states[outputs][0] != "done":
            return {}
        said = self._logits("outputs", outputs)[PRIMARY]
        student = self._logits("student", cell["run"])[f"{PRIMARY}.last"]
        right = said.argmax(axis=1) == self._test(cell).labels
        return fidelity(student, said) | {"teacher_accuracy": float(np.mean(right))}

    def _logits(self, kind: str, run: str) -> dict[str, Logits]:
        return dict(load_logits(self.folder.store.folder(kind, run) / LOGITS))

    def _test(self, cell: Mapping[str, Any]) -> ImageSet:
        """The primary test set of the cell's condition; the one that was read, if no factor touches it."""
        condition = self.conditions[_key(cell["levels"], cell["seed"])]
        if not any("eval" in factor.roles for factor in condition.chain):
            return self.folder.dataset.eval[PRIMARY]
        key = _key(cell["levels"], cell["seed"])
        if key not in self._roles:
            self._roles[key] = self.folder.roles(condition)
        return self._roles[key].eval[PRIMARY]


def _key(levels: Mapping[str, float], seed: int) -> str:
    return f"{sorted(levels.items())}/{seed}"
