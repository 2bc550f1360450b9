"""Recipes: how a network is trained. ``auto`` values are resolved from the size of the data and printed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from distillab.data.examples import Examples
from distillab.modalities import modality_of
from distillab.modalities.views import Views, WrittenViews, canonical_views
from distillab.training.numerics.config import MemoryFormat, NumericsConfig, Precision

Auto = Literal["auto"]

# Small data need patience (Beyer et al. 2022): auto trains at least this many steps whatever the size ...
AUTO_STEPS = 800
# ... and at least this many passes, so that no large set is left half seen.
AUTO_EPOCHS = 10
VAL_LOOKS = 8

USUAL = NumericsConfig()


class Recipe(BaseModel):
    """What a study file may say about training.

    Length is ``epochs`` or ``steps``, not both; neither means ``auto``: 800 steps, or 10 epochs if that is
    more. ``batch_size: auto`` is 64, or less for sets under 640 images. ``lr: auto`` is 0.05 at 64 images a
    batch for SGD, scaled with the square root of the batch (0.001 for AdamW). ``precision``,
    ``memory_format`` and ``compile`` are ``auto`` for what a timed trial finds fastest
    (:func:`distillab.training.numerics.selection.choose`). ``views`` is a kind (``none``, ``flip``, ``crop``,
    ``crop_flip``) or a list of operations, in order (``modalities.views``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: float | Auto = Field(default="auto")
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0, allow_inf_nan=False)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: tuple[float, ...] = (0.625, 0.75, 0.875)  # shares of training: 150, 180, 210 of 240 epochs
    warmup: float = Field(default=0.0, ge=0, lt=1)
    epochs: int | Auto | None = None
    steps: int | None = Field(default=None, ge=1)
    batch_size: int | Auto = "auto"
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

    def numerics(self, chosen: NumericsConfig) -> NumericsConfig:
        """``chosen``, with what the recipe names laid over it."""
        return NumericsConfig(
            chosen.precision if self.precision == "auto" else self.precision,
            chosen.memory_format if self.memory_format == "auto" else self.memory_format,
            chosen.compile if self.compile == "auto" else self.compile,
        )

    def resolve(self, train: Examples, chosen: NumericsConfig = USUAL) -> ResolvedRecipe:
        """The recipe for a training set, every value fixed; ``chosen`` is the arithmetic where it is auto."""
        n = len(train)
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
        used = self.numerics(chosen)
        views = modality_of(train).views(self.views, train.shape)
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
            precision=used.precision,
            memory_format=used.memory_format,
            compile=used.compile,
        )


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe with every value fixed: what enters a run's id and what the trainer follows."""

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

    @property
    def epochs(self) -> int:
        """Epochs begun: the last one may be cut short by ``steps``."""
        return math.ceil(self.steps / self.steps_per_epoch)

    @property
    def stream_facts(self) -> tuple[Any, ...]:
        """What the stream of batches follows from, besides images and seeds."""
        return self.batch_size, self.steps, self.steps_per_epoch, self.views, self.pad

    @property
    def view_spec(self) -> Views:
        return Views.read(self.views, self.pad)

    @property
    def val_epochs(self) -> tuple[int, ...]:
        """Epochs (1-based) after which val is looked at: about eight, evenly spread, the last among them."""
        looks = min(VAL_LOOKS, self.epochs)
        return tuple(sorted({math.ceil(self.epochs * (i + 1) / looks) for i in range(looks)}))

    def lr_at(self, step: int) -> float:
        """Learning rate of a 0-based step."""
        warm = int(self.warmup * self.steps)
        if step < warm:
            return self.lr * (step + 1) / warm
        share = (step - warm) / max(1, self.steps - warm)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * share))
        if self.schedule == "step":
            return self.lr * 0.1 ** sum(share >= milestone for milestone in self.milestones)
        return self.lr

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able form, from which :meth:`from_dict` makes the recipe again. Keys that are younger than
        some studies are left out at their defaults: runs keep the ids that they had before."""
        values = asdict(self) | {"milestones": list(self.milestones)}
        for key in ("memory_format", "compile"):
            if values[key] == getattr(USUAL, key):
                del values[key]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ResolvedRecipe:
        return cls(**(values | {"milestones": tuple(values["milestones"])}))
