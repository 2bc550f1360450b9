"""The training of one member of a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from distillab.data.boxes import moved_boxes
from distillab.data.examples import Indices
from distillab.methods import Batch, Mixed, StrongView
from distillab.methods.method import SUPERVISED
from distillab.modalities import Normalization
from distillab.models.outputs import Outputs
from distillab.models.taps import TappedModel
from distillab.training.batches import TrainingBatch
from distillab.training.checkpoints import snapshot
from distillab.training.loop.member import CohortMember, build_member
from distillab.training.loop.module_state import module_state, restore_modules
from distillab.training.loop.optimizer import Optimizer
from distillab.training.loop.phases import Phases
from distillab.training.loop.plain_state import TrainingState
from distillab.training.loop.random_state import RandomState
from distillab.training.loop.results import TrainedNetwork
from distillab.training.loop.running_means import RunningMeans
from distillab.training.loop.two_momenta import TwoMomenta
from distillab.training.loop.validation import Validation
from distillab.training.numerics.config import compile_call, to_memory_format
from distillab.training.numerics.device import autocast, compute_clock
from distillab.training.teachers.ensembles import weight_by_correctness

PointCallback = Callable[[nn.Module, int], None]
"""Called after each point of the validation curve with the network and the epoch, from 1. It must leave the
network's weights as they are; its time is not counted as training."""


class MemberTraining:
    """Trains one network on the batches of its cohort.

    Args:
        member: What it is trained from.
        normalize: The normalization that all networks of the study share.
        device: Where it is trained.
        shared: The times of the work that the cohort does once for all members.
        members: The number of members that share them.
        on_point: Called after each point of the validation curve.

    Raises:
        RequestError: The network cannot be built for these examples, or the method cannot serve the pair.
    """

    def __init__(
        self,
        member: CohortMember,
        normalize: Normalization,
        device: torch.device,
        *,
        shared: Phases | None = None,
        members: int = 1,
        on_point: PointCallback | None = None,
    ) -> None:
        clock = compute_clock(device)
        started = clock()
        self.member, self.phases = member, Phases(device)
        self._shared, self._members = shared or Phases(device), members
        self._device, self._on_point = device, on_point
        self._network, self._method, info = build_member(member, device)
        trained, shift = [self._network, self._method], member.method.momentum_shift
        self._optimizer = Optimizer(trained, member.recipe)
        self._two_momenta = TwoMomenta(trained, member.recipe, shift) if shift else None
        self._tapped = TappedModel(self._network, member.method.needs, info.taps)
        self._forward = compile_call(self._tapped, member.recipe.compile)
        self._random = RandomState.seeded(member.seeds.order, device)
        self._means = RunningMeans()
        self._validation = Validation(member, normalize, device)
        self._network.train()
        self._building = clock() - started

    def step(self, batch: TrainingBatch, teacher: Sequence[Outputs]) -> None:
        """Do one optimization step.

        Args:
            batch: The examples.
            teacher: The teacher's outputs for them, and for their strong views if the batch has them; empty
                without a teacher.

        Raises:
            DivergenceError: At the end of an epoch: a loss in it, or an output for the validation set, is not
                finite.
        """
        optimizer = self._two_momenta or self._optimizer
        optimizer.set_step(batch.index)
        with self._random:
            terms = self._loss_terms(batch, teacher)
        loss = torch.stack(list(terms.values())).sum()
        with self.phases.timed("backward"):
            self._backward(terms, loss)
        with self.phases.timed("optimiser"):
            optimizer.update()
        self._means.add(terms, loss)
        if batch.last_of_epoch:
            self._end_epoch(batch.epoch + 1, batch.index + 1)

    def close(self) -> None:
        """Remove the hooks from the network."""
        self._tapped.close()

    def result(self) -> TrainedNetwork:
        """Return the trained network."""
        self.close()
        self.phases.add(self._shared, 1 / self._members)
        model = self._method.finished(self._network)
        return TrainedNetwork(
            model,
            snapshot(model),
            self._validation.selected,
            self._validation.selected_epoch,
            tuple(self._validation.curve),
            seconds=self.phases.total,
            phases={str(name): seconds for name, seconds in self.phases.seconds.items()},
            building=self._building,
        )

    def state(self) -> TrainingState:
        """Return all that the next steps depend on and the last ones have collected.

        Raises:
            NotResumableError: A part of the network or of the method has state that is unknown.
        """
        return {
            "modules": module_state(self._modules),
            "optimizer": self._optimizer.state(),
            "two_momenta": self._two_momenta.state() if self._two_momenta else {},
            "random": self._random.state(),
            "means": self._means.state(),
            "validation": self._validation.state(),
            "seconds": dict(self.phases.seconds),
        }

    def restore(self, state: TrainingState) -> None:
        """Go on from the :meth:`state` of a training of the same member."""
        restore_modules(self._modules, state["modules"])
        self._optimizer.restore(state["optimizer"])
        if self._two_momenta:
            self._two_momenta.restore(state["two_momenta"])
        self._random.restore(state["random"])
        self._means.restore(state["means"], self._device)
        self._validation.restore(state["validation"])
        self.phases.seconds.update(state["seconds"])

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self._network, "method": self._method}

    def _backward(self, terms: dict[str, Tensor], loss: Tensor) -> None:
        """Compute the gradients of the loss, or of its supervised and its transfer terms apart."""
        if self._two_momenta is None:
            self._optimizer.backward(loss)
        else:
            transfer = [value for name, value in terms.items() if name != SUPERVISED]
            self._two_momenta.backward(terms[SUPERVISED], torch.stack(transfer).sum())

    def _loss_terms(self, batch: TrainingBatch, teacher: Sequence[Outputs]) -> dict[str, Tensor]:
        inputs = self._inputs(batch)
        known = self._method_batch(batch, inputs)
        if self.member.teachers > 1:
            teacher = [weight_by_correctness(each, known, self.member.teachers) for each in teacher]
        with self.phases.timed("forward"):
            outputs = self._outputs(inputs)
            if batch.strong and "strong_view" in self.member.method.needs:
                strong = self._outputs(self._inputs(batch.strong))
                known = replace(known, strong=StrongView(strong, teacher[1] if teacher else None))
            return self._method.total(outputs, teacher[0] if teacher else None, known)

    def _inputs(self, batch: TrainingBatch) -> Tensor:
        """Return the inputs as the student receives them."""
        transform = self.member.data.student_transform
        return transform(batch.inputs) if transform else batch.inputs

    def _outputs(self, inputs: Tensor) -> Outputs:
        recipe = self.member.recipe
        with autocast(self._device, recipe.precision):
            outputs: Outputs = self._forward(to_memory_format(inputs, recipe.memory_format))
        return outputs

    def _method_batch(self, batch: TrainingBatch, inputs: Tensor) -> Batch:
        """Return the batch as the member's method receives it, beside the outputs."""
        recipe, data, mixture = self.member.recipe, self.member.data, batch.mixture
        return Batch(
            labels=self._labels(batch),
            ids=batch.ids,
            positions=torch.from_numpy(batch.positions).to(self._device),
            epoch=batch.epoch,
            progress=batch.index / recipe.steps,
            epoch_length=recipe.steps_per_epoch,
            mixed=Mixed(self._rows(data.targets.values, mixture.partners), mixture.share)
            if mixture
            else None,
            groups=None if data.groups is None else self._rows(data.groups, batch.positions),
            inputs=inputs,
            autocast=partial(autocast, self._device, recipe.precision),
        )

    def _labels(self, batch: TrainingBatch) -> Tensor:
        """Return the values of the targets of a batch; boxes where they are in its views."""
        labels = self._rows(self.member.data.targets.values, batch.positions)
        if batch.maps is None:
            return labels
        return moved_boxes(labels, batch.maps, *self.member.data.shape[1:])

    def _rows(self, values: npt.NDArray[Any], positions: Indices) -> Tensor:
        return torch.from_numpy(values[positions]).to(self._device)

    def _end_epoch(self, epoch: int, steps: int) -> None:
        with self.phases.timed("waiting"):
            self._means.check_finite(epoch, steps)
        if epoch in self.member.recipe.val_epochs:
            with self.phases.timed("evaluation"):
                self._validation.add(self._network, epoch, self._means.take(), step=steps)
            self._validation.note_seconds(self.phases.total + self._shared.total / self._members)
            if self._on_point:
                self._call_at_point(self._on_point, epoch)

    def _call_at_point(self, on_point: PointCallback, epoch: int) -> None:
        """Call ``on_point`` with the network, without a change to the random numbers of the training."""
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            on_point(self._network, epoch)
