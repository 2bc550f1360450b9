"""What a report shows, all of it: frozen views that ``collect`` fills and ``page`` lays out.

Conventions for every field: accuracies and their gains are fractions (0.012 is 1.2 points); a number
that does not exist is None or NaN and is shown as a dash; texts are plain (no HTML), and anything in them,
class names included, is escaped by the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from distillab.report.contents.cost import Cost, MethodCost, Work
from distillab.report.contents.question import (
    Check,
    Dataset,
    Factor,
    Method,
    Number,
    Pictures,
    Role,
    Setting,
    Strip,
    Tile,
)
from distillab.report.contents.stopping import Stopping

__all__ = [
    "VERDICTS",
    "Answer",
    "Cell",
    "Check",
    "ClassGain",
    "ClassPanel",
    "Cost",
    "Curve",
    "Dataset",
    "DosePanel",
    "Effect",
    "Exclusion",
    "Factor",
    "Failure",
    "Level",
    "Method",
    "MethodCost",
    "Number",
    "Pair",
    "Pictures",
    "Point",
    "Quality",
    "ReportContents",
    "Reproduction",
    "Role",
    "Run",
    "Setting",
    "Statistics",
    "Status",
    "Stopping",
    "Strip",
    "Teacher",
    "Tile",
    "Verdict",
    "Work",
]

Verdict = Literal["helps", "harms", "equivalent", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("helps", "harms", "equivalent", "undecided")


# --- where a number belongs ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """A factor at one level, e.g. ``Level("label_noise", 0.4)``. ``value`` None: it is not applied.

    ``words`` is what people call it, ``"25 images a class"``; made from name and value if left out.
    """

    factor: str
    value: float | str | None
    words: str = field(default="", compare=False)


@dataclass(frozen=True)
class Cell:
    """The place of a number in the design: everything but method and seed.

    Attributes:
        dataset: name of the data set.
        teacher: model name of the teacher, "" if there is none.
        student: model name of the student.
        provenance: what the teacher learned from: ``same``, ``full``, ``external`` or "".
        levels: one entry a factor, in the study's order; empty if the study has no factor.
    """

    dataset: str
    teacher: str
    student: str
    provenance: str = ""
    levels: tuple[Level, ...] = ()

    def value(self, factor: str) -> float | str | None:
        """The level of ``factor`` here, or None."""
        return next((level.value for level in self.levels if level.factor == factor), None)


# --- first screen ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """The answer in plain words, as ``evidence.answer`` gives it.

    Attributes:
        headline: one sentence, the largest text of the page.
        sentences: what stands behind it, with intervals, one sentence each.
        decided: False if the evidence does not decide the question; the first screen then says so.
        missing: when undecided, what would decide it, one sentence each (more seeds, more test images).
        caveats: what a reader must know before using the answer, one sentence each.
    """

    headline: str
    sentences: tuple[str, ...] = ()
    decided: bool = True
    missing: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A teacher and a student. Accuracies are means over the runs done, fractions; macs are for one image.

    ``distilled_accuracy`` belongs to ``distilled_method``; ``context`` says which data set, level and
    provenance the numbers are for when the study has several (e.g. ``"all images, no label noise"``).
    """

    teacher: str
    student: str
    teacher_accuracy: Number = None
    plain_accuracy: Number = None
    distilled_accuracy: Number = None
    distilled_method: str = ""
    teacher_params: Number = None
    student_params: Number = None
    teacher_macs: Number = None
    student_macs: Number = None
    context: str = ""


# --- evidence --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """A paired contrast: one row of ``effects.parquet``, the same names and units."""

    cell: Cell
    method: str
    baseline: str
    metric: str
    n_pairs: int
    gain: Number
    ci_low: Number
    ci_high: Number
    p_value: Number = None
    p_adjusted: Number = None
    verdict: Verdict = "undecided"
    gap_closed: Number = None
    error_ratio: Number = None
    look: int | None = None


@dataclass(frozen=True)
class Point:
    """A point of a curve: ``value`` with its interval, at ``level``, from ``n`` pairs or runs."""

    level: float | str
    value: Number
    low: Number = None
    high: Number = None
    n: int = 0


@dataclass(frozen=True)
class Curve:
    """A named series of points, in order of level. ``role`` decides how it is drawn."""

    name: str
    points: tuple[Point, ...]
    role: Literal["plain", "distilled", "teacher"] = "distilled"


@dataclass(frozen=True)
class DosePanel:
    """How gains and accuracies move with one factor.

    Attributes:
        factor: its registered name.
        held: what was held fixed, in words; "" if there is nothing else.
        gains: one curve a method, fractions, in the report's primary metric.
        accuracies: plain, distilled and teacher, fractions.
        main: main panels stand open; the others are folded away under them.
    """

    factor: str
    held: str
    gains: tuple[Curve, ...]
    accuracies: tuple[Curve, ...] = ()
    main: bool = True


@dataclass(frozen=True)
class ClassGain:
    """What distilling did to one class: paired gain in its recall, fractions, p corrected over classes.

    ``n_train`` is the number of training images of that class after the factors. ``verdict`` is about the
    corrected p: ``harms`` means a loss that survives the correction.
    """

    name: str
    gain: Number
    ci_low: Number
    ci_high: Number
    p_adjusted: Number = None
    n_train: int | None = None
    verdict: Verdict = "undecided"


@dataclass(frozen=True)
class ClassPanel:
    """Gains of all classes for one method in one cell."""

    cell: Cell
    method: str
    classes: tuple[ClassGain, ...]


@dataclass(frozen=True)
class Quality:
    """Means over the seeds of one method in one cell. ``measures`` maps metric names to (mean, sd)."""

    cell: Cell
    method: str
    n: int
    measures: Mapping[str, tuple[Number, Number]]


@dataclass(frozen=True)
class Teacher:
    """One trained teacher, on the primary test set. Accuracy and ece are fractions, nll is in nats."""

    name: str
    provenance: str
    dataset: str
    trained_on: str = ""
    seed: int | None = None
    accuracy: Number = None
    nll: Number = None
    ece: Number = None
    brier: Number = None
    seconds: Number = None
    params: Number = None
    macs: Number = None


# --- runs, cost, reproduction ----------------------------------------------------------------------------

Status = Literal["done", "failed", "excluded", "running", "queued", "held", "spared"]


@dataclass(frozen=True)
class Run:
    """One student run. ``measures`` holds the numeric columns of ``results.parquet`` by name."""

    run_id: str
    cell: Cell
    method: str
    seed: int
    status: Status
    measures: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A job that failed, teacher or student, with its error as kept by the ledger (may be many lines)."""

    job_id: str
    kind: str
    what: str
    error: str


@dataclass(frozen=True)
class Exclusion:
    """A condition whose runs are kept but take no part in conclusions, and why (e.g. its failed check)."""

    where: str
    reason: str
    runs: int = 0


@dataclass(frozen=True)
class Reproduction:
    """How to get these numbers again. ``commands`` in order; ``study_yaml`` as stored in the folder."""

    commands: tuple[str, ...] = ()
    study_yaml: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    machine: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Statistics:
    """How the intervals and verdicts were made, in words where not said otherwise.

    ``margin`` is the half-width of the region of practical equivalence as a fraction, ``confidence`` the
    coverage of the intervals as a fraction; ``tests`` is how many tests were made in all.
    """

    estimand: str = ""
    interval: str = ""
    test: str = ""
    margin: Number = None
    confidence: float = 0.95
    tests: int = 0
    correction: str = ""
    notes: tuple[str, ...] = ()


# --- the whole -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReportContents:
    """Everything a report shows. Only ``study`` and ``answer`` must be given; empty parts say they are empty.

    Attributes:
        study: the study's name.
        answer: what the first screen says.
        created: when the report was made, as text; version is distillab's.
        primary_metric: the metric of verdict counts, forest plot and dose curves.
        baseline: the method of the plain twin that those are against; contrasts with other baselines are
            folded away under the forest plot and stand in its table.
        pairs: teacher and student, the most important pair first.
        datasets, roles, factors, methods, recipe, seeds: what was asked, as resolved.
        pictures: images before and after, one entry a factor and data set.
        effects: all contrasts of all metrics.
        doses: curves over levels; ``rows.dose_panels`` derives them.
        class_panels: gains by class, the panels with the most harm first.
        quality: means by cell and method; ``rows.qualities`` derives them.
        teachers: every teacher trained or loaded.
        runs: every run of the plan, whatever became of it.
        failures, exclusions: what went wrong and what was left out of conclusions.
        stopping: what a study that stopped when it was decided has saved.
        costs, method_costs, work: seconds by kind of job and by method; what teachers were asked.
        reproduction, statistics: how to get it again, and how it was computed.
    """

    study: str
    answer: Answer
    created: str = ""
    version: str = ""
    primary_metric: str = "accuracy"
    baseline: str = "ce"
    pairs: tuple[Pair, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    roles: tuple[Role, ...] = ()
    factors: tuple[Factor, ...] = ()
    methods: tuple[Method, ...] = ()
    recipe: tuple[Setting, ...] = ()
    seeds: tuple[int, ...] = ()
    pictures: tuple[Pictures, ...] = ()
    effects: tuple[Effect, ...] = ()
    doses: tuple[DosePanel, ...] = ()
    class_panels: tuple[ClassPanel, ...] = ()
    quality: tuple[Quality, ...] = ()
    teachers: tuple[Teacher, ...] = ()
    runs: tuple[Run, ...] = ()
    failures: tuple[Failure, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    costs: tuple[Cost, ...] = ()
    method_costs: tuple[MethodCost, ...] = ()
    work: Work | None = None
    stopping: Stopping | None = None
    reproduction: Reproduction = field(default_factory=Reproduction)
    statistics: Statistics = field(default_factory=Statistics)
