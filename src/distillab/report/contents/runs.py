"""What a report shows of runs and teachers, of failures, and of how to reproduce the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from distillab.report.contents.gains import Number
from distillab.report.contents.place import Place

Status = Literal["done", "failed", "excluded", "running", "queued", "held", "spared"]


@dataclass(frozen=True)
class ModelPair:
    """A teacher and a student.

    Attributes:
        teacher: Model of the teacher.
        student: Model of the student.
        teacher_score: Mean of the primary metric of the teacher over the finished runs.
        plain_score: Mean of the primary metric of the plain student.
        distilled_score: Mean of the primary metric of the student distilled with ``distilled_method``.
        distilled_method: The method.
        teacher_params: Number of parameters.
        student_params: Number of parameters.
        teacher_macs: Multiply-accumulates of one forward pass on one example.
        student_macs: The same of the student.
        context: The dataset, level and provenance of the numbers if the study has several.
    """

    teacher: str
    student: str
    teacher_score: Number = None
    plain_score: Number = None
    distilled_score: Number = None
    distilled_method: str = ""
    teacher_params: Number = None
    student_params: Number = None
    teacher_macs: Number = None
    student_macs: Number = None
    context: str = ""


@dataclass(frozen=True)
class TeacherView:
    """One trained teacher. ``measures`` holds its metrics on the primary test set by column.

    Example:
        >>> TeacherView("resnet20", "full", "digits", measures={"accuracy": 0.97}).measures["accuracy"]
        0.97
    """

    name: str
    provenance: str
    dataset: str
    trained_on: str = ""
    seed: int | None = None
    measures: Mapping[str, Number] = field(default_factory=dict)
    seconds: Number = None
    params: Number = None
    macs: Number = None


@dataclass(frozen=True)
class ExitView:
    """One exit of the students of a method, or their vote: what it costs, and its score over the seeds.

    Attributes:
        place: Where the students are in the design.
        method: Their method.
        name: ``exit 1`` and so on from shallow to deep, or ``vote``.
        params: Number of parameters that it needs.
        macs: Multiply-accumulates of one example up to it.
        score: Mean of the primary metric on the primary test set.
        spread: Its standard deviation over seeds.
        n: Number of students.
    """

    place: Place
    method: str
    name: str
    params: int
    macs: int
    score: Number
    spread: Number = None
    n: int = 1


@dataclass(frozen=True)
class LabelView:
    """How well the students of a method predict one of several labels.

    Attributes:
        place: Where the students are in the design.
        method: Their method.
        label: The label.
        n_test: Number of test examples that have it.
        score: Mean over seeds; None if metrics leave the label out.
        spread: Its standard deviation over seeds.
    """

    place: Place
    method: str
    label: str
    n_test: int
    score: Number
    spread: Number = None


@dataclass(frozen=True)
class GroupView:
    """How good the students of a method are within one group of the test set.

    Attributes:
        place: Where the students are in the design.
        method: Their method.
        group: The group.
        n_test: Number of its test examples.
        score: Mean of the primary metric over seeds; None where it is undefined.
        spread: Its standard deviation over seeds.
    """

    place: Place
    method: str
    group: str
    n_test: int
    score: Number
    spread: Number = None


@dataclass(frozen=True)
class Run:
    """One student run. ``measures`` holds the numeric columns of ``results.parquet`` by name.

    Example:
        >>> place = Place("digits", "resnet20", "resnet8")
        >>> Run("9f2c41aa07d3", place, "kd", 0, "done", {"accuracy": 0.9}).status
        'done'
    """

    run_id: str
    place: Place
    method: str
    seed: int
    status: Status
    measures: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True)
class FailureView:
    """A job that failed, with its error as the ledger keeps it (possibly many lines)."""

    job_id: str
    kind: str
    what: str
    error: str


@dataclass(frozen=True)
class Exclusion:
    """A condition whose runs take no part in conclusions, and the reason, such as its failed check."""

    where: str
    reason: str
    runs: int = 0


@dataclass(frozen=True)
class Reproduction:
    """How to obtain the numbers again: commands in order, and ``study.yaml`` as stored in the folder."""

    commands: tuple[str, ...] = ()
    study_yaml: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    machine: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Statistics:
    """How intervals and verdicts are computed, in plain words unless stated otherwise.

    Attributes:
        estimand: What is estimated.
        interval: How intervals are computed.
        test: The test.
        margin: Half-width of the region of practical equivalence of the primary metric, in its own unit.
        confidence: Coverage of the intervals, a fraction.
        tests: Number of tests made in total.
        correction: How p-values are corrected.
        notes: Further notes, one sentence each.
    """

    estimand: str = ""
    interval: str = ""
    test: str = ""
    margin: Number = None
    confidence: float = 0.95
    tests: int = 0
    correction: str = ""
    notes: tuple[str, ...] = ()
