"""The metrics of finished runs, from their stored outputs: one row per student and teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from distillab.artefacts import LOGITS, VAL, RunRecord, load_logits
from distillab.data.examples import Examples, Indices
from distillab.data.targets import Targets
from distillab.evidence.contrast import (
    Contributions,
    ExampleValues,
    values_of_gap,
    values_of_groups,
    values_of_strata,
)
from distillab.evidence.convergence import ValCurve
from distillab.evidence.draws import FloatArray
from distillab.evidence.group_scores import scores_by_group
from distillab.evidence.pairs import Row, level_columns
from distillab.evidence.tuning import setting_columns
from distillab.study.design import Cell, ConditionRecord, Levels
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import PRIMARY, Condition, Roles
from distillab.tasks.arrays import Logits
from distillab.training.teachers.class_mapping import to_student_classes

MOST_LOADED = 1024  # contributions of a run to a metric that are kept in memory


class Measurements:
    """Measures the stored logits of a study."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self.task = folder.spec.task_config()
        with folder.ledger() as ledger:
            self.cells = ledger.cells()
            self.states = ledger.states()
            self.entries = {_key(entry.levels, entry.seed): entry for entry in ledger.conditions()}
        self.further_tests: dict[str, None] = {}
        self._roles: dict[str, Roles] = {}
        self._measured: dict[str, Row] = {}
        self._given: dict[str, str | None] = {}
        self._scores: dict[str, float] = {}
        self._cell_of: dict[str, Cell] = {cell.run_id: cell for cell in self.cells if cell.run}
        self._outputs_of = {
            (cell.run_id, cell.provenance, cell.teacher): cell.outputs for cell in self.cells if cell.run
        }
        self._loaded = lru_cache(maxsize=MOST_LOADED)(self._contributions_of)

    def rows(self) -> list[Row]:
        """Return one row per cell of the design.

        A plain run that serves several provenances has a row under each.
        """
        return [self._row(cell) for cell in self.cells]

    def probe_rows(self) -> list[Row]:
        """Return one row per probe: the same student over twice the steps."""
        probes = (replace(cell, run=cell.doubled, doubled=None) for cell in self.cells if cell.doubled)
        return [self._row(probe) for probe in probes]

    def refresh(self) -> None:
        """Read the states of the runs again, of a study that is running."""
        with self.folder.ledger() as ledger:
            self.states = ledger.states()

    def score(self, cell: Cell) -> float | None:
        """Return the primary metric of a run on the test set of the dataset, computed once per run.

        The result is None if the run is not done, or its condition changes the test set.
        """
        if self._status(cell) != JobState.DONE or self._condition(cell).own_tests:
            return None
        run = cell.run_id
        if run not in self._scores:
            test = self._tests(cell)[PRIMARY]
            self._scores[run] = self.task.score(self._logits("student", run)[f"{PRIMARY}.last"], test.targets)
        return self._scores[run]

    def contributions(self, row: Row) -> ExampleValues:
        """Return what each test example adds to the primary metric of the run of a row.

        In data that are split by group the groups are what is drawn, and in verification the identities: then
        it is what each of them adds. Their mean is the metric.
        """
        return self._loaded(row["run_id"], self.task.primary)

    def contributions_to(self, metric: str) -> Contributions | None:
        """Return what test examples add to a metric, as :meth:`contributions` does for the primary one.

        That is known of the primary metric on further test sets (``METRIC.NAME``), such as those of single
        groups, of its difference from that on the primary one (``METRIC_gap.NAME``), of its mean over groups,
        and of it on a part of the test examples.

        Args:
            metric: The column of the metric.

        Returns:
            None for other metrics, such as the minimum over groups, and where identities are what is drawn.
        """
        task = self.task
        on_test = metric.partition(".")[0] in (task.primary, task.metrics.gap)
        known = on_test or metric in (task.group_mean, *task.parts)
        if not known or (task.draws_classes and metric != task.primary):
            return None
        return lambda row: self._loaded(row["run_id"], metric)

    def teacher_contributions(self, row: Row) -> ExampleValues | None:
        """Return the same of the teacher of a row; None without outputs of a teacher."""
        outputs = self._outputs_of.get((row["run_id"], row["provenance"], row["teacher"]))
        if outputs is None or self.states[outputs].state != JobState.DONE:
            return None
        return self._values_of(row["run_id"], self._logits("outputs", outputs)[PRIMARY])

    def val_curve(self, run: str) -> ValCurve:
        """Return the validation curve of a run that is done."""
        record = self.folder.store.run_record("student", run)
        return [(point.epoch / record.epochs, point.val_accuracy) for point in record.curve]

    def per_class(self, cell: Cell) -> dict[str, tuple[float, int]] | None:
        """Return the metric of each class on the primary test set, with its number of test examples.

        The result is None if the run is not done.
        """
        if self._status(cell) != JobState.DONE:
            return None
        test = self._tests(cell)[PRIMARY]
        logits = self._logits("student", cell.run_id)[f"{PRIMARY}.last"]
        found = self.task.per_class(logits, test.targets)
        return dict(zip(test.classes, zip(found.tolist(), test.counts.tolist(), strict=True), strict=True))

    def per_group(self, cell: Cell) -> dict[str, tuple[float, int]] | None:
        """Return the primary metric within each group of the primary test set, with its number of examples.

        The result is None if the run is not done, and where
        :func:`~distillab.evidence.group_scores.scores_by_group` returns None.
        """
        if self._status(cell) != JobState.DONE:
            return None
        logits = self._logits("student", cell.run_id)[f"{PRIMARY}.last"]
        return scores_by_group(logits, self._tests(cell)[PRIMARY], self.task)

    def teacher_of(self, cell: Cell) -> str | None:
        """Return the teacher of a cell as a draw: its given weights, or its training; None without one."""
        return self._weights_of(cell.teacher_run) or cell.teacher_run

    def teacher_metrics(self, cell: Cell) -> dict[str, float]:
        """Return the metrics of the teacher of a cell on the test set that it was evaluated on."""
        run = str(cell.teacher_run)
        job = self.folder.job(run)
        assert isinstance(job, TeacherJob)
        read = self.folder.conditions.read(cell.seed)
        val, test = read.val, read.eval[PRIMARY]
        if job.sets.eval[PRIMARY] != test.digest:
            val, test = self._val(cell), self._tests(cell)[PRIMARY]
        mapping = job.origin.class_map if isinstance(job.origin, WeightsOrigin) else None
        logits = {
            name: to_student_classes(each, mapping, self.task)
            for name, each in self._logits("teacher", run).items()
        }
        return self.task.measure(
            logits[f"{PRIMARY}.last"], test.targets, val=_for_thresholds(logits, val.targets)
        )

    # -- inside ---------------------------------------------------------------------------------------------

    def _contributions_of(self, run: str, metric: str) -> ExampleValues:
        column, _, further = metric.partition(".")
        if column == self.task.metrics.gap:
            return self._values_of_gap(run, further)
        name = further or PRIMARY
        logits = self._logits("student", run)[f"{name}.last"]
        if metric == self.task.group_mean:
            return self._values_over_groups(run, logits)
        test = self._tests(self._cell_of[run])[name]
        if metric in self.task.parts:
            part = np.flatnonzero(self.task.part_of(metric, test.targets))
            logits, test = logits[part], test.select(part)
        alone = name != PRIMARY and test.groups is not None and len(np.unique(test.groups)) == 1
        return self._values_on(test, logits, groups_drawn=self._draws_groups and not alone)

    def _values_of(self, run: str, logits: Logits) -> ExampleValues:
        """Return what the test examples of a run add to the primary metric of some logits."""
        return self._values_on(self._tests(self._cell_of[run])[PRIMARY], logits, self._draws_groups)

    @property
    def _draws_groups(self) -> bool:
        """Whether groups of examples, such as patients, are drawn, and not single examples."""
        return self.folder.spec.source().split_by == "group"

    def _values_on(self, test: Examples, logits: Logits, groups_drawn: bool) -> ExampleValues:
        """Return what the examples of a test set add to the primary metric, or the units that they form."""
        found = self.task.contributions(logits, test.targets)
        known = test.targets.labelled
        if self.task.draws_classes:
            return values_of_groups(found, test.targets.values[known])
        units = test.groups if groups_drawn and test.groups is not None else test.wholes
        return (
            ExampleValues(found, test.ids[known]) if units is None else values_of_groups(found, units[known])
        )

    def _values_of_gap(self, run: str, name: str) -> ExampleValues:
        """Return what test examples add to the primary metric on a further test set less that on the primary
        one."""
        tests, logits = self._tests(self._cell_of[run]), self._logits("student", run)
        far, near = (
            self._values_on(tests[each], logits[f"{each}.last"], self._draws_groups)
            for each in (name, PRIMARY)
        )
        if not np.isin(tests[name].ids, tests[PRIMARY].ids).any():
            far = replace(far, ids=-1 - far.ids)  # groups of other examples may have the same numbers
        return values_of_gap(far, near)

    def _values_over_groups(self, run: str, logits: Logits) -> ExampleValues:
        """Return what test examples add to the mean over groups of the primary metric.

        Groups that are drawn, such as patients, each add their own metric. Groups that are fixed, such as
        sites, are strata in which examples are drawn; see :func:`values_of_strata`. Groups in which the
        metric is undefined are left out.
        """
        test = self._tests(self._cell_of[run])[PRIMARY]
        assert test.groups is not None
        scores = self.task.per_group(logits, test.targets, test.groups)
        defined = [group for group, score in scores.items() if not np.isnan(score)]
        within, places = list[FloatArray](), list[Indices]()
        for group in defined:
            here = np.flatnonzero(test.groups == group)
            within.append(self.task.contributions(logits[here], test.targets.take(here)))
            places.append(here)
        if self._draws_groups:
            return ExampleValues(np.array([each.mean() for each in within]), np.array(defined))
        ordered = np.concatenate(places)
        found = values_of_strata(np.concatenate(within), test.groups[ordered])
        if test.wholes is None:
            return ExampleValues(found, test.ids[ordered])
        return values_of_groups(found, test.wholes[ordered])

    def _row(self, cell: Cell) -> Row:
        row: Row = {
            "run_id": cell.run or "",
            "study": self.folder.spec.study,
            "dataset": self.folder.dataset.name,
            **level_columns(cell.levels),
            "provenance": cell.provenance,
            "teacher": cell.teacher,
            "student": cell.student,
            "method": cell.method,
            "seed": cell.seed,
            "status": self._status(cell),
            "n_train": cell.n_train,
            "n_test": len(self._tests(cell)[PRIMARY]),
            "n_unlabelled": cell.n_unlabelled,
            "teacher_run": cell.teacher_run,
            **setting_columns(cell),
            "teacher_weights": self._weights_of(cell.teacher_run),
        }
        if row["status"] == JobState.DONE:
            row |= self._student(cell) | self._against_teacher(cell)
            row["val_score_doubled"] = self._doubled(cell)
        return row

    def _doubled(self, cell: Cell) -> float | None:
        """Return the validation score of the probe of a student; None if there is none."""
        if cell.doubled is None or self.states[cell.doubled].state != JobState.DONE:
            return None
        return _last_score(self.folder.store.run_record("student", cell.doubled))

    def _weights_of(self, teacher: str | None) -> str | None:
        """Return the content address of the weights that a teacher was given; None if it was trained."""
        if teacher is None:
            return None
        if teacher not in self._given:
            job = self.folder.job(teacher)
            assert isinstance(job, TeacherJob)
            self._given[teacher] = job.origin.digest if isinstance(job.origin, WeightsOrigin) else None
        return self._given[teacher]

    def _status(self, cell: Cell) -> str:
        return "excluded" if cell.excluded else str(self.states[cell.run_id].state)

    def _student(self, cell: Cell) -> Row:
        run = cell.run_id
        if run not in self._measured:
            record = self.folder.store.run_record("student", run)
            logits = self._logits("student", run)
            tests = self._tests(cell)
            test, last = tests[PRIMARY], logits[f"{PRIMARY}.last"]
            val = _for_thresholds(logits, self._val(cell).targets) if self.task.has_thresholds else None
            measured = self.task.measure(last, test.targets, groups=test.groups, val=val)
            of_further_tests, worst = self._further(logits, tests, measured[self.task.primary])
            if test.groups is None:
                measured[self.task.worst_group] = worst
            self._measured[run] = {
                **measured,
                **self._by_frequency(cell, last, test),
                **of_further_tests,
                self.task.selected: self.task.score(logits[f"{PRIMARY}.selected"], test.targets),
                "params": record.params,
                "macs": record.macs,
                "epochs": record.epochs,
                "train_seconds": record.seconds,
                "steps": record.steps or None,
                "val_score": _last_score(record),
            }
        return self._measured[run]

    def _against_teacher(self, cell: Cell) -> Row:
        """Return the fidelity to the teacher of this cell and that teacher's primary metric.

        The result is empty without a teacher, and without its outputs.
        """
        outputs = cell.outputs
        if outputs is None or self.states[outputs].state != JobState.DONE:
            return {}
        teacher = self._logits("outputs", outputs)[PRIMARY]
        student = self._logits("student", cell.run_id)[f"{PRIMARY}.last"]
        score = self.task.score(teacher, self._tests(cell)[PRIMARY].targets)
        return self.task.fidelity(student, teacher) | {self.task.of_teacher: score}

    def _logits(self, kind: str, run: str) -> dict[str, Logits]:
        return dict(load_logits(self.folder.store.folder(kind, run) / LOGITS))

    def _further(
        self, logits: Mapping[str, Logits], tests: Mapping[str, Examples], score: float
    ) -> tuple[Row, float]:
        """Return the metrics on the further test sets of a condition, and the primary metric of the worst
        group of any of them (NaN without groups); ``score`` is that on the primary test set."""
        found: Row = {}
        worst = float("nan")
        for name, test in tests.items():
            if name == PRIMARY:
                continue
            last = logits[f"{name}.last"]
            found[f"{self.task.primary}.{name}"] = self.task.score(last, test.targets)
            if test.groups is not None:
                by_group = self.task.per_group(last, test.targets, test.groups)
                worst_here = float(np.fmin.reduce(list(by_group.values())))
                worst = float(np.fmin(worst, worst_here))
                if len(by_group) > 1:
                    found[f"{self.task.worst_group}.{name}"] = worst_here
        names = [name for name in tests if name != PRIMARY]
        self.further_tests |= dict.fromkeys(names)
        primary, gap = self.task.primary, self.task.metrics.gap
        found |= {f"{gap}.{name}": found[f"{primary}.{name}"] - score for name in names}
        return found, worst

    def _by_frequency(self, cell: Cell, logits: Logits, test: Examples) -> Row:
        """Return metrics of frequent, middle and rare classes, if a factor made classes unequal."""
        counts = self._condition(cell).counts
        if not counts:
            return {}
        return self.task.by_frequency(self.task.per_class(logits, test.targets), np.asarray(counts))

    def _condition(self, cell: Cell) -> ConditionRecord:
        return self.entries[_key(cell.levels, cell.seed)]

    def _tests(self, cell: Cell) -> Mapping[str, Examples]:
        """Return the test sets of the cell's condition: those of the dataset, if no factor changes them."""
        if not self._condition(cell).own_tests:
            return self.folder.dataset.eval
        return self._roles_of(cell).eval

    def _val(self, cell: Cell) -> Examples:
        """Return the validation set of the cell's condition."""
        changed = any("val" in levels[0].roles for levels in self.folder.spec.factor_levels())
        return self._roles_of(cell).val if changed else self.folder.conditions.read(cell.seed).val

    def _roles_of(self, cell: Cell) -> Roles:
        key = _key(cell.levels, cell.seed)
        if key not in self._roles:
            self._roles[key] = self.folder.roles(Condition.read(self._condition(cell).condition))
        return self._roles[key]


def _for_thresholds(logits: Mapping[str, Logits], val: Targets) -> tuple[Logits, Targets] | None:
    """Return outputs and targets of the validation set, if its outputs are stored."""
    return (logits[f"{VAL}.last"], val) if f"{VAL}.last" in logits else None


def _last_score(record: RunRecord) -> float | None:
    """Return the validation score at the end of training; None for early versions, which kept none."""
    return record.curve[-1].val_accuracy if record.curve else None


def _key(levels: Levels, seed: int) -> str:
    return f"{sorted(levels.items())}/{seed}"
