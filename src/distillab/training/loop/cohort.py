"""The training loop: a cohort of networks, one stream of batches, one teacher forward a batch.

Plain and distilled students, and teachers, all pass through :func:`train_cohort`; most cohorts have one
member. Twins differ in ``method`` alone: initial weights, order, views and number of steps follow from the
seeds. A member's result does not depend on its company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from distillab.modalities import Normalization
from distillab.training.loop.phases import Phases
from distillab.training.loop.stream import Step, stream
from distillab.training.loop.trainee import DivergenceError, Member, Trained, Trainee
from distillab.training.numerics.device import deterministic
from distillab.training.teachers.feed import TeacherFeed

OnStep = Callable[[int], None]


def train(
    member: Member,
    normalise: Normalization,
    *,
    device: torch.device,
    teacher: TeacherFeed | None = None,
    on_step: OnStep | None = None,
) -> Trained:
    """Train one network.

    Raises:
        DivergenceError: the loss, or a logit of a val image, is not finite.
        RequestError: the model cannot be built for these images, or the method cannot serve the pair.
    """
    [ended] = train_cohort([member], normalise, device=device, teacher=teacher, on_step=on_step)
    if isinstance(ended, DivergenceError):
        raise ended
    return ended


def train_cohort(
    members: Sequence[Member],
    normalise: Normalization,
    *,
    device: torch.device,
    teacher: TeacherFeed | None = None,
    on_step: OnStep | None = None,
) -> list[Trained | DivergenceError]:
    """Train networks in step on one stream: each batch is rendered once and shown to the teacher once.

    Only train and val images are read here; test sets never are. A member that diverges drops out, the
    others go on; the list holds what became of each, in order.

    Raises:
        ValueError: the members do not share their images, order, views and steps.
        RequestError: a model cannot be built for these images, or a method cannot serve its pair.
    """
    first = _leader(members)
    trainees = [Trainee(member, normalise, device) for member in members]
    lost: dict[int, DivergenceError] = {}
    shared = Phases(device)
    seeds = first.seeds
    with deterministic(device, seeds.order):
        steps = stream(
            first.data, first.recipe, normalise, order_seed=seeds.order, view_seed=seeds.views, device=device
        )
        for step in _timed(steps, shared):
            with shared.timed("teacher"):
                said = teacher(step) if teacher else None
            for place, trainee in enumerate(trainees):
                if place not in lost:
                    try:
                        trainee.learn(step, said)
                    except DivergenceError as error:
                        lost[place] = error
                        trainee.close()
            if on_step:
                on_step(step.index)
            if len(lost) == len(trainees):
                break
    return [lost.get(place) or trainee.result(shared, len(members)) for place, trainee in enumerate(trainees)]


def _leader(members: Sequence[Member]) -> Member:
    """The first member, whose stream is everybody's."""
    first = members[0]
    for member in members[1:]:
        if (
            member.data.input_digest != first.data.input_digest
            or (member.seeds.order, member.seeds.views) != (first.seeds.order, first.seeds.views)
            or member.recipe.stream_facts != first.recipe.stream_facts
        ):
            raise ValueError("the members of a cohort share images, order, views, batches and steps")
    return first


def _timed(steps: Iterable[Step], phases: Phases) -> Iterable[Step]:
    """The steps, with the time that they take to be made."""
    waiting = iter(steps)
    while True:
        with phases.timed("views"):
            step = next(waiting, None)
        if step is None:
            return
        yield step
