"""The members of a cohort in training, as one object that can be interrupted and goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distillab.modalities import Normalization
from distillab.models import Outputs
from distillab.training.batches import TrainingBatch
from distillab.training.loop.member import CohortMember
from distillab.training.loop.member_training import MemberTraining, PointCallback
from distillab.training.loop.phases import Phases
from distillab.training.loop.plain_state import TrainingState
from distillab.training.loop.random_state import generator_states, set_generator_states
from distillab.training.loop.results import DivergenceError, TrainedNetwork


class CohortTraining:
    """Trains the members of a cohort in step.

    Args:
        members: What each network is trained from.
        normalize: The normalization of the inputs.
        device: Where they are trained.
        on_points: For each member, what is called after each point of its validation curve; empty for none.

    Attributes:
        steps: Steps that are done.
        shared: The times of the work that is done once for all members.

    Raises:
        RequestError: A network cannot be built for these examples, or a method cannot serve its pair.
    """

    def __init__(
        self,
        members: Sequence[CohortMember],
        normalize: Normalization,
        device: torch.device,
        on_points: Sequence[PointCallback | None] = (),
    ) -> None:
        self.steps, self.shared = 0, Phases(device)
        self._device = device
        self._trainings = [
            MemberTraining(
                member, normalize, device, shared=self.shared, members=len(members), on_point=on_point
            )
            for member, on_point in zip(members, on_points or [None] * len(members), strict=True)
        ]
        self._diverged: dict[int, DivergenceError] = {}
        self._resumed_at: int | None = None
        self._generators: list[Tensor] = []  # of a training that goes on, until it does

    @property
    def has_diverged(self) -> bool:
        """True if no member is in training any more."""
        return len(self._diverged) == len(self._trainings)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Have the block continue with the global generators of the training that is gone on from, if any."""
        if self._generators:
            set_generator_states(self._device, self._generators)
            self._generators = []
        yield

    def step(self, batch: TrainingBatch, outputs: Sequence[Outputs]) -> None:
        """Do a step of each network that has not diverged.

        Args:
            batch: The examples.
            outputs: The teacher's outputs for them, and for their strong views if the batch has them.
        """
        for place, training in enumerate(self._trainings):
            if place not in self._diverged:
                try:
                    training.step(batch, outputs)
                except DivergenceError as error:
                    self._diverge(place, error)
        self.steps = batch.index + 1

    def results(self) -> list[TrainedNetwork | DivergenceError]:
        """Return the result of each member, in order."""
        return [
            self._diverged.get(place) or replace(each.result(), resumed_at=self._resumed_at)
            for place, each in enumerate(self._trainings)
        ]

    def state(self) -> TrainingState:
        """Return all that the next steps depend on and the last ones have collected.

        Raises:
            NotResumableError: A part of a network or of a method has state that is unknown.
        """
        return {
            "steps": self.steps,
            "seconds": dict(self.shared.seconds),
            "generators": self._generators or generator_states(self._device),
            "diverged": {place: str(error) for place, error in self._diverged.items()},
            "members": {
                place: each.state()
                for place, each in enumerate(self._trainings)
                if place not in self._diverged
            },
        }

    def restore(self, state: TrainingState) -> None:
        """Go on from the :meth:`state` of a training of the same cohort."""
        self.steps = self._resumed_at = state["steps"]
        self.shared.seconds.update(state["seconds"])
        self._generators = state["generators"]
        for place, message in state["diverged"].items():
            self._diverge(place, DivergenceError(message))
        for place, saved in state["members"].items():
            self._trainings[place].restore(saved)

    def _diverge(self, place: int, error: DivergenceError) -> None:
        self._diverged[place] = error
        self._trainings[place].close()
