"""The distillation statement: what a student gained and lost, from the tables of its study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import binomtest

from distillab.artefacts import LOGITS, WEIGHTS, load_logits, load_state
from distillab.canonical import JsonObject
from distillab.data.examples import Examples, Items
from distillab.deploy.description import ModelDescription
from distillab.deploy.drop import paired_interval
from distillab.deploy.loaded import TorchEngine
from distillab.deploy.robustness import Robustness, measure_robustness
from distillab.deploy.runs import StudentRun
from distillab.evidence.comparisons import compare
from distillab.evidence.estimand import estimand
from distillab.evidence.families import family_verdict
from distillab.evidence.pairs import FACTOR, Row
from distillab.evidence.results import write_tables
from distillab.evidence.schema import read_rows
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.planning.conditions import PRIMARY
from distillab.study.spec.evidence import PLAIN
from distillab.tasks import Classification, Task


@dataclass(frozen=True)
class ShownGain:
    """One metric of a distilled student beside that of the plain one, over all seeds.

    Attributes:
        method: The method.
        metric: The column.
        plain: Mean of the plain students.
        distilled: Mean of the distilled students.
        gain: Mean paired difference.
        ci_low: Lower end of its interval; None if it is not known.
        ci_high: Upper end.
        pairs: Number of pairs.
        verdict: The verdict that holds together with the others of the study.
    """

    method: str
    metric: str
    plain: float
    distilled: float
    gain: float
    ci_low: float | None
    ci_high: float | None
    pairs: int
    verdict: str


@dataclass(frozen=True)
class AgainstTeacher:
    """A student and its teacher on the same test images.

    Attributes:
        teacher: Name of the teacher.
        student: Score of the student.
        score: Score of the teacher.
        ci_low: Lower end of the 95 % interval of the difference, over test images.
        ci_high: Upper end.
        agreement: Share of images for which both predict the same class; NaN for several labels per image.
        errors: Number of images that the teacher gets wrong.
        corrected: How many of these the student gets right.
        repeated: For how many of these it makes the same mistake.
        plain_repeated: The same of the plain student of the seed; None if there is none.
    """

    teacher: str
    student: float
    score: float
    ci_low: float
    ci_high: float
    agreement: float
    errors: int = 0
    corrected: int = 0
    repeated: int = 0
    plain_repeated: int | None = None


@dataclass(frozen=True)
class ClassShare:
    """The metric of one class of the student, with the 95 % interval (Wilson) over test images.

    Attributes:
        name: The class.
        value: Its metric.
        ci_low: Lower end; None where the metric is no share.
        ci_high: Upper end.
        examples: Number of test images.
        plain: The metric of the plain student of the seed; None if there is none.
    """

    name: str
    value: float
    ci_low: float | None
    ci_high: float | None
    examples: int
    plain: float | None = None


@dataclass(frozen=True)
class Statement:
    """What the study of a student measured.

    Attributes:
        study: Name of the study.
        dataset: Name of the data.
        run_id: The run.
        method: The method of the student.
        seed: Its seed.
        provenance: What its teacher learned from.
        levels: The levels of the factors of the study.
        n_train: Number of labelled training images.
        n_test: Number of test images.
        scores: The metrics of this student on the test set.
        gains: The metrics of all seeds, distilled against plain.
        covered: Which draws the intervals of the gains cover, in one sentence.
        teacher: The comparison with the teacher; None without one.
        worst: The class with the lowest metric.
        robustness: Scores on corrupted test images.
        tests: Scores on further test sets of the study, by name.

    Example:
        >>> Statement("leaves", "corn", "8f0c", "kd", 0, "full", {}, 100, 50, {"accuracy": 0.9}).is_plain
        False
    """

    study: str
    dataset: str
    run_id: str
    method: str
    seed: int
    provenance: str
    levels: Mapping[str, float | str]
    n_train: int
    n_test: int
    scores: Mapping[str, float]
    gains: tuple[ShownGain, ...] = ()
    covered: str = ""
    teacher: AgainstTeacher | None = None
    worst: ClassShare | None = None
    robustness: Robustness | None = None
    tests: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """True if the student was trained on labels alone."""
        return self.method == PLAIN


def make_statement(run: StudentRun, description: ModelDescription, engine: TorchEngine) -> Statement:
    """Return what the study of a run measured, and the robustness of its network.

    Args:
        run: The run.
        description: What its network is.
        engine: Its network.
    """
    folder, cell = run.folder, run.cell
    task, test = folder.spec.task_config().on_logits, run.roles.eval[PRIMARY]
    results, effects = study_tables(folder)
    row = next(each for each in results if each["run_id"] == run.job.id)
    logits = _logits(folder, "student", run.job.id)
    twin = _plain_twin(run)
    plain = None if twin is None else _logits(folder, "student", twin.run_id)
    known = {name: row[name] for name in task.metrics if isinstance(row.get(name), float)}
    prefix = f"{task.primary}."
    compared = [each for each in effects if _same_condition(each, cell)]
    shown = [each for each in compared if cell.method in (PLAIN, each["method"])]
    return Statement(
        study=folder.spec.study,
        dataset=folder.dataset.name,
        run_id=run.job.id,
        method=cell.method,
        seed=cell.seed,
        provenance=cell.provenance,
        levels=cell.levels,
        n_train=cell.n_train,
        n_test=len(test),
        scores={name: value for name, value in known.items() if not np.isnan(value)},
        gains=tuple(_shown(each) for each in shown if cell.method != PLAIN or each["metric"] == task.primary),
        covered=_covered(folder, shown, task),
        teacher=_against_teacher(run, test, task, logits, plain),
        worst=_worst_class(test, task, logits, plain),
        robustness=measure_robustness(engine, _plain_engine(run, twin, description), description, test),
        tests={
            name.removeprefix(prefix): row[name]
            for name in row
            if name.startswith(prefix) and row[name] is not None
        },
    )


def study_tables(folder: StudyFolder) -> tuple[list[Row], list[Row]]:
    """Return the rows of results and effects of a study; its tables are written if they are not there."""
    if not (folder.results_file.is_file() and folder.effects_file.is_file()):
        tables = write_tables(folder)
        return tables.results, tables.effects
    return read_rows(folder.results_file), read_rows(folder.effects_file)


def _same_condition(row: Row, cell: Cell) -> bool:
    """Return True if an effect is about the condition, student and provenance of a cell, against plain."""
    levels = all(row.get(f"{FACTOR}{name}") == level for name, level in cell.levels.items())
    same = all(row[key] == getattr(cell, key) for key in ("student", "provenance", "teacher"))
    setting = not cell.setting or row.get("setting") == cell.setting
    return levels and same and setting and row["baseline"] == PLAIN and bool(row["n_pairs"])


def _shown(row: Row) -> ShownGain:
    return ShownGain(
        row["method"],
        row["metric"],
        row["plain_mean"],
        row["distilled_mean"],
        row["gain"],
        row["ci_low"],
        row["ci_high"],
        row["n_pairs"],
        family_verdict(row),
    )


def _covered(folder: StudyFolder, rows: Sequence[Row], task: Task) -> str:
    if not rows:
        return ""
    keys = folder.spec.evidence
    return estimand(
        compare(rows, task, baseline=PLAIN, controls=[], margin=keys.margin, confidence=keys.confidence),
        same_views=folder.spec.has_shared_views,
    )


def _logits(folder: StudyFolder, kind: str, name: str) -> Items:
    found = load_logits(folder.store.folder(kind, name) / LOGITS)
    stored = found[PRIMARY if kind == "outputs" else f"{PRIMARY}.last"]
    return folder.spec.task_config().logits_in(stored).astype(np.float64)


def _plain_twin(run: StudentRun) -> Cell | None:
    """Return the plain student of the same condition and seed, if it is done."""
    if run.cell.method == PLAIN:
        return None
    own = run.cell
    for cell in _finished(run):
        if cell.method == PLAIN and cell.student == own.student and cell.setting == own.setting:
            return cell
    return None


def _finished(run: StudentRun) -> list[Cell]:
    """Return the finished cells of the condition and seed of a run."""
    with run.folder.ledger() as ledger:
        cells, states = ledger.cells(), ledger.states()
    own = run.cell
    alike = [
        cell
        for cell in cells
        if (cell.levels, cell.seed, cell.provenance, cell.teacher)
        == (own.levels, own.seed, own.provenance, own.teacher)
    ]
    return [cell for cell in alike if cell.run and states[cell.run].state == JobState.DONE]


def _plain_engine(run: StudentRun, twin: Cell | None, description: ModelDescription) -> TorchEngine | None:
    """Return the network of the plain student, which differs in its weights, and in exits if a method
    gave the student some."""
    if twin is None:
        return None
    plain = run.folder.store.run_record("student", twin.run_id)
    description = replace(description, architecture=plain.model)
    network = description.build()
    load_state(network, run.folder.store.folder("student", twin.run_id) / WEIGHTS)
    return TorchEngine(network, description)


def _against_teacher(
    run: StudentRun, test: Examples, task: Task, logits: Items, plain: Items | None
) -> AgainstTeacher | None:
    outputs = next((cell.outputs for cell in [run.cell, *_finished(run)] if cell.outputs), None)
    if outputs is None or not run.folder.store.has("outputs", outputs):
        return None
    teacher = _logits(run.folder, "outputs", outputs)
    if teacher.shape != logits.shape:
        return None
    own, other = task.contributions(logits, test.targets), task.contributions(teacher, test.targets)
    low, high = paired_interval(task)(own - other)
    scores = task.score(logits, test.targets), task.score(teacher, test.targets)
    agreement = task.fidelity(logits, teacher)["agreement"]
    if not isinstance(task, Classification):
        return AgainstTeacher(run.cell.teacher, *scores, low, high, agreement)
    labels, answers = test.labels, teacher.argmax(axis=1)
    predicted = logits.argmax(axis=1)
    wrong = answers != labels
    return AgainstTeacher(
        run.cell.teacher,
        *scores,
        low,
        high,
        agreement,
        int(wrong.sum()),
        int((wrong & (predicted == labels)).sum()),
        int((wrong & (predicted == answers)).sum()),
        None if plain is None else int((wrong & (plain.argmax(axis=1) == answers)).sum()),
    )


def _worst_class(test: Examples, task: Task, logits: Items, plain: Items | None) -> ClassShare | None:
    values = task.per_class(logits, test.targets)
    if np.isnan(values).all():
        return None
    worst = int(np.nanargmin(values))
    count, value = int(test.counts[worst]), float(values[worst])
    low = high = None
    if isinstance(task, Classification):
        interval = binomtest(round(value * count), count).proportion_ci(method="wilson")
        low, high = float(interval.low), float(interval.high)
    other = None if plain is None else float(task.per_class(plain, test.targets)[worst])
    return ClassShare(test.classes[worst], value, low, high, count, other)


def statement_facts(statement: Statement) -> JsonObject:
    """Return what config.json states of a statement: how the student was trained, and its test scores."""
    return {
        "study": statement.study,
        "method": statement.method,
        "seed": statement.seed,
        "provenance": statement.provenance,
        "factors": dict(statement.levels),
        "n_train": statement.n_train,
        "n_test": statement.n_test,
        "test": dict(statement.scores),
    }
