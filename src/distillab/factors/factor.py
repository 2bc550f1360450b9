"""The contract of a factor: one property of a dataset, set to a level, with its strength measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.registry import Registry

Role = Literal["teacher", "transfer", "val", "eval"]
Level = float | str
Change = Literal["selection", "labels", "pixels", "classes", "images"]
Amount = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FactorContext:
    """What surrounds the images that a factor changes: it may look at it, and take images from it.

    Attributes:
        dataset: all splits as they were read, and the other datasets that the study names.
        role: the role of the images that are being changed.
        teacher: the probabilities that the study's teacher gives images, float32 ``[N, its classes]``, if its
            weights were given and so are there before anything is trained.
    """

    dataset: Dataset
    role: Role = "transfer"
    teacher: Callable[[Examples], Probabilities] | None = None


@dataclass(frozen=True)
class Manipulation:
    """What was asked of a factor and what the data then measured.

    Attributes:
        factor: the factor's registered name.
        measure: what was measured, such as ``"images a class"`` or ``"share of changed labels"``.
        asked: the value of that measure that the level stands for.
        measured: its value in the data after the factor.
        tolerance: the largest accepted absolute difference.
        note: what else was measured, for the reader.
    """

    factor: str
    measure: str
    asked: float
    measured: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the data hold what was asked. A study draws no conclusion from a condition that fails."""
        return bool(abs(self.asked - self.measured) <= self.tolerance)


class Factor(BaseModel, ABC):
    """One level of one factor: a frozen configuration that turns an ImageSet into another.

    Subclasses live one a file, are registered with ``@factor("name")``, and state in their docstring what a
    level means. ``apply`` draws from ``rng`` only numbers that do not depend on the level (normally one key
    for :func:`distillab.data.randomness.uniform`), so that for one seed the levels are nested. A level is a
    number, or a name where levels have no order (then ``level`` is a ``Literal`` of names).

    Class attributes:
        name: the registered name.
        examples: valid configurations for any balanced set of at least 3 classes of at least 20 images, at
            least one for each kind the factor has. Those that differ in level alone stand in increasing
            strength: each leaves untouched a subset of the images that the one before leaves untouched.
        changes: what it may do to a set: leave images out (``selection``), give them other ``labels`` or
            ``pixels``, change which ``classes`` there are, or add ``images``. All else it leaves as it is.
        nested: whether levels are nested; not where a level swaps some images or classes for others.
        needs_scene: whether it looks at more than the images it changes.
        takes_unlabelled: whether it knows what to do with images without labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    examples: ClassVar[tuple[dict[str, Any], ...]] = ()
    changes: ClassVar[frozenset[Change]] = frozenset({"selection"})
    nested: ClassVar[bool] = True
    needs_context: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False

    level: Amount | str
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("transfer",)

    @field_validator("roles")
    @classmethod
    def _named_once(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        if len(set(roles)) < len(roles):
            raise ValueError(f"a role is named twice in {', '.join(roles)}")
        return roles

    @property
    def phrase(self) -> str:
        """How people call a level of this factor as it is set, ``{}`` being the level: ``label noise {}``."""
        return f"{self.name.replace('_', ' ')} {{}}"

    @property
    def words(self) -> str:
        """This level for people: ``label noise 0.4``."""
        return self.phrase.format(level_text(self.level))

    @abstractmethod
    def apply(
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """The manipulated set. Raises RequestError, saying the most the data can give, if it cannot be."""

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """Test sets that this level calls for, beside those there are, made from the primary one."""
        return {}

    def context_of(self, context: FactorContext | None) -> FactorContext:
        """The scene, for a factor that cannot do without. Raises RequestError if there is none."""
        if context is None:
            raise RequestError(f"factor {self.name} needs to know the dataset around the images")
        return context

    @abstractmethod
    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the strength of the manipulation in the data."""


def level_text(level: Level) -> str:
    """A level as it is written."""
    return level if isinstance(level, str) else f"{level:g}"


factors: Registry[type[Factor]] = Registry("factor")


def factor(name: str) -> Callable[[type[Factor]], type[Factor]]:
    """Class decorator that registers a factor under ``name``."""

    def enter(cls: type[Factor]) -> type[Factor]:
        cls.name = name
        return factors.register(name)(cls)

    return enter
