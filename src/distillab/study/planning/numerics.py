"""How each network of a study computes: chosen by a benchmark where the study is long enough to repay it."""

from __future__ import annotations

import torch

from distillab.data.raw import Progress
from distillab.models import InputSpec
from distillab.models.black_box import is_black_box
from distillab.study.planning.context import PlanContext
from distillab.study.planning.workloads import Workloads
from distillab.training.numerics.benchmark import Workload
from distillab.training.numerics.device import default_workers
from distillab.training.numerics.selection import NumericsChoice, select_numerics

# Multiply-accumulates per second of one worker, roughly: only whether a study takes minutes depends on it.
NOMINAL_MACS = {"cpu": 2e10, "mps": 2e11, "cuda": 1e12}


def choose_numerics(
    context: PlanContext, work: Workloads, device: torch.device, progress: Progress | None = None
) -> dict[str, NumericsChoice]:
    """Choose how each network computes that a study trains or queries. Short studies are not timed, others
    for some seconds per network, and for a minute where compiling is worth a trial."""
    spec, dataset = context.spec, context.dataset
    inputs = InputSpec(*dataset.train.shape)
    workers = default_workers(device)
    students = {entry.model for entry in spec.student_entries}
    chosen = {}
    networks = sorted({**work.images, **work.queried}.items())
    for place, (model, images) in enumerate(networks):
        if is_black_box(model):
            continue
        if progress:
            progress(f"timing {model}", place, len(networks))
        trained = model in work.images
        of_students = model in students or not trained
        recipe = spec.recipe if of_students else spec.teacher_recipe(spec.teacher.provenance[0])
        chosen[model] = select_numerics(
            Workload(
                model,
                context.task.head_width(len(dataset.classes)),
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
