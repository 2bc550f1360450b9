"""How the networks of a study compute: chosen by a timed trial where the study is long enough to repay it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from distillab.data.dataset import Dataset
from distillab.study.job import Job
from distillab.study.plan import Plan, make_plan
from distillab.study.spec import StudySpec
from distillab.training.trial import Workload
from distillab.training.tuning import Choice, choose, standard

# Multiply-accumulates a second of one worker, roughly: only whether a study takes minutes hangs on it.
NOMINAL_MACS = {"cpu": 2e10, "mps": 2e11, "cuda": 1e12}


def tuned_plan(spec: StudySpec, dataset: Dataset, device: torch.device) -> Plan:
    """The plan of a study on its data, each network in the arithmetic that is fastest for it here.

    A study that takes minutes is timed for some seconds a network, and for a minute where compiling is worth
    a trial; what was timed once is remembered.

    Raises:
        RequestError: a level that the data cannot reach, or a model that cannot serve these images.
    """
    plan = make_plan(spec, dataset, device)
    plan.arithmetic = choose_arithmetic(spec, dataset, plan.jobs.values(), device)
    if any(each.rates and each.arithmetic != standard(device) for each in plan.arithmetic.values()):
        return make_plan(spec, dataset, device, plan.arithmetic)
    return plan


class Work:
    """The trainings of each network in a plan: what a trial of its arithmetic is made for."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.macs = 0.0
        self.images: dict[str, float] = {}
        self._batches: dict[str, Counter[int]] = {}
        for job in jobs:
            self.macs += job.cost
            if job.kind != "outputs" and job.cost:
                self._add(job.spec["model"], job.spec["recipe"])

    def _add(self, model: str, recipe: Mapping[str, Any]) -> None:
        images = recipe["steps"] * recipe["batch_size"]
        self.images[model] = self.images.get(model, 0.0) + images
        self._batches.setdefault(model, Counter())[recipe["batch_size"]] += images

    def batch(self, model: str) -> int:
        """The batch that most of the network's training is made in; 64 for one that is not trained."""
        return self._batches[model].most_common(1)[0][0] if model in self._batches else 64


def choose_arithmetic(
    spec: StudySpec, dataset: Dataset, jobs: Iterable[Job], device: torch.device
) -> dict[str, Choice]:
    """For each network that the jobs train, how it computes. Times short studies not at all, others for some
    seconds a network, and a minute where compiling is worth a trial."""
    work = Work(jobs)
    channels, height, _ = dataset.train.shape
    workers = (os.cpu_count() or 1) if device.type == "cpu" else 1
    chosen = {}
    for model in sorted(work.images):
        whose = spec.recipe if model in spec.students else spec.teacher_recipe(spec.teacher.provenance[0])
        chosen[model] = choose(
            Workload(model, len(dataset.classes), channels, height, work.batch(model), spec.worker_threads),
            whose,
            device,
            study_seconds=work.macs / NOMINAL_MACS[device.type] / workers,
            images=work.images[model] / workers,
        )
    return chosen
