"""The training loop: one network, one stream of batches, one method.

Plain and distilled students, and teachers, all pass through :func:`train`. Twins differ in ``method`` alone:
initial weights, order, views and number of steps follow from the seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from distillab.data.imageset import ImageSet
from distillab.methods import Batch, Method, MethodSpec, Pair, build_method
from distillab.models import OutputShapes, build_model, output_shapes
from distillab.models.taps import TappedModel
from distillab.training.checkpoints import State, snapshot
from distillab.training.device import arithmetic, deterministic
from distillab.training.evaluation import accuracy, predict
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stream import Normalisation, Step, stream
from distillab.training.teacher import TeacherFeed


class DivergenceError(RuntimeError):
    """The loss, or what the network says, is not finite. The run is kept as failed; the study goes on."""


@dataclass(frozen=True)
class Seeds:
    """Where the randomness of a run comes from: initial weights, order of images, and views."""

    init: int
    order: int
    views: int


@dataclass(frozen=True)
class EpochRecord:
    """One look at the course of training: mean loss terms since the last look, and accuracy on val."""

    epoch: int
    losses: dict[str, float]
    val_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A finished training: the network (last weights), the weights chosen on val, and how it went."""

    model: nn.Module
    last: State
    selected: State
    selected_epoch: int
    curve: tuple[EpochRecord, ...]
    seconds: float


def new_model(name: str, images: ImageSet, init_seed: int, device: torch.device) -> nn.Module:
    """A network with initial weights that depend on ``init_seed`` alone, on the CPU's random stream."""
    channels, height, _ = images.shape
    with deterministic(torch.device("cpu"), init_seed):
        model = build_model(name, classes=len(images.classes), channels=channels, resolution=height)
    return on_device(model, device)


def on_device(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on a device, in channels-last memory: the layout in which convolutions are fastest."""
    return model.to(device).to(memory_format=torch.channels_last)


def train(
    model_name: str,
    method_spec: MethodSpec,
    data: ImageSet,
    val: ImageSet,
    normalise: Normalisation,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    device: torch.device,
    teacher: TeacherFeed | None = None,
    teacher_shapes: OutputShapes | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Trained:
    """Train ``model_name`` on ``data``. Only train and val images are read here; test sets never are.

    Raises:
        DivergenceError: the loss, or a logit of a val image, is not finite.
        RequestError: the model cannot be built for these images, or the method cannot serve the pair.
    """
    model = new_model(model_name, data, seeds.init, device)
    method = _build(method_spec, model, data, teacher_shapes, seeds, device)
    learning = [*model.parameters(), *method.parameters()]
    optimiser = _optimiser(learning, recipe)
    tapped = TappedModel(model, method.needs)
    started = time.perf_counter()
    best: State = {}
    best_epoch, best_accuracy = 0, -1.0
    curve: list[EpochRecord] = []
    totals = _Totals()
    with deterministic(device, seeds.order):
        model.train()
        for step in stream(
            data, recipe, normalise, order_seed=seeds.order, view_seed=seeds.views, device=device
        ):
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr_at(step.index)
            terms = _step(tapped, method, teacher, step, recipe, device)
            loss = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            totals.add(terms, loss)
            if on_step:
                on_step(step.index)
            if step.last_of_epoch:
                totals.must_be_finite(step)
                if step.epoch + 1 in recipe.val_epochs:
                    score = _val_accuracy(model, val, normalise, step, recipe, device)
                    curve.append(EpochRecord(step.epoch + 1, totals.means(), score))
                    # Ties go to the later epoch: it has seen more data at no loss on val.
                    if score >= best_accuracy:
                        best, best_epoch, best_accuracy = snapshot(model), step.epoch + 1, score
    tapped.close()
    return Trained(
        model, snapshot(model), best, best_epoch, tuple(curve), seconds=time.perf_counter() - started
    )


def _build(
    spec: MethodSpec,
    model: nn.Module,
    data: ImageSet,
    teacher_shapes: OutputShapes | None,
    seeds: Seeds,
    device: torch.device,
) -> Method:
    """The method, with its connectors initialised from a random stream of its own, so that what a method
    owns never moves the student's initial weights."""
    channels, height, _ = data.shape
    shapes = output_shapes(model, channels=channels, resolution=height, classes=len(data.classes))
    with deterministic(torch.device("cpu"), seeds.init + 1):
        return build_method(spec, Pair(shapes, teacher_shapes, len(data))).to(device)


def _step(
    tapped: TappedModel,
    method: Method,
    teacher: TeacherFeed | None,
    step: Step,
    recipe: ResolvedRecipe,
    device: torch.device,
) -> dict[str, Tensor]:
    said = teacher(step) if teacher else None
    with arithmetic(device, recipe.precision):
        outputs = tapped(step.inputs)
    batch = Batch(
        labels=step.labels,
        ids=step.ids,
        epoch=step.epoch,
        progress=step.index / recipe.steps,
        epoch_length=recipe.steps_per_epoch,
    )
    return method(outputs, said, batch)  # type: ignore[no-any-return]


def _val_accuracy(
    model: nn.Module,
    val: ImageSet,
    normalise: Normalisation,
    step: Step,
    recipe: ResolvedRecipe,
    device: torch.device,
) -> float:
    """Accuracy on val. The last step of all can ruin the weights without a loss that would show it, so the
    outputs are looked at as well."""
    logits = predict(model, val, normalise, device, recipe.precision)
    if not np.isfinite(logits).all():
        raise DivergenceError(f"the network's outputs are not finite after step {step.index + 1}")
    return accuracy(logits, val)


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
