"""Recipes: how a network is trained. ``auto`` values are resolved from the training set and printed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from distillab.canonical import JsonObject
from distillab.config import PublicConfig
from distillab.data.boxes import Boxes
from distillab.data.examples import Examples
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.modalities import modality_of
from distillab.modalities.views import Views, WrittenViews, canonical_views, operations
from distillab.spelling import american
from distillab.training.numerics.config import (
    Auto,
    MemoryFormat,
    NumericsConfig,
    NumericsRequest,
    Precision,
)

# Small data need patience (Beyer et al. 2022): auto trains for at least this many steps, whatever the size,
# and for at least this many epochs, so that no large set is left half seen.
AUTO_STEPS = 800
# Younger than the runs of some studies, which keep their ids.
_LEFT_OUT_AT_ZERO = ("unlabelled", "schedule_steps", "views_kept", "top_k", "bits", "balanced")
AUTO_EPOCHS = 10
VALIDATIONS = 8  # points of the validation curve

DEFAULT_NUMERICS = NumericsConfig()


class Recipe(PublicConfig):
    """How networks are trained, as a study file writes it. Omitted values have the defaults below.

    Attributes:
        optimiser: The optimizer.
        lr: Learning rate; ``auto`` is 0.05 for SGD at 64 images per batch, scaled with the square root of the
            batch size, and 0.001 for AdamW.
        momentum: Momentum of SGD.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Weight decay.
        schedule: Schedule of the learning rate; ``step`` divides it by 10 at each milestone.
        milestones: For ``step``, as shares of training.
        warmup: Share of training with a linearly rising learning rate.
        epochs: Length of training; ``auto`` is 800 steps, or 10 epochs if that is more. Not with ``steps``.
        steps: Length of training in steps. Not with ``epochs``.
        batch_size: Labelled images per batch; ``auto`` is 64, or less for sets of fewer than 640. Unlabelled
            ones come on top, as many per labelled one as in the training set.
        sampler: ``shuffle`` goes through the examples once per epoch; ``balanced`` takes as many of every
            class, repeating those of rare classes and leaving some of frequent ones out, others per epoch.
            An epoch has as many steps under both.
        views: Augmentation: a kind (``none``, ``flip``, ``crop``, ``crop_flip``) or a list of operations in
            order (:mod:`distillab.modalities.views`).
        precision: Precision of the forward pass. ``auto``, here and in the next two, is what is fastest in a
            timed trial (:func:`distillab.training.numerics.select_numerics`).
        memory_format: Memory format of images and weights.
        compile: Whether the forward pass is compiled.

    Raises:
        ValueError: A value is not accepted, or two exclude each other.

    Example:
        >>> import numpy as np
        >>> images = Examples.of(np.zeros((640, 3, 32, 32), np.uint8), [0, 1] * 320, ("cat", "dog"))
        >>> resolved = Recipe(epochs=20).resolve(images)
        >>> resolved.batch_size, resolved.steps, resolved.lr, resolved.views
        (64, 200, 0.05, 'crop_flip')
    """

    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: float | Auto = Field(default="auto")
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0, allow_inf_nan=False)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: tuple[float, ...] = (0.625, 0.75, 0.875)  # 150, 180 and 210 of 240 epochs
    warmup: float = Field(default=0.0, ge=0, lt=1)
    epochs: int | Auto | None = None
    steps: int | None = Field(default=None, ge=1)
    batch_size: int | Auto = "auto"
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    views: WrittenViews = "auto"
    precision: Precision | Auto = "auto"
    memory_format: MemoryFormat | Auto = "auto"
    compile: bool | Auto = "auto"

    @field_validator("views", mode="before")
    @classmethod
    def _one_form(cls, views: Any) -> WrittenViews:
        return canonical_views(views)

    @model_validator(mode="after")
    def _sane(self) -> Recipe:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give epochs or steps, not both")
        if isinstance(self.lr, float) and not 0 < self.lr < math.inf:
            raise ValueError("lr must be above 0 and finite")
        for name, least in (("epochs", 1), ("batch_size", 2)):
            value = getattr(self, name)
            if isinstance(value, int) and value < least:
                raise ValueError(f"{name} must be at least {least}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if not all(0 < milestone < 1 for milestone in self.milestones):
            raise ValueError("milestones must be shares of training between 0 and 1, not epochs or steps")
        return self

    @property
    def numerics(self) -> NumericsRequest:
        """What the recipe fixes of how networks compute."""
        return NumericsRequest(self.precision, self.memory_format, self.compile)

    def resolve(self, train: Examples, chosen: NumericsConfig = DEFAULT_NUMERICS) -> ResolvedRecipe:
        """Return the recipe for a training set, with every value fixed.

        Args:
            train: The training set.
            chosen: The numerics where the recipe says ``auto``.

        Raises:
            RequestError: Classes are to be balanced, and examples have several labels; or the targets are
                boxes, and a view cannot move them with the pixels.
        """
        if self.sampler == "balanced" and not isinstance(train.targets, Labels):
            raise RequestError(
                f"balanced needs one class per example, and the targets are {train.targets.kind}",
                where="recipe.sampler",
                allowed="shuffle",
            )
        n = int(train.labelled.sum()) or len(train)
        if isinstance(self.batch_size, int):
            batch = min(self.batch_size, n)
        else:
            batch = min(64, max(8, 2 ** int(math.log2(max(n // 10, 1)))), n)
        per_epoch = max(1, n // batch)
        if self.steps is not None:
            steps = self.steps
        elif isinstance(self.epochs, int):
            steps = self.epochs * per_epoch
        else:
            steps = max(AUTO_STEPS, AUTO_EPOCHS * per_epoch)
        if isinstance(self.lr, float):
            lr = self.lr
        else:
            lr = 0.05 * math.sqrt(batch / 64) if self.optimiser == "sgd" else 0.001
        numerics = self.numerics.resolve(chosen)
        views = modality_of(train).views(self.views, train.shape)
        if isinstance(train.targets, Boxes):
            _must_move_boxes(views)
        return ResolvedRecipe(
            optimiser=self.optimiser,
            lr=lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            milestones=self.milestones,
            warmup=self.warmup,
            steps=steps,
            steps_per_epoch=per_epoch,
            batch_size=batch,
            views=views.written,
            pad=views.pad,
            precision=numerics.precision,
            memory_format=numerics.memory_format,
            compile=numerics.compile,
            unlabelled=_unlabelled_per_batch(len(train) - n, n, batch),
            balanced=self.sampler == "balanced",
        )


def _must_move_boxes(views: Views) -> None:
    """Raise RequestError if an operation of the views cannot move boxes with the pixels."""
    if fixed := views.fixed_operations:
        allowed = sorted(name for name in operations if operations[name].moves_boxes)
        raise RequestError(
            f"{american(fixed[0])} cannot move boxes with the pixels",
            where="recipe.views",
            allowed=", ".join(["none", *map(american, allowed)]),
        )


def _unlabelled_per_batch(unlabelled: int, labelled: int, batch: int) -> int:
    """Return how many unlabelled examples go with a batch of labelled ones: at least 1 if there are any."""
    return max(1, round(batch * unlabelled / labelled)) if unlabelled else 0


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe with every value fixed: what the trainer follows, and part of a run's id.

    Attributes:
        optimiser: The optimizer.
        lr: Highest learning rate.
        momentum: Momentum of SGD.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Weight decay.
        schedule: Schedule of the learning rate.
        milestones: For the schedule ``step``, as shares of training.
        warmup: Share of training with a linearly rising learning rate.
        steps: Optimization steps.
        steps_per_epoch: Steps per epoch, in which the labelled images are gone through.
        batch_size: Labelled images per batch.
        views: Augmentation, in its written form.
        pad: Pixels of padding before random crops.
        precision: Precision of the forward pass.
        memory_format: Memory format of images and weights.
        compile: Whether the forward pass is compiled.
        unlabelled: Unlabelled images per batch, beside the labelled ones. If it is 0, a batch consists of
            ``batch_size`` images whether they have labels or not.
        schedule_steps: Steps of the schedule of the learning rate, if training stops before its end; 0 for
            as many as there are.
        views_kept: Different views of an image, which the epochs use in turn; 0 for one per epoch.
        top_k: Classes per view whose teacher probabilities are kept; 0 for all.
        bits: Bits of each of them; 0 for as many as the teacher gives.
        balanced: Whether every class has as many examples in an epoch.

    Example:
        >>> import numpy as np
        >>> images = Examples.of(np.zeros((64, 1, 8, 8), np.uint8), [0, 1] * 32, ("a", "b"))
        >>> resolved = Recipe(steps=100, batch_size=16, schedule="constant").resolve(images)
        >>> resolved.epochs, resolved.val_epochs, resolved.lr_at(99)
        (25, (4, 7, 10, 13, 16, 19, 22, 25), 0.025)
        >>> ResolvedRecipe.from_dict(resolved.as_dict()) == resolved
        True
    """

    optimiser: Literal["sgd", "adamw"]
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: Literal["cosine", "step", "constant"]
    milestones: tuple[float, ...]
    warmup: float
    steps: int
    steps_per_epoch: int
    batch_size: int
    views: WrittenViews
    pad: int
    precision: Precision
    memory_format: MemoryFormat = "channels_last"
    compile: bool = False
    unlabelled: int = 0
    schedule_steps: int = 0
    views_kept: int = 0
    top_k: int = 0
    bits: int = 0
    balanced: bool = False

    @property
    def images_per_step(self) -> int:
        """Images of a batch, unlabelled ones included."""
        return self.batch_size + self.unlabelled

    @property
    def images_seen(self) -> int:
        """Images of all steps together, with repetitions."""
        return self.steps * self.images_per_step

    @property
    def epochs(self) -> int:
        """Number of epochs; the last one may be cut short by ``steps``."""
        return math.ceil(self.steps / self.steps_per_epoch)

    @property
    def view_epochs(self) -> int:
        """Number of epochs with views of their own; the others repeat these views."""
        return min(self.epochs, self.views_kept) if self.views_kept else self.epochs

    def view_epoch(self, epoch: int) -> int:
        """Return the epoch whose views an epoch has."""
        return epoch % self.views_kept if self.views_kept else epoch

    @property
    def stream_facts(self) -> tuple[Any, ...]:
        """All that decides the stream of batches and of teacher outputs, besides examples and seeds."""
        more: tuple[Any, ...] = (self.unlabelled,) if self.unlabelled else ()
        if self.views_kept or self.top_k or self.bits:
            more = (self.unlabelled, self.views_kept, self.top_k, self.bits)
        more += ("balanced",) if self.balanced else ()
        return self.batch_size, self.steps, self.steps_per_epoch, self.views, self.pad, *more

    @property
    def view_spec(self) -> Views:
        """The augmentation."""
        return Views.read(self.views, self.pad)

    @property
    def val_epochs(self) -> tuple[int, ...]:
        """Epochs (from 1) after which the network is validated: about eight, evenly spread, with the last."""
        points = min(VALIDATIONS, self.epochs)
        return tuple(sorted({math.ceil(self.epochs * (i + 1) / points) for i in range(points)}))

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        steps = self.schedule_steps or self.steps
        warm = int(self.warmup * steps)
        if step < warm:
            return self.lr * (step + 1) / warm
        share = (step - warm) / max(1, steps - warm)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * share))
        if self.schedule == "step":
            return self.lr * 0.1 ** sum(share >= milestone for milestone in self.milestones)
        return self.lr

    def as_dict(self) -> JsonObject:
        """Return a JSON form.

        Keys that are younger than some studies are left out at their defaults, so runs keep their ids.
        """
        values = asdict(self) | {"milestones": list(self.milestones)}
        for key in ("memory_format", "compile"):
            if values[key] == getattr(DEFAULT_NUMERICS, key):
                del values[key]
        if self.views_kept >= self.epochs:  # more than there are epochs limit nothing
            values["views_kept"] = 0
        for key in _LEFT_OUT_AT_ZERO:
            if not values[key]:
                del values[key]
        return values

    @classmethod
    def from_dict(cls, values: JsonObject) -> ResolvedRecipe:
        """Return the recipe of a JSON form."""
        return cls(**{**values, "milestones": tuple(values["milestones"])})


def images_per_step(recipe: JsonObject) -> int:
    """Return the images of a batch, unlabelled ones included, under a recipe in its JSON form.

    Example:
        >>> images_per_step({"batch_size": 64, "unlabelled": 128}), images_per_step({"batch_size": 64})
        (192, 64)
    """
    return int(recipe["batch_size"]) + int(recipe.get("unlabelled", 0))
