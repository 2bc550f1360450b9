"""The training loop: a cohort of networks, one stream of batches, one forward pass of the teacher per batch.

Plain and distilled students, and teachers, are all trained by :func:`train_cohort`; most cohorts have one
member. A distilled student and its plain student differ in ``method`` alone: initial weights, order, views
and number of steps follow from the seeds. The result of a member does not depend on the other members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch

from distillab.modalities import Normalization
from distillab.training.batches import TrainingBatch, training_batches
from distillab.training.loop.cohort_training import CohortTraining
from distillab.training.loop.member import CohortMember
from distillab.training.loop.member_training import PointCallback
from distillab.training.loop.phases import Phases
from distillab.training.loop.results import DivergenceError, TrainedNetwork
from distillab.training.loop.snapshots import Snapshots
from distillab.training.numerics.device import deterministic
from distillab.training.teachers.feed import TeacherFeed

StepCallback = Callable[[int], None]
"""Called after each step with its number, from 0."""


def train(
    member: CohortMember,
    normalize: Normalization,
    *,
    device: torch.device,
    teacher: TeacherFeed | None = None,
    on_step: StepCallback | None = None,
) -> TrainedNetwork:
    """Train one network.

    Args:
        member: What it is trained from.
        normalize: The normalization of the inputs.
        device: Where it is trained.
        teacher: Gives the teacher's outputs for each batch.
        on_step: Called after each step.

    Raises:
        DivergenceError: The loss, or an output for the validation set, is not finite.
        RequestError: The network cannot be built for these examples, or the method cannot serve the pair.

    Example:
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.methods import parse_method
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.loop.member import Seeds
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> method, recipe = parse_method("ce", "methods"), Recipe(steps=1).resolve(images)
        >>> member = CohortMember("resnet8", method, images, images, recipe, Seeds(1, 2, 3))
        >>> train(member, normalize, device=torch.device("cpu")).selected_epoch
        1
    """
    [ended] = train_cohort([member], normalize, device=device, teacher=teacher, on_step=on_step)
    if isinstance(ended, DivergenceError):
        raise ended
    return ended


def train_cohort(
    members: Sequence[CohortMember],
    normalize: Normalization,
    *,
    device: torch.device,
    teacher: TeacherFeed | None = None,
    on_step: StepCallback | None = None,
    on_points: Sequence[PointCallback | None] = (),
    snapshots: Snapshots | None = None,
) -> list[TrainedNetwork | DivergenceError]:
    """Train networks in step on one stream: each batch is rendered once and goes through the teacher once.

    Only training and validation sets are read; test sets never are. A member that diverges drops out, and the
    others go on.

    Args:
        members: What each network is trained from.
        normalize: The normalization of the inputs.
        device: Where they are trained.
        teacher: Gives the teacher's outputs for each batch.
        on_step: Called after each step.
        on_points: For each member, what is called after each point of its validation curve; empty for none.
        snapshots: Where they go on from after an interruption.

    Returns:
        The result of each member, in order: a trained network, or the error of one that diverged.

    Raises:
        ValueError: The members do not share their inputs, order, views and steps.
        RequestError: A network cannot be built for these examples, or a method cannot serve its pair.

    Example:
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.methods import parse_method
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.loop.member import Seeds
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> method, recipe = parse_method("ce", "methods"), Recipe(steps=1).resolve(images)
        >>> member = CohortMember("resnet8", method, images, images, recipe, Seeds(1, 2, 3))
        >>> [trained] = train_cohort([member], normalize, device=torch.device("cpu"))
        >>> [point.epoch for point in trained.curve]
        [1]
    """
    first = _check_shared(members)
    seeds, build = first.seeds, partial(CohortTraining, members, normalize, device, on_points)
    cohort = snapshots.resumed(build, device) if snapshots else build()
    with deterministic(device, seeds.order), cohort.going_on():
        batches = training_batches(
            first.data,
            first.recipe,
            normalize,
            order_seed=seeds.order,
            view_seed=seeds.views,
            device=device,
            strong=any("strong_view" in member.method.needs for member in members),
            start=cohort.steps,
        )
        for batch in _timed(batches, cohort.shared):
            with cohort.shared.timed("teacher"):
                views = (batch, batch.strong) if batch.strong else (batch,)
                outputs = [teacher(view) for view in views] if teacher else []
            cohort.step(batch, outputs)
            if snapshots and snapshots.is_due():
                snapshots.write(cohort, device)
            if on_step:
                on_step(batch.index)
            if cohort.has_diverged:
                break
    return cohort.results()


def _check_shared(members: Sequence[CohortMember]) -> CohortMember:
    """Return the first member, after checking that its stream of batches is that of all."""
    first = members[0]
    for member in members[1:]:
        if (
            member.data.input_digest != first.data.input_digest
            or (member.seeds.order, member.seeds.views) != (first.seeds.order, first.seeds.views)
            or member.recipe.stream_facts != first.recipe.stream_facts
        ):
            raise ValueError("the members of a cohort share inputs, order, views, batches and steps")
    return first


def _timed(batches: Iterable[TrainingBatch], phases: Phases) -> Iterable[TrainingBatch]:
    """The batches, with the time that it takes to make them."""
    waiting = iter(batches)
    while True:
        with phases.timed("views"):
            batch = next(waiting, None)
        if batch is None:
            return
        yield batch
