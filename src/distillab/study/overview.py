"""Overviews for people: what a plan holds and costs, and how a running study stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from distillab.data.dataset import Dataset
from distillab.methods import methods
from distillab.study.costing import ModelCosts
from distillab.study.folder import StudyFolder
from distillab.study.plan import Plan, shared_teachers
from distillab.study.spec import StudySpec


@dataclass(frozen=True)
class Overview:
    """A plan in numbers.

    ``seconds`` is an estimate of the compute of all jobs on one worker, from a short timed trial of teacher
    and students on this machine. ``recipes`` are the resolved recipes that occur, by number of images.
    """

    study: str
    dataset: str
    images: dict[str, int]
    image: str
    notes: tuple[str, ...]
    conditions: int
    cells: int
    arms: int
    seeds: int
    runs: dict[str, int]
    excluded: tuple[str, ...]
    reused_outputs: int
    seconds: dict[str, float]
    recipes: dict[int, dict[str, Any]]


def overview(spec: StudySpec, dataset: Dataset, plan: Plan, device: torch.device) -> Overview:
    """Sum a plan up. Times forward and training steps of each model for about a second."""
    channels, height, width = dataset.train.shape
    sets = {"train": dataset.train, "val": dataset.val, **dataset.eval}
    report = dataset.report
    notes = list(report.notes)
    if report.dropped_duplicates:
        notes.append(f"{report.dropped_duplicates} exact duplicates across splits are left out of train.")
    if report.broken:
        notes.append(f"{len(report.broken)} broken images are left out.")
    return Overview(
        study=spec.study,
        dataset=dataset.name,
        images={name: len(images) for name, images in sets.items()},
        image=f"{height}x{width} {'grey' if channels == 1 else 'RGB'}, {len(dataset.classes)} classes",
        notes=tuple(notes),
        conditions=len(plan.conditions) // max(1, len(spec.seeds)),
        cells=len(plan.cells) // max(1, len(spec.seeds)),
        arms=len(spec.method_specs()),
        seeds=len(spec.seeds),
        runs={kind: plan.count(kind) for kind in ("teacher", "outputs", "student")},
        excluded=tuple(sorted({cell["excluded"] for cell in plan.cells if cell["excluded"]})),
        reused_outputs=shared_teachers(plan),
        seconds=_seconds(spec, dataset, plan, device),
        recipes=_recipes(plan),
    )


def _seconds(spec: StudySpec, dataset: Dataset, plan: Plan, device: torch.device) -> dict[str, float]:
    """Estimated seconds by kind of job: each job's cost at the rate measured for its model."""
    channels, height, _ = dataset.train.shape
    costs = ModelCosts(len(dataset.classes), channels, height)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        forward = {spec.teacher.model: 0.0} if any(_uses_study_teacher(spec)) else {}
        for name in forward:
            forward[name] = costs.images_per_second(name, device, training=False) * costs.macs(name)
        training = {
            name: 3 * costs.images_per_second(name, device, training=True) * costs.macs(name)
            for name in {*forward, *spec.students}
        }
    finally:
        torch.set_num_threads(threads)
    seconds = dict.fromkeys(("teacher", "outputs", "student"), 0.0)
    for job in plan.jobs.values():
        if not job.cost:
            continue
        rate = forward.get(spec.teacher.model) if job.kind == "outputs" else training.get(job.spec["model"])
        seconds[job.kind] += job.cost / (rate or max(training.values()))
    return seconds


def _uses_study_teacher(spec: StudySpec) -> list[bool]:
    return [methods[each.name].teacher == "study" for each in spec.method_specs()]


def _recipes(plan: Plan) -> dict[int, dict[str, Any]]:
    sizes: dict[int, dict[str, Any]] = {}
    by_run = {cell["run"]: cell["n_train"] for cell in plan.cells if cell["run"]}
    for run, images in by_run.items():
        sizes.setdefault(images, dict(plan.jobs[run].spec["recipe"]))
    return dict(sorted(sizes.items()))


def standing(folder: StudyFolder) -> dict[str, Any]:
    """How a study stands: jobs by kind and state, the share of the work done, failures."""
    with folder.ledger() as ledger:
        settled, everything = ledger.progress()
        return {
            "study": folder.spec.study,
            "jobs": ledger.tally(),
            "share_done": settled / everything if everything else 1.0,
            "seconds": {kind: total for kind, (_, total) in ledger.seconds().items()},
            "failures": [
                {"id": failure.id, "kind": failure.kind, "error": failure.error}
                for failure in ledger.failures()
            ],
        }
