"""TuneSpec: the settings that a study tries for every method before it compares them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from distillab.canonical import spec_id
from distillab.config import NumericConfig
from distillab.errors import RequestError, unknown_name
from distillab.methods import MethodSpec
from distillab.study.spec.method_entries import canonical_method
from distillab.study.trial import Setting

FIRST_SEED = 1_000_000
"""The first seed of tuning, unless the study has seeds as large."""
MOST_SETTINGS = 10_000  # of one method
SHARED = ("lr", "length", "weight_decay")
_DIGITS = 3  # of values between those that were written

Axes = dict[str, tuple[Any, ...]]
GridPoint = tuple[Any, ...]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TuneSpec(NumericConfig):
    """Tuning of every method at an equal budget, before methods are compared.

    Attributes:
        lr: Learning rates to try; by default that of the recipe alone.
        length: Numbers of steps to try, in multiples of the recipe's.
        weight_decay: Weight decays to try.
        methods: For each method, values of its own keys to try. A method is named as under ``methods``: by
            its name, or by its label (``kd(temperature=2)``) if there are several of that name. Keys of a sum
            have the name of their part before a dot.
        budget: The number of settings that are tried for each method, at least 2: the default setting is one
            of them.
        on: The examples that decide: ``val``.
        seeds: The number of runs of each setting, each with a seed of its own.
        per: ``condition`` to choose a setting for each condition, ``study`` to choose one for all conditions.
        default_runs: Whether the study is run at default settings as well.
        finalists: How many methods, those with the best scores on the validation set at their chosen
            settings, are compared with the plain student; by default all. Of several students, the methods
            of all are ranked together, and a student without a finalist is left out.

    Raises:
        ValueError: A value is not accepted.

    Example:
        >>> tune = TuneSpec(lr=[0.02, 0.1], methods={"kd": {"temperature": [2, 8]}}, budget=4)
        >>> tune.seed_list([0, 1, 2])
        (1000000, 1000001)
    """

    lr: tuple[PositiveNumber, ...] = ()
    length: tuple[PositiveNumber, ...] = ()
    weight_decay: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = ()
    methods: Mapping[str, Mapping[str, tuple[Any, ...]]] = Field(default_factory=dict)
    budget: int = Field(ge=2)
    on: Literal["val"] = "val"
    seeds: int = Field(default=2, ge=1)
    per: Literal["condition", "study"] = "condition"
    default_runs: bool = True
    finalists: int | None = Field(default=None, ge=1)

    @field_validator("lr", "length", "weight_decay", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)

    @field_validator("lr", "length", "weight_decay")
    @classmethod
    def _each_once(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("methods", mode="before")
    @classmethod
    def _lists_of_values(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        found = {}
        for name, keys in value.items():
            for canonical, own in canonical_method({name: keys}).items():
                if isinstance(own, Mapping):
                    own = {
                        key: each if isinstance(each, list | tuple) else [each] for key, each in own.items()
                    }
                found[canonical] = own
        return found

    @field_validator("on", mode="before")
    @classmethod
    def _val_alone(cls, value: Any) -> Any:
        if value in ("test", "eval"):
            raise ValueError(
                "settings that are chosen on the test set make gains on it look larger than they are: use val"
            )
        return value

    @model_validator(mode="after")
    def _something_to_tune(self) -> TuneSpec:
        if not any((self.lr, self.length, self.weight_decay, self.methods)):
            raise ValueError("nothing to tune: name values of lr, length, weight_decay, or keys of methods")
        if self.finalists is not None and self.default_runs:
            raise ValueError("`finalists` needs `default_runs: false`: default runs are those of all methods")
        return self

    @property
    def per_condition(self) -> bool:
        """Whether each condition has a setting of its own."""
        return self.per == "condition"

    def seed_list(self, seeds: Iterable[int]) -> tuple[int, ...]:
        """Return the seeds of tuning: none of ``seeds``, those of the comparison."""
        first = max(FIRST_SEED, max(seeds) + 1)
        return tuple(range(first, first + self.seeds))

    def keys_of(self, method: MethodSpec) -> Mapping[str, tuple[Any, ...]]:
        """Return the values of a method's own keys to try."""
        written = self.methods.get(method.label, self.methods.get(method.name, {}))
        return {method.canonical_key(key): values for key, values in written.items()}

    def checked(self, methods: list[MethodSpec]) -> list[MethodSpec]:
        """Return the methods of a study. Raises RequestError unless every name, key and value to tune is one
        of theirs."""
        known = {method.label for method in methods} | {method.name for method in methods}
        for name in self.methods:
            if name not in known:
                raise unknown_name("method", name, known, where="tune.methods")
        for method in methods:
            self.variants(method)
        return methods

    def variants(self, method: MethodSpec) -> list[MethodSpec]:
        """Return a method with each value of its own keys, one at a time. Raises RequestError."""
        found = []
        place = method.label if method.label in self.methods else method.name
        for key, values in self.keys_of(method).items():
            where = f"tune.methods.{place}.{key}"
            if not values:
                raise RequestError("no value is given", where=where, allowed="a list of values")
            for value in values:
                changed = method.varied({key: value}, f"tune.methods.{place}")
                if changed.requirements != method.requirements:
                    raise RequestError(
                        f"with {value!r} the method uses other outputs of the networks",
                        where=where,
                        allowed="a method of its own under `methods`",
                    )
                found.append(changed)
        return found


def steps_of(length: float, steps: int) -> int:
    """Return the number of steps of a length, a multiple of those of the recipe: at least 1."""
    return max(1, round(length * steps))


class Designer:
    """The settings that are tried for each method: as many for one as for another.

    The settings of a method are the grid of all values, its default setting first. If the grid is larger than
    the budget, settings are taken so that the values of every key occur about equally often: those of a
    smaller budget are among those of a larger one. If it is smaller, values between those written for
    ``lr``, ``length`` and ``weight_decay``, halfway on a logarithmic scale, are added for this method. The
    budget is at most the size of the largest grid. Lengths of the same number of steps count as one.

    Args:
        tune: What to tune.
        methods: The methods of the study.
    """

    def __init__(self, tune: TuneSpec, methods: Sequence[MethodSpec]) -> None:
        self.tune, self.methods = tune, methods

    def settings(self, lr: float, weight_decay: float, steps: int) -> dict[str, tuple[Setting, ...]]:
        """Return the settings of every method by its label, the default setting first.

        Args:
            lr: The learning rate of the recipe.
            weight_decay: Its weight decay.
            steps: Its number of steps.

        Raises:
            RequestError: The methods cannot have equal numbers of settings, or there are too many.
        """
        shared = {"lr": lr, "length": 1.0, "weight_decay": weight_decay}
        grids = {method.label: _Grid.of(self.tune, method, shared, steps) for method in self.methods}
        most = min(self.tune.budget, max(len(grid.points) for grid in grids.values()))
        return {label: grid.settings(most, label) for label, grid in grids.items()}


class _Grid:
    """All combinations of some values that make different runs, the default one first.

    Args:
        axes: The values of each key, those of ``SHARED`` first.
        default: The default value of each key.
        steps: The number of steps of the recipe.
    """

    def __init__(self, axes: Axes, default: GridPoint, steps: int) -> None:
        self.axes, self.default, self.steps = axes, default, steps
        size = math.prod(map(len, axes.values()))
        if size > MOST_SETTINGS:
            raise RequestError(
                f"the values of one method make {size:,} settings",
                where="tune",
                allowed=f"at most {MOST_SETTINGS:,}",
            )
        runs: dict[GridPoint, GridPoint] = {}
        for point in (default, *itertools.product(*axes.values())):
            runs.setdefault(self.run_of(point), point)
        self.points = list(runs.values())

    def run_of(self, point: GridPoint) -> GridPoint:
        """Return a point with the number of steps in place of its length: equal ones are one run."""
        lr, length, *others = point
        return (lr, steps_of(length, self.steps), *others)

    @classmethod
    def of(cls, tune: TuneSpec, method: MethodSpec, shared: Mapping[str, float], steps: int) -> _Grid:
        written: dict[str, tuple[float, ...]] = {name: getattr(tune, name) for name in SHARED}
        axes: Axes = {name: written[name] or (shared[name],) for name in SHARED}
        own, defaults = tune.keys_of(method), method.settings
        for key, values in own.items():
            changed = [method.varied({key: value}, "tune.methods").settings[key] for value in values]
            axes[key] = tuple(_hashable(each) for each in changed)
        default = (*(shared[name] for name in SHARED), *(_hashable(defaults[key]) for key in own))
        return cls(axes, default, steps)

    def settings(self, number: int, label: str) -> tuple[Setting, ...]:
        taken = _spread(self.points, number)
        if len(taken) < number:
            known = set(map(self.run_of, taken))
            refined = self._refined(number, label).points
            more = [point for point in refined if self.run_of(point) not in known]
            taken = _spread([*taken, *more], number, given=len(taken))
        keys = list(self.axes)[len(SHARED) :]
        return tuple(
            Setting(lr, length, weight_decay, dict(zip(keys, own, strict=True)))
            for lr, length, weight_decay, *own in taken
        )

    def _refined(self, number: int, label: str) -> _Grid:
        """Return a grid of at least so many points: values are added between those of the shared keys."""
        axes, grid = dict(self.axes), self
        for place, name in enumerate(SHARED):
            axes[name] = tuple(dict.fromkeys((*axes[name], self.default[place])))
        while len(grid.points) < number:
            before = len(grid.points)
            for name in SHARED:
                axes[name] = _with_middle(axes[name], self.steps if name == "length" else None)
                grid = _Grid(axes, self.default, self.steps)
                if len(grid.points) >= number:
                    return grid
            if len(grid.points) == before:
                raise RequestError(
                    f"{label} has {len(self.points)} settings to try, and another method has {number} or "
                    "more: equal numbers are needed",
                    where="tune",
                    allowed=f"two values of lr or length, which others lie between, or budget: "
                    f"{len(self.points)}",
                )
        return grid


def _hashable(value: Any) -> Any:
    return tuple(_hashable(each) for each in value) if isinstance(value, list) else value


def _with_middle(values: tuple[float, ...], steps: int | None = None) -> tuple[float, ...]:
    """Return values with the one in the middle of their widest gap (by ratio), if there is one.

    Args:
        values: The values.
        steps: The number of steps of the recipe, if values are lengths.
    """
    positive = sorted(value for value in values if value > 0)
    gaps = sorted(itertools.pairwise(positive), key=lambda gap: gap[1] / gap[0], reverse=True)
    for low, high in gaps:
        middle = float(f"{math.sqrt(low * high):.{_DIGITS}g}")
        if steps and steps_of(middle, steps) in {steps_of(value, steps) for value in values}:
            continue
        if middle not in values:
            return (*values, middle)
    return values


def _spread(points: Sequence[GridPoint], number: int, *, given: int = 1) -> list[GridPoint]:
    """Return some points: the first ``given`` ones, and others such that the values of each axis occur about
    equally often. Ties are broken by the content of the points, so that nothing but the grid decides."""
    taken, left = list(points[:given]), list(points[given:])
    order = {point: spec_id(list(point)) for point in left}
    counts: dict[tuple[int, Any], int] = {}

    def take(point: GridPoint) -> None:
        for axis in enumerate(point):
            counts[axis] = counts.get(axis, 0) + 1

    def often(point: GridPoint) -> int:
        return sum(counts.get(axis, 0) for axis in enumerate(point))

    for point in taken:
        take(point)
    while left and len(taken) < number:
        best = min(left, key=lambda point: (often(point), order[point]))
        left.remove(best)
        taken.append(best)
        take(best)
    return taken[:number]
