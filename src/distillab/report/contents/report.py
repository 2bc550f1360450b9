"""Everything that a report shows.

Conventions for every field: fractions such as accuracies and their gains are in [0, 1] (0.012 is 1.2 points);
a number that does not exist is None or NaN and is shown as a dash; texts are plain (no HTML), and the page
escapes everything in them, class names included.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from distillab.evidence.answer import Answer
from distillab.evidence.group_scores import GroupBaseline
from distillab.evidence.pairs import Row
from distillab.report.contents.cost import Cost, MethodCost
from distillab.report.contents.detections import DetectionsView
from distillab.report.contents.explanations import ExplanationsView
from distillab.report.contents.gains import ClassPanel, DosePanel, Effect, LevelEffect, Quality
from distillab.report.contents.pictures import Pictures
from distillab.report.contents.question import DatasetView, FactorView, MethodView, RecipeLine, RoleView
from distillab.report.contents.retrieval import RetrievalView
from distillab.report.contents.runs import (
    Exclusion,
    ExitView,
    FailureView,
    GroupView,
    LabelView,
    ModelPair,
    Reproduction,
    Run,
    Statistics,
    TeacherView,
)
from distillab.report.contents.stopping import Stopping
from distillab.report.contents.tracks import TracksView
from distillab.report.contents.tuning import TuningView
from distillab.study.usage import TeacherUsage
from distillab.tasks import Classification, Metric, Task


@dataclass(frozen=True)
class ReportContents:
    """Everything that a report shows. Only ``study`` and ``answer`` are required.

    Attributes:
        study: Name of the study.
        answer: The first screen.
        created: When the report was made, as text.
        version: Version of distillab.
        task: The task of the study; its primary metric is that of curves, and of verdict counts and forest
            plot unless the answer is about another one.
        baseline: The method of the plain students. Contrasts with other baselines are folded below the
            forest plot and are in its table.
        pairs: Teacher and student, the most important pair first.
        datasets: The data as read.
        examples: A few training examples per class as read; None if none is shown.
        roles: What filled each role.
        factors: The factors of the study.
        methods: The methods with their settings.
        recipe: The recipe as resolved.
        seeds: The seeds.
        pictures: Examples before and after, one entry per factor and dataset.
        effects: All contrasts of all metrics.
        level_effects: All differences of gains between levels.
        doses: Curves over levels, from :func:`distillab.report.collect.doses.dose_panels`.
        class_panels: Gains per class, the panels with the most harm first.
        quality: Means by place and method, from :func:`distillab.report.collect.rows.qualities`.
        teachers: Every teacher, trained or loaded.
        against_teacher: The rows of ``against_teacher.parquet``: students compared with their teachers.
        alignment: The rows of ``alignment.parquet``: how alike students are to their teachers.
        selection: The rows of ``selection.parquet``: which student of which teacher was chosen on val.
        exits: The exits of students that have some.
        labels: The scores of single labels, where an example may have several.
        groups: The scores within the groups of the test set.
        group_baseline: How good it is to predict classes from groups alone; None where that is undefined.
        explanations: Where networks look; None for a study that does not compute it.
        retrieval: What embeddings retrieve; None for a task that is not about it.
        detections: What detectors find; None for another task.
        tracks: What networks for tracking follow; None for another task.
        runs: Every run of the plan, in any state.
        failures: Jobs that failed.
        exclusions: Conditions that take no part in conclusions.
        stopping: What sequential stopping saved.
        tuning: How methods were tuned; None for a study without tuning.
        costs: Seconds by kind of job.
        method_costs: Seconds by method.
        usage: How often teachers were queried, and seconds by phase of training.
        reproduction: How to obtain the numbers again.
        statistics: How they were computed.

    Example:
        >>> contents = ReportContents("photos", Answer("Nothing has run yet."))
        >>> contents.primary.label
        'accuracy'
    """

    study: str
    answer: Answer
    created: str = ""
    version: str = ""
    task: Task = field(default_factory=Classification)
    baseline: str = "ce"
    pairs: tuple[ModelPair, ...] = ()
    datasets: tuple[DatasetView, ...] = ()
    examples: Pictures | None = None
    roles: tuple[RoleView, ...] = ()
    factors: tuple[FactorView, ...] = ()
    methods: tuple[MethodView, ...] = ()
    recipe: tuple[RecipeLine, ...] = ()
    seeds: tuple[int, ...] = ()
    pictures: tuple[Pictures, ...] = ()
    effects: tuple[Effect, ...] = ()
    level_effects: tuple[LevelEffect, ...] = ()
    doses: tuple[DosePanel, ...] = ()
    class_panels: tuple[ClassPanel, ...] = ()
    quality: tuple[Quality, ...] = ()
    teachers: tuple[TeacherView, ...] = ()
    against_teacher: tuple[Row, ...] = ()
    alignment: tuple[Row, ...] = ()
    selection: tuple[Row, ...] = ()
    exits: tuple[ExitView, ...] = ()
    labels: tuple[LabelView, ...] = ()
    groups: tuple[GroupView, ...] = ()
    group_baseline: GroupBaseline | None = None
    explanations: ExplanationsView | None = None
    retrieval: RetrievalView | None = None
    detections: DetectionsView | None = None
    tracks: TracksView | None = None
    runs: tuple[Run, ...] = ()
    failures: tuple[FailureView, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    costs: tuple[Cost, ...] = ()
    method_costs: tuple[MethodCost, ...] = ()
    usage: TeacherUsage | None = None
    stopping: Stopping | None = None
    tuning: TuningView | None = None
    reproduction: Reproduction = field(default_factory=Reproduction)
    statistics: Statistics = field(default_factory=Statistics)

    @property
    def primary(self) -> Metric:
        """The metric on which conclusions rest."""
        return self.task.metrics[self.task.primary]

    @property
    def answered(self) -> Metric:
        """The metric that the answer is about: the primary one, or the one that the study declares."""
        return self.task.metrics[self.answer.metric or self.task.primary]

    @property
    def controls(self) -> frozenset[str]:
        """Methods that distill nothing: their gains are shown, but not counted as gains of distillation."""
        return frozenset(method.name for method in self.methods if method.kind != "distillation")
