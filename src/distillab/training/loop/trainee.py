"""One student in training: its network, its method, its optimiser, and how it has done so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from distillab.artefacts import EpochRecord
from distillab.canonical import seed_from
from distillab.data.examples import Examples, Indices
from distillab.methods import Batch, Method, MethodSpec, Mixed, Pair, build_method
from distillab.modalities import Normalization
from distillab.models import InputSpec, NetworkInfo, OutputShapes, build_model, inspect_network
from distillab.models.outputs import Outputs
from distillab.models.taps import TappedModel
from distillab.training.checkpoints import State, snapshot
from distillab.training.loop.evaluation import accuracy, predict
from distillab.training.loop.phases import Phases
from distillab.training.loop.random_state import RandomState
from distillab.training.loop.stream import Step
from distillab.training.numerics.config import MemoryFormat, compiled, laid_out, placed
from distillab.training.numerics.device import autocast, deterministic
from distillab.training.recipe import ResolvedRecipe
from distillab.training.teachers.ensembles import by_correctness


class DivergenceError(RuntimeError):
    """The loss, or what the network says, is not finite. The run is kept as failed; the study goes on."""


@dataclass(frozen=True)
class Seeds:
    """Where the randomness of a run comes from: initial weights, order of images, and views."""

    init: int
    order: int
    views: int


@dataclass(frozen=True)
class Trained:
    """A finished training: the network (last weights), the weights chosen on val, and how it went.

    ``seconds`` is what the training of this network took, with its share of what a cohort shares;
    ``phases`` says on what.
    """

    model: nn.Module
    last: State
    selected: State
    selected_epoch: int
    curve: tuple[EpochRecord, ...]
    seconds: float
    phases: dict[str, float]


@dataclass(frozen=True, eq=False)
class Member:
    """What one student of a cohort is made from. Members share images, order, views and steps; labels, val,
    initial weights, network and method are each one's own.

    ``data`` and ``val`` are its training and validation images; ``teacher_shapes`` what its teacher gives,
    and ``teacher_classifier`` the teacher's last layer, if the method wants it. ``teachers``: how many
    networks' logits it hears side by side, to be weighed by their correctness.
    """

    model: str
    method: MethodSpec
    data: Examples
    val: Examples
    recipe: ResolvedRecipe
    seeds: Seeds
    teacher_shapes: OutputShapes | None = None
    teacher_classifier: nn.Linear | None = None
    teachers: int = 1


def new_model(
    name: str,
    images: Examples,
    init_seed: int,
    device: torch.device,
    memory_format: MemoryFormat = "channels_last",
    classes: int | None = None,
) -> nn.Module:
    """A network for the images as their lens shows them, with ``classes`` outputs if not one for each of
    theirs. Its initial weights depend on ``init_seed`` alone, on the CPU's random stream."""
    inputs = InputSpec(*images.student_shape)
    with deterministic(torch.device("cpu"), init_seed):
        model = build_model(name, classes=classes or len(images.classes), inputs=inputs)
    return placed(model, device, memory_format)


class Trainee:
    """A member of a cohort while it learns.

    Raises:
        RequestError: the model cannot be built for these images, or the method cannot serve the pair.
    """

    def __init__(self, member: Member, normalise: Normalization, device: torch.device) -> None:
        self.member, self.recipe = member, member.recipe
        self.model = new_model(
            member.model, member.data, member.seeds.init, device, self.recipe.memory_format
        )
        info = _inspected(member, self.model)
        self.method = _method(member, info.shapes).to(device)
        built = tuple(self.model.modules())
        self.model = self.method.network(self.model)
        if tuple(self.model.modules()) != built:
            info = _inspected(member, self.model)
        self.phases = Phases(device)
        self._normalise, self._device = normalise, device
        learning = [
            each for each in (*self.model.parameters(), *self.method.parameters()) if each.requires_grad
        ]
        self._optimiser = _optimiser(learning, self.recipe)
        self._tapped = TappedModel(self.model, member.method.needs, info.taps)
        self._forward = compiled(self._tapped, self.recipe.compile)
        self._random = RandomState.seeded(member.seeds.order, device)
        self._totals = _Totals()
        self._curve: list[EpochRecord] = []
        self._best: State = {}
        self._best_epoch, self._best_accuracy = 0, -1.0
        self.model.train()

    def learn(self, step: Step, said: Outputs | None) -> None:
        """One step of training on a batch, about which the teacher ``said`` something.

        Raises:
            DivergenceError: at the end of an epoch: a loss in it, or a logit of a val image, is not finite.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.lr_at(step.index)
        with self._random:
            terms = self._terms(step, said)
        loss = torch.stack(list(terms.values())).sum()
        with self.phases.timed("backward"):
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        with self.phases.timed("optimiser"):
            self._optimiser.step()
        self._totals.add(terms, loss)
        if step.last_of_epoch:
            self._end_epoch(step)

    def _terms(self, step: Step, said: Outputs | None) -> dict[str, Tensor]:
        """The loss terms of a batch."""
        student_transform = self.member.data.student_transform
        inputs = student_transform(step.inputs) if student_transform else step.inputs
        batch = Batch(
            labels=self._labels(step.positions),
            ids=step.ids,
            positions=torch.from_numpy(step.positions).to(self._device),
            epoch=step.epoch,
            progress=step.index / self.recipe.steps,
            epoch_length=self.recipe.steps_per_epoch,
            mixed=Mixed(self._labels(step.mixture.partners), step.mixture.share) if step.mixture else None,
            groups=self._groups(step.positions),
            inputs=inputs,
            autocast=partial(autocast, self._device, self.recipe.precision),
        )
        if said is not None and self.member.teachers > 1:
            said = by_correctness(said, batch, self.member.teachers)
        with self.phases.timed("forward"):
            with autocast(self._device, self.recipe.precision):
                outputs = self._forward(laid_out(inputs, self.recipe.memory_format))
            return self.method.total(outputs, said, batch)

    def _labels(self, positions: Indices) -> Tensor:
        """What this member is told about the images at some positions, int64 ``[N]``."""
        return torch.from_numpy(self.member.data.labels[positions]).to(self._device)

    def _groups(self, positions: Indices) -> Tensor | None:
        groups = self.member.data.groups
        return None if groups is None else torch.from_numpy(groups[positions]).to(self._device)

    def _end_epoch(self, step: Step) -> None:
        with self.phases.timed("waiting"):
            self._totals.must_be_finite(step)
        if step.epoch + 1 not in self.recipe.val_epochs:
            return
        with self.phases.timed("evaluation"):
            score = self._val_accuracy(step)
            self._curve.append(EpochRecord(step.epoch + 1, self._totals.means(), score))
            # Ties go to the later epoch: it has seen more data at no loss on val.
            if score >= self._best_accuracy:
                self._best_accuracy, self._best_epoch = score, step.epoch + 1
                self._best = snapshot(self.model)

    def _val_accuracy(self, step: Step) -> float:
        """Accuracy on val. The last step of all can ruin the weights without a loss that would show it, so
        the outputs are looked at as well."""
        val = self.member.val
        logits = predict(self.model, val, self._normalise, self._device, self.recipe.precision)
        if not np.isfinite(logits).all():
            raise DivergenceError(f"the network's outputs are not finite after step {step.index + 1}")
        return accuracy(logits, val)

    def close(self) -> None:
        """Take the hooks off the network."""
        self._tapped.close()

    def result(self, shared: Phases, sharers: int) -> Trained:
        """What came of it; ``shared`` are the times of what the cohort did once for its ``sharers``."""
        self.close()
        self.phases.add(shared, 1 / sharers)
        model = self.method.finished(self.model)
        return Trained(
            model,
            snapshot(model),
            self._best,
            self._best_epoch,
            tuple(self._curve),
            seconds=self.phases.total,
            phases={str(name): seconds for name, seconds in self.phases.seconds.items()},
        )


def _inspected(member: Member, model: nn.Module) -> NetworkInfo:
    return inspect_network(
        model, InputSpec(*member.data.student_shape), classes=len(member.data.classes), name=member.model
    )


def _method(member: Member, shapes: OutputShapes) -> Method:
    """The method, with its connectors initialised from a random stream of its own, so that what a method
    owns never moves the student's initial weights."""
    data = member.data
    with deterministic(torch.device("cpu"), member.seeds.init + 1):
        pair = Pair(
            shapes,
            member.teacher_shapes,
            len(data),
            labels=torch.from_numpy(data.labels),
            groups=None if data.groups is None else torch.from_numpy(data.groups),
            teacher_classifier=member.teacher_classifier,
            new_student=lambda number: _peer(member, number),
        )
        return build_method(member.method, pair)


def _peer(member: Member, number: int) -> nn.Module:
    """A network like a member's, with other initial weights."""
    seed = seed_from("peer", member.seeds.init, number)
    return new_model(member.model, member.data, seed, torch.device("cpu"), member.recipe.memory_format)


def _optimiser(parameters: list[nn.Parameter], recipe: ResolvedRecipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )


class _Totals:
    """Running means of the loss terms, kept on the device so that a GPU is not made to wait every step."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.loss: Tensor | None = None
        self.steps = 0

    def add(self, terms: dict[str, Tensor], loss: Tensor) -> None:
        for name, value in terms.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        value = loss.detach().float()
        self.loss = value if self.loss is None else self.loss + value
        self.steps += 1

    def must_be_finite(self, step: Step) -> None:
        if self.loss is not None and not math.isfinite(float(self.loss)):
            raise DivergenceError(
                f"the loss is not finite in epoch {step.epoch + 1} (by step {step.index + 1})"
            )

    def means(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: float(value) / self.steps for name, value in self.sums.items()}
        self._clear()
        return means
