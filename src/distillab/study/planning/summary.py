"""PlanSummary: what a plan contains and costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

import torch

from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.data.raw import Progress
from distillab.factors import describe_label_quality
from distillab.modalities import modality_of
from distillab.printable import counted
from distillab.study.design import Levels, needed_for, runs_of_first
from distillab.study.job import KINDS, Job, StudentJob
from distillab.study.planning.pace import Pace, PlannedMaps
from distillab.study.planning.plan import Plan
from distillab.study.planning.probes import probe_runs
from distillab.study.planning.schedule import wall_seconds
from distillab.study.planning.teacher_draws import TeacherDraws
from distillab.study.spec.controls import missing_controls
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.study import StudySpec
from distillab.study.trial import TUNED
from distillab.tasks import Task
from distillab.training.numerics.device import default_workers


@dataclass(frozen=True)
class PlannedLength:
    """How long the plain students of a condition are trained.

    Attributes:
        levels: The level by factor name.
        n_train: Labelled training examples.
        steps: Optimization steps.
        epochs: Epochs begun.

    Example:
        >>> PlannedLength({"size": 5}, n_train=50, steps=80, epochs=80).epochs
        80
    """

    levels: Levels
    n_train: int
    steps: int
    epochs: int


@dataclass(frozen=True)
class PlanSummary:
    """A plan in numbers. With sequential stopping they are those of the largest number of seeds.

    Attributes:
        study: Name of the study.
        dataset: Name of the dataset.
        images: Number of examples per split.
        image: Shape of an example, and number of classes.
        notes: What was found while reading, one sentence each.
        factors: The levels of each factor as text, and the roles that they change.
        conditions: Combinations of factor levels.
        cells: Student runs per seed.
        arms: Number of methods.
        seeds: Number of seeds.
        runs: Number of jobs by kind.
        excluded: Reasons for which conditions are excluded.
        reused_outputs: Student runs that share the teacher outputs of another one.
        stored_bytes: Most bytes that stored teacher outputs can take.
        live: Students that are trained in step with a live teacher.
        seconds: Estimated training time by kind of job, summed over workers, from a short benchmark on this
            machine.
        workers: Workers that `run` starts on this machine.
        wall_seconds: Estimated wall time with so many workers.
        recipes: Resolved recipes of students, by number of labelled training examples.
        numerics: How each network computes, and why.
        confidence: Confidence level of intervals.
        margin: Half width of the region of practical equivalence.
        looks: Numbers of seeds at the interim analyses; empty without sequential stopping.
        least_students: Student runs up to the first interim analysis.
        least_seconds: Estimated training time up to it.
        least_wall_seconds: Estimated wall time up to it.
        lengths: Steps and epochs of the plain students of each condition.
        probes: Student runs over twice the steps, which show whether training is long enough.
        probe_seconds: Their estimated training time, summed over workers.
        tuning: What tuning tries, in a sentence; empty without it. Runs and costs are then those under the
            settings that would cost most.
        teachers: How many ``full`` teachers there are, and why; None without such a teacher.
        teacher_seconds: Estimated training time of the ``full`` teachers by their number.
        views_drawn: Whether each seed has views of its own.
        split_drawn: Whether seeds have different train/val splits.
        retrieval_seconds: Estimated time in which networks are evaluated by retrieval, summed over workers,
            which is part of ``seconds``.
        maps: The explanation maps; None without them.
        map_seconds: Their estimated time, summed over workers. It is part of the wall time, and not of
            ``seconds``.

    Example:
        >>> sorted(PlanSummary.__dataclass_fields__)[:3]
        ['arms', 'cells', 'conditions']
    """

    study: str
    dataset: str
    images: dict[str, int]
    image: str
    notes: tuple[str, ...]
    factors: dict[str, str]
    conditions: int
    cells: int
    arms: int
    seeds: int
    runs: dict[str, int]
    excluded: tuple[str, ...]
    reused_outputs: int
    stored_bytes: int
    live: int
    seconds: dict[str, float]
    workers: int
    wall_seconds: float
    recipes: dict[int, JsonObject]
    numerics: dict[str, str]
    confidence: float
    margin: float
    looks: tuple[int, ...]
    least_students: int
    least_seconds: float
    least_wall_seconds: float
    lengths: tuple[PlannedLength, ...] = ()
    probes: int = 0
    probe_seconds: float = 0.0
    teachers: TeacherDraws | None = None
    teacher_seconds: dict[int, float] = field(default_factory=dict)
    views_drawn: bool = False
    split_drawn: bool = False
    tuning: str = ""
    retrieval_seconds: float = 0.0
    maps: PlannedMaps | None = None
    map_seconds: float = 0.0

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        return asdict(self)


def summarize_plan(
    spec: StudySpec,
    dataset: Dataset,
    plan: Plan,
    device: torch.device,
    *,
    maps: PlannedMaps | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PlanSummary:
    """Return a plan in numbers.

    Args:
        spec: The study.
        dataset: Its data.
        plan: Its plan.
        device: Where it will run. Each network is timed there for some seconds, unless it has been before.
        maps: The explanation maps that follow the training; None without them.
        workers: Number of workers; by default as many as `run` starts on this machine.
        progress: Called with (stage, done, total).

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> from distillab.study.planning.outline import make_plan
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["ce"], seeds=2, recipe={"steps": 1, "batch_size": 2},
        ... )
        >>> dataset, cpu = load_dataset(spec.source()), torch.device("cpu")
        >>> summary = summarize_plan(spec, dataset, make_plan(spec, dataset, cpu), cpu)
        >>> summary.image, summary.runs
        ('8x8 gray, 2 classes', {'teacher': 0, 'outputs': 0, 'student': 2})
    """
    sets = {"train": dataset.train, "val": dataset.val, **dataset.eval}
    plan = plan.at_most
    pace = Pace(spec, dataset, plan, device, progress)
    crew = workers or default_workers(device)
    map_seconds = pace.map_seconds(maps) if maps else 0.0
    map_wall = map_seconds / (workers or default_workers(torch.device("cpu")))
    first = _first_jobs(spec, plan)
    probes = [plan.jobs[run] for run in probe_runs(plan.cells)]
    return PlanSummary(
        study=spec.study,
        dataset=dataset.name,
        images={name: len(images) for name, images in sets.items()},
        image=f"{modality_of(dataset).describe(dataset.train.shape)}, {len(dataset.classes)} classes",
        notes=tuple(_notes(spec, dataset, plan)),
        factors={
            levels[0].name: f"{'; '.join(each.description for each in levels)} ({', '.join(levels[0].roles)})"
            for levels in spec.factor_levels()
        },
        conditions=len(plan.conditions) // max(1, len(spec.seed_list)),
        cells=len(plan.cells) // max(1, len(spec.seed_list)),
        arms=len(spec.method_specs()),
        seeds=len(spec.seed_list),
        runs={kind: plan.count(kind) for kind in KINDS},
        excluded=tuple(sorted({cell.excluded for cell in plan.cells if cell.excluded})),
        reused_outputs=plan.reused_outputs,
        stored_bytes=plan.stored_bytes,
        live=sum(bool(job.cohort) for job in plan.jobs.values()),
        seconds=pace.seconds_by_kind(plan.jobs.values()),
        workers=crew,
        wall_seconds=wall_seconds(plan.jobs.values(), pace, crew) + map_wall,
        recipes=_recipes(plan),
        numerics={model: str(choice) for model, choice in plan.numerics.items()},
        confidence=spec.evidence.confidence,
        margin=spec.evidence.margin,
        looks=spec.looks,
        least_students=sum(job.kind == "student" for job in first),
        least_seconds=sum(pace.seconds_by_kind(first).values()),
        least_wall_seconds=wall_seconds(first, pace, crew),
        lengths=_lengths(plan),
        probes=len(probes),
        probe_seconds=sum(pace.seconds_by_kind(probes).values()),
        teachers=plan.draws if plan.draws and plan.draws.teacher_macs else None,
        teacher_seconds=_teacher_seconds(plan, pace),
        views_drawn=spec.draws.views == "seed",
        split_drawn=plan.split_drawn,
        tuning=describe_tuning(spec, plan),
        retrieval_seconds=sum(map(pace.search_seconds, plan.jobs.values())),
        maps=maps,
        map_seconds=map_seconds,
    )


def describe_tuning(spec: StudySpec, plan: Plan) -> str:
    """Return what tuning tries, in a sentence; empty without it."""
    tune = spec.tune
    if tune is None:
        return ""
    each = len({trial.number for trial in plan.trials})
    seeds = tune.seed_list(spec.seed_list)
    cells = plan.at_most.cells
    after = len({cell.run for cell in cells if cell.setting == TUNED and cell.run})
    probes = len(probe_runs(cells))
    return (
        f"{counted(each, 'setting')} for each of {', '.join(map(str, spec.method_specs()))}, "
        f"chosen on val per {tune.per} over {counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))}): "
        f"{counted(len(plan.trial_runs), 'run')} of trials, then {counted(after, 'run')} at chosen settings"
        + (", besides those at default settings" if tune.default_runs else "")
        + (f", and {counted(probes, 'probe')} over twice the steps" if probes else "")
        + "; all costs are upper bounds"
    )


def _notes(spec: StudySpec, dataset: Dataset, plan: Plan) -> list[str]:
    """Return what was found while reading and planning, one sentence each."""
    sets = {"train": dataset.train, "val": dataset.val, **dataset.eval}
    report = dataset.report
    notes = list(report.notes)
    if report.carved:
        carved = ", ".join(f"{name} ({len(sets[name]):,} examples)" for name in reversed(report.carved))
        notes.append(f"The source lacks splits, which are carved from train: {carved}.")
    if report.dropped_duplicates:
        notes.append(f"{report.dropped_duplicates} exact duplicates across splits are left out of train.")
    if report.broken:
        notes.append(f"{len(report.broken)} broken examples are left out.")
    notes += notes_on_tests(spec.task_config(), dataset)
    notes += plan.starts
    varied = [levels[0] for levels in spec.factor_levels()]
    if labels := describe_label_quality(varied, "val"):
        tests = describe_label_quality(varied, "eval")
        notes.append(f"Val, by which an epoch is selected: {labels}; test: {tests}.")
    notes += [*plan.notes, *_unlabelled_note(plan), *missing_controls(spec)]
    return notes


def notes_on_tests(task: Task, dataset: Dataset) -> list[str]:
    """Return what a task has to state of the test sets of a dataset, one sentence each.

    Args:
        task: The task.
        dataset: The dataset.

    Raises:
        RequestError: The primary metric of the task is not defined on a test set.

    Example:
        >>> from distillab.sources import source_from_argument
        >>> from distillab.sources.ingest import load_dataset
        >>> from distillab.tasks import Classification
        >>> notes_on_tests(Classification(), load_dataset(source_from_argument("digits")))
        []
    """
    return [
        note
        for name, test in dataset.eval.items()
        for note in task.check_test(test.targets, test.classes, name)
    ]


def _teacher_seconds(plan: Plan, pace: Pace) -> dict[int, float]:
    """Return the estimated training time of the ``full`` teachers by their number."""
    planned = [job for job in plan.teachers if job.inputs.train == "full" and job.cost]
    if plan.draws is None or not planned:
        return {}
    each = plan.draws.teacher_macs * sum(map(pace, planned)) / sum(job.cost for job in planned)
    return {number: number * each for number in plan.draws.options}


def _unlabelled_note(plan: Plan) -> list[str]:
    """Return a sentence on the batches of a study with unlabelled examples; empty for others."""
    most = max((job.recipe.get("unlabelled", 0) for job in plan.students), default=0)
    if not most:
        return []
    return [
        f"Batch size, steps and epochs are those of labelled examples. Distilled students get up to {most} "
        "unlabelled ones per step on top; plain students get the labelled ones alone."
    ]


def _first_jobs(spec: StudySpec, plan: Plan) -> list[Job]:
    """Return the jobs up to the first interim analysis; all of them if the number of seeds is fixed."""
    if not spec.looks:
        return list(plan.jobs.values())
    runs = runs_of_first(plan.cells, spec.looks[0]) | set(plan.trial_runs)
    needed = needed_for(runs, {name: job.needs for name, job in plan.jobs.items()})
    return [job for name, job in plan.jobs.items() if name in needed]


def _recipes(plan: Plan) -> dict[int, JsonObject]:
    """Return the resolved recipes of students by number of labelled training examples.

    Of several lengths it is the shortest, that of all methods but ``ce_long``.
    """
    sizes: dict[int, JsonObject] = {}
    by_run = {cell.run: cell.n_train for cell in plan.cells if cell.run}
    for run, images in by_run.items():
        job = plan.jobs[run]
        if isinstance(job, StudentJob):
            recipe = dict(job.recipe)
            if images not in sizes or recipe["steps"] < sizes[images]["steps"]:
                sizes[images] = recipe
    return dict(sorted(sizes.items()))


def _lengths(plan: Plan) -> tuple[PlannedLength, ...]:
    """Return the lengths of the plain students, by condition, under the first seed that the condition has."""
    lengths: dict[str, PlannedLength] = {}
    for cell in plan.cells:
        job = plan.jobs.get(cell.run or "")
        if cell.method == PLAIN and isinstance(job, StudentJob):
            steps, per_epoch = job.recipe["steps"], job.recipe["steps_per_epoch"]
            found = PlannedLength(cell.levels, cell.n_train, steps, math.ceil(steps / per_epoch))
            lengths.setdefault(str(sorted(cell.levels.items())), found)
    return tuple(lengths.values())
