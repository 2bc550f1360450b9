"""The contract of a factor: one property of a dataset, set to a level, with its strength measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from distillab.config import PublicConfig
from distillab.data.boxes import Boxes
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.data.targets import Identities, Labels, LabelSets, Targets
from distillab.data.tracks import Tracks
from distillab.errors import RequestError
from distillab.registry import Registry

_TASKS: dict[type[Targets], str] = {
    Labels: "classification",
    LabelSets: "multilabel",
    Boxes: "detection",
    Tracks: "tracking",
}
"""The kinds of targets, and the usual task of each, for messages."""

Role = Literal["teacher", "transfer", "val", "eval"]
Level = float | str
Configuration = Mapping[str, object]
"""The keys of a factor with their values, as a study writes them."""
Aspect = Literal["selection", "labels", "pixels", "classes", "images"]
Amount = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FactorContext:
    """The dataset around the examples that a factor changes, which it may read and take examples from.

    Attributes:
        dataset: All splits as they were read, and the other datasets that the study names.
        role: The role of the examples that are being changed.
        teacher: Returns the probabilities of the study's teacher, float32 ``[N, teacher's classes]``; None
            unless its weights were given, so that they exist before anything is trained.

    Example:
        >>> from distillab.data.dataset import DataReport
        >>> examples = Examples.of(np.zeros((4, 1, 4, 4), np.uint8), [0, 1, 0, 1], ("a", "b"))
        >>> dataset = Dataset("blank", examples, examples, {"test": examples}, DataReport())
        >>> FactorContext(dataset, role="val").role
        'val'
    """

    dataset: Dataset
    role: Role = "transfer"
    teacher: Callable[[Examples], Probabilities] | None = None


@dataclass(frozen=True)
class Manipulation:
    """A manipulation check: the requested strength of a factor, and the strength measured in the data.

    Attributes:
        factor: The factor's registered name.
        measure: The quantity measured, such as ``"examples per class"`` or ``"share of labels changed"``.
        requested: The value of that quantity that the level stands for.
        measured: Its value in the data after the factor.
        tolerance: The largest accepted absolute difference.
        note: Further measurements, for the reader.

    Example:
        >>> check = Manipulation("size", "examples per class", requested=25, measured=24, tolerance=0)
        >>> check.passed
        False
    """

    factor: str
    measure: str
    requested: float
    measured: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the data have the requested strength. No conclusion rests on a condition that fails."""
        return bool(abs(self.requested - self.measured) <= self.tolerance)


class Factor(PublicConfig, ABC):
    """Base class of factors: one level of one factor, a frozen configuration that changes a set of examples.

    A subclass lives in a file of its own, is registered with ``@factor("name")``, and states in the first
    line of its docstring what a level means. ``apply`` draws from ``rng`` only numbers that do not depend on
    the level (normally one key for :func:`distillab.data.randomness.uniform`), so that the levels of one seed
    are nested. A level is a number, or a name where levels have no order (``level`` is then a ``Literal``).

    Attributes:
        name: The registered name (class attribute, as are the next seven).
        examples: Valid configurations for any balanced set of at least 3 classes of at least 20 images, at
            least one per kind of the factor. Those that differ in level alone are in order of increasing
            strength: each leaves unchanged a subset of the examples that the previous one leaves unchanged.
        changes: The aspects of a set that the factor may change: which examples are there (``selection``),
            their ``labels``, their ``pixels``, which ``classes`` there are, and whether ``images`` are added.
            All other aspects stay as they are.
        nested: Whether levels are nested. They are not where a level exchanges some examples for others.
        needs_context: Whether the factor reads more than the examples it changes.
        takes_unlabelled: Whether the factor accepts examples without labels.
        references: Levels without the manipulation, or of neutral strength; a study compares the gains at
            other levels with the gain at such a level, or at its first level if it has none of these.
        kinds_of_targets: The kinds of targets that the factor accepts with these settings; by default one
            class per example.
        kinds_of_items: The modalities that the factor accepts with these settings, or None for all.
        level: The level.
        roles: The roles that the factor changes.

    Example:
        >>> from distillab.factors import Size
        >>> size = Size(level=25)
        >>> size.name, size.level, size.roles
        ('size', 25.0, ('transfer',))
        >>> size.description
        '25 examples per class'
    """

    name: ClassVar[str]
    examples: ClassVar[tuple[Configuration, ...]] = ()
    changes: ClassVar[frozenset[Aspect]] = frozenset({"selection"})
    nested: ClassVar[bool] = True
    needs_context: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False
    references: ClassVar[tuple[Level, ...]] = ()

    level: Amount | str
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("transfer",)

    @field_validator("roles")
    @classmethod
    def _named_once(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        if len(set(roles)) < len(roles):
            raise ValueError(f"a role is named twice in {', '.join(roles)}")
        return roles

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        """The kinds of targets that the factor accepts with these settings."""
        return (Labels,)

    @property
    def kinds_of_items(self) -> tuple[str, ...] | None:
        """The modalities that the factor accepts with these settings, or None for all."""
        return None

    @property
    def other_dataset(self) -> str | None:
        """The name of the other dataset of the study that the level takes examples from, if it names one."""
        return None

    def check_accepts(self, examples: Examples) -> None:
        """Raise RequestError unless the factor can change examples with these targets and this modality."""
        if not self.takes_unlabelled and not examples.labelled.all():
            raise RequestError(
                f"factor {self.name} cannot change examples without labels",
                where="factors",
                allowed="factors that add unlabelled examples written last",
            )
        if not isinstance(examples.targets, self.kinds_of_targets):
            raise RequestError(
                f"factor {self.name} ({self.description}) needs one class per example, and these have"
                f" {examples.targets.kind} (task: {_TASKS[type(examples.targets)]})",
                where=f"factors.{self.name}",
                allowed=", ".join(_accepting(type(examples.targets))),
            )
        if isinstance(examples.targets, Identities) and self.changes & {"classes", "labels"}:
            raise RequestError(
                f"factor {self.name} ({self.description}) cannot change identities that are not trained on",
                where=f"factors.{self.name}",
                allowed="roles without eval, or another factor",
            )
        if examples.parts is not None and self.changes & {"pixels", "images"}:
            raise RequestError(
                f"factor {self.name} ({self.description}) cannot change examples of several parts",
                where=f"factors.{self.name}",
                allowed="`vote: false`, or a factor that chooses or relabels examples",
            )
        if self.kinds_of_items is not None and examples.modality not in self.kinds_of_items:
            raise RequestError(
                f"factor {self.name} ({self.description}) cannot change examples of modality"
                f" {examples.modality}",
                where=f"factors.{self.name}",
                allowed=f"modality {' or '.join(self.kinds_of_items)}",
            )

    @property
    def phrase(self) -> str:
        """Description of a level with these settings, ``{}`` in place of the level: ``label noise {}``."""
        return f"{self.name.replace('_', ' ')} {{}}"

    @property
    def description(self) -> str:
        """Description of this level: ``label noise 0.4``."""
        return self.phrase.format(level_text(self.level))

    @abstractmethod
    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the manipulated set.

        Raises:
            RequestError: The data cannot reach the level; the message gives the highest level they can reach.
        """

    def extra_evals(
        self, test: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Mapping[str, Examples]:
        """Return the test sets that this level adds, by name, made from the primary test set."""
        return {}

    def require_context(self, context: FactorContext | None) -> FactorContext:
        """Return the context. Raises RequestError if there is none."""
        if context is None:
            raise RequestError(f"factor {self.name} needs the dataset around the examples")
        return context

    @abstractmethod
    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the strength of the manipulation in the data."""


class NetworkFactor(Factor):
    """Base class of factors of the networks, such as their length of training. The data stay as they are.

    Attributes:
        roles: The networks that vary: ``transfer`` for the students, ``teacher`` for a teacher that is
            trained in the study.
    """

    changes: ClassVar[frozenset[Aspect]] = frozenset()
    takes_unlabelled: ClassVar[bool] = True

    roles: Annotated[tuple[Literal["transfer", "teacher"], ...], Field(min_length=1)] = ("transfer",)

    @property
    def kinds_of_targets(self) -> tuple[type[Targets], ...]:
        """The kinds of targets that the factor accepts: all."""
        return tuple(_TASKS)

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return the examples, unchanged."""
        return examples

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure that no example was changed."""
        changed = float(before.digest != after.digest)
        return Manipulation(self.name, "sets of examples changed", 0.0, changed, 0.0)


def _accepting(kind: type[Targets]) -> list[str]:
    """Return the names of factors that accept a kind of targets, at least with some settings."""
    return [
        name
        for name in factors
        if any(kind in factors[name].model_validate(each).kinds_of_targets for each in factors[name].examples)
    ]


def level_text(level: Level) -> str:
    """Return a level as a study writes it.

    Example:
        >>> level_text(400.0), level_text(0.25), level_text("fine")
        ('400', '0.25', 'fine')
    """
    return level if isinstance(level, str) else f"{level:g}"


factors: Registry[type[Factor]] = Registry("factor")


def factor(name: str) -> Callable[[type[Factor]], type[Factor]]:
    """Return a class decorator that registers a factor under ``name``.

    Example:
        >>> from distillab.factors import Size
        >>> factors["size"] is Size
        True
    """

    def register(cls: type[Factor]) -> type[Factor]:
        cls.name = name
        return factors.register(name)(cls)

    return register
