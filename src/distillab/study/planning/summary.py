"""Overviews for people: what a plan holds and costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch

from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.factors import describe_label_quality
from distillab.modalities import modality_of
from distillab.models import InputSpec
from distillab.study.job import KINDS, Job, OutputsJob, StudentJob
from distillab.study.ledger.interim import needed_for, runs_of_first
from distillab.study.planning.costs import ModelCosts
from distillab.study.planning.plan import Plan
from distillab.study.planning.workloads import Workloads
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.benchmark import Workload, time_candidates
from distillab.training.numerics.selection import NumericsChoice, default_numerics


@dataclass(frozen=True)
class PlanSummary:
    """A plan in numbers. Of a study that stops when it is decided, the numbers are those of the most seeds.

    ``seconds`` is an estimate of the compute of all jobs on one worker, from a short timed trial of teacher
    and students on this machine. ``recipes`` are the resolved recipes that occur, by number of images;
    ``numerics`` says how each network computes, and why. ``stored_bytes`` is the most that stored teacher
    outputs can take; ``live`` students ask a live teacher. ``factors`` are the levels of each in words, and
    the roles that they change.
    ``looks``: at how many seeds a study that stops when it is decided looks, empty for others;
    ``least_students`` and ``least_seconds`` are student runs and compute up to the first look.
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
    recipes: dict[int, JsonObject]
    numerics: dict[str, str]
    confidence: float
    margin: float
    looks: tuple[int, ...]
    least_students: int
    least_seconds: float


def summarize_plan(spec: StudySpec, dataset: Dataset, plan: Plan, device: torch.device) -> PlanSummary:
    """Sum a plan up. Times steps of each model for some seconds, unless a trial has."""
    sets = {"train": dataset.train, "val": dataset.val, **dataset.eval}
    report = dataset.report
    notes = list(report.notes)
    if report.dropped_duplicates:
        notes.append(f"{report.dropped_duplicates} exact duplicates across splits are left out of train.")
    if report.broken:
        notes.append(f"{len(report.broken)} broken images are left out.")
    varied = [levels[0] for levels in spec.factor_levels()]
    if labels := describe_label_quality(varied, "val"):
        tests = describe_label_quality(varied, "eval")
        notes.append(f"Val, by which an epoch is selected: {labels}; test: {tests}.")
    pace = _pace(spec, dataset, plan, device)
    first = _first_jobs(spec, plan)
    return PlanSummary(
        study=spec.study,
        dataset=dataset.name,
        images={name: len(images) for name, images in sets.items()},
        image=f"{modality_of(dataset).describe(dataset.train.shape)}, {len(dataset.classes)} classes",
        notes=tuple(notes),
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
        seconds=_seconds(plan.jobs.values(), pace),
        recipes=_recipes(plan),
        numerics={model: str(choice) for model, choice in plan.numerics.items()},
        confidence=spec.evidence.confidence,
        margin=spec.evidence.margin,
        looks=spec.looks,
        least_students=sum(job.kind == "student" for job in first),
        least_seconds=sum(_seconds(first, pace).values()),
    )


def _first_jobs(spec: StudySpec, plan: Plan) -> list[Job]:
    """The jobs up to the first look; all of them if the seeds are fixed."""
    if not spec.looks:
        return list(plan.jobs.values())
    runs = runs_of_first(plan.cells, spec.looks[0])
    needed = needed_for(runs, {name: job.needs for name, job in plan.jobs.items()})
    return [job for name, job in plan.jobs.items() if name in needed]


def _pace(spec: StudySpec, dataset: Dataset, plan: Plan, device: torch.device) -> Callable[[Job], float]:
    """Estimated seconds of a job: its cost at the rate measured for its model."""
    inputs = InputSpec(*dataset.train.shape)
    classes, threads = len(dataset.classes), spec.worker_threads
    costs, work = ModelCosts(classes, inputs), Workloads.of_jobs(plan.jobs.values())
    usual = NumericsChoice(default_numerics(device), "not chosen")
    choices = {model: plan.numerics.get(model, usual) for model in work.images}

    def workload(model: str, trained: bool = True) -> Workload:
        return Workload(model, classes, inputs, work.batch(model), threads, trained)

    training = {
        model: 3 * costs.macs(model) * _rate(workload(model), chosen, device)
        for model, chosen in choices.items()
    }
    forward, teacher = 0.0, spec.teacher.last_model
    if any(_uses_study_teacher(spec)):
        chosen = plan.numerics.get(teacher, usual)
        forward = costs.macs(teacher) * _rate(workload(teacher, False), chosen, device)

    def seconds(job: Job) -> float:
        rate = forward if isinstance(job, OutputsJob) else training.get(job.model)
        return job.cost / (rate or max(training.values()))

    return seconds


def _seconds(jobs: Iterable[Job], pace: Callable[[Job], float]) -> dict[str, float]:
    """Estimated seconds by kind of job."""
    seconds = dict.fromkeys(map(str, KINDS), 0.0)
    for job in jobs:
        if job.cost:
            seconds[job.kind] += pace(job)
    return seconds


def _rate(workload: Workload, chosen: NumericsChoice, device: torch.device) -> float:
    """Images a second: of the trial, or of a shorter one made now."""
    rate = chosen.rates.get(chosen.numerics) if chosen.trained == workload.trained else None
    if rate is None:
        eager = replace(chosen.numerics, compile=False)  # an estimate is not worth a compilation
        rate = time_candidates(workload, [eager], device)[eager]
    return rate or math.nan


def _uses_study_teacher(spec: StudySpec) -> list[bool]:
    return [each.distils for each in spec.method_specs()]


def _recipes(plan: Plan) -> dict[int, JsonObject]:
    sizes: dict[int, JsonObject] = {}
    by_run = {cell.run: cell.n_train for cell in plan.cells if cell.run}
    for run, images in by_run.items():
        job = plan.jobs[run]
        if isinstance(job, StudentJob):
            sizes.setdefault(images, dict(job.recipe))
    return dict(sorted(sizes.items()))
