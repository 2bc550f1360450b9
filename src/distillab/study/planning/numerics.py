"""How the networks of a study compute: chosen by a timed trial where the study is long enough to repay it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch

from distillab.data.dataset import Dataset
from distillab.machine import usable_cores
from distillab.models import InputSpec
from distillab.study.job import Job, OutputsJob, TeacherJob
from distillab.study.planning.costs import ModelCosts
from distillab.study.planning.plan import Plan, make_plan
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.benchmark import Workload
from distillab.training.numerics.selection import NumericsChoice, default_numerics, select_numerics

# The batch that a network is timed with which is only asked: enough to tell one precision from another.
ASKED_BATCH = 16
# Multiply-accumulates a second of one worker, roughly: only whether a study takes minutes hangs on it.
NOMINAL_MACS = {"cpu": 2e10, "mps": 2e11, "cuda": 1e12}


def tuned_plan(spec: StudySpec, dataset: Dataset, device: torch.device) -> Plan:
    """The plan of a study on its data, each network in the arithmetic that is fastest for it here.

    A study that takes minutes is timed for some seconds a network, and for a minute where compiling is worth
    a trial; what was timed once is remembered.

    Raises:
        RequestError: a level that the data cannot reach, or a model that cannot serve these images.
    """
    costs_of = cache(ModelCosts)
    plan = make_plan(spec, dataset, device, costs_of=costs_of)
    plan.numerics = choose_numerics(spec, dataset, plan.jobs.values(), device)
    if any(each.rates and each.numerics != default_numerics(device) for each in plan.numerics.values()):
        return make_plan(spec, dataset, device, plan.numerics, costs_of)
    return plan


class Work:
    """What each network in a plan does, which a trial of its arithmetic is made for.

    Attributes:
        macs: multiply-accumulates of all of it.
        images: those of trainings, with repetitions, by network.
        asked: those that a network is asked about which is not trained, with repetitions.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        by_id = {job.id: job for job in jobs}
        self.macs = 0.0
        self.images: dict[str, float] = {}
        self.asked: dict[str, float] = {}
        self._batches: dict[str, Counter[int]] = {}
        for job in by_id.values():
            self.macs += job.cost
            if isinstance(job, OutputsJob):
                teacher = by_id[job.teacher]
                if isinstance(teacher, TeacherJob) and not teacher.cost and job.views:
                    self._ask(teacher.model, job.inputs.recipe)
            elif job.cost:
                self._train(job.model, job.recipe)
        self.asked = {model: seen for model, seen in self.asked.items() if model not in self.images}

    def _train(self, model: str, recipe: Mapping[str, Any]) -> None:
        images = recipe["steps"] * recipe["batch_size"]
        self.images[model] = self.images.get(model, 0.0) + images
        self._batches.setdefault(model, Counter())[recipe["batch_size"]] += images

    def _ask(self, model: str, recipe: Mapping[str, Any]) -> None:
        self.asked[model] = self.asked.get(model, 0.0) + recipe["steps"] * recipe["batch_size"]

    def batch(self, model: str) -> int:
        """The batch that most of its training is made in; of a network that is not trained, a small one."""
        return self._batches[model].most_common(1)[0][0] if model in self._batches else ASKED_BATCH


def choose_numerics(
    spec: StudySpec, dataset: Dataset, jobs: Iterable[Job], device: torch.device
) -> dict[str, NumericsChoice]:
    """For each network that jobs train or ask, how it computes. Times short studies not at all, others for
    some seconds a network, and a minute where compiling is worth a trial."""
    work = Work(jobs)
    inputs = InputSpec(*dataset.train.shape)
    workers = usable_cores() if device.type == "cpu" else 1
    chosen = {}
    for model, images in sorted({**work.images, **work.asked}.items()):
        trained = model in work.images
        of_students = model in spec.students or not trained
        recipe = spec.recipe if of_students else spec.teacher_recipe(spec.teacher.provenance[0])
        chosen[model] = select_numerics(
            Workload(
                model,
                len(dataset.classes),
                inputs,
                work.batch(model),
                spec.worker_threads,
                trained,
            ),
            recipe.numerics,
            device,
            study_seconds=work.macs / NOMINAL_MACS[device.type] / workers,
            images=images / workers,
        )
    return chosen
