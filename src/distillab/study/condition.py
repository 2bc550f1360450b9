"""Condition: one combination of factor levels under one seed, and the image sets it makes, by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from distillab.canonical import Canonical
from distillab.data.dataset import Dataset
from distillab.data.imageset import ImageSet
from distillab.factors import Factor, Level, Manipulation, Step, apply_chain, apply_factor, factors


@dataclass(frozen=True)
class Condition:
    """Factors at one level each, in written order, and the seed of their draws."""

    chain: tuple[Factor, ...]
    seed: int

    @property
    def levels(self) -> dict[str, Level]:
        """Level by factor name."""
        return {factor.name: factor.level for factor in self.chain}

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {"chain": [_written(factor) for factor in self.chain], "seed": self.seed}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Condition:
        """The condition that :meth:`as_dict` described."""
        chain = tuple(factors[entry["name"]].model_validate(entry["config"]) for entry in values["chain"])
        return cls(chain, values["seed"])


@lru_cache(maxsize=256)
def _written(factor: Factor) -> Canonical:
    """A factor at its level in a JSON-able form; a study's conditions are made of few of them."""
    return Canonical({"name": factor.name, "config": factor.model_dump(mode="json")})


@dataclass(frozen=True, eq=False)
class Roles:
    """The image sets of a condition. ``teacher`` is the training set by provenance: ``full`` and ``same``.

    ``checks`` are the measured manipulations; conclusions need all of them to have passed.
    """

    transfer: ImageSet
    teacher: Mapping[str, ImageSet]
    val: ImageSet
    eval: Mapping[str, ImageSet]
    checks: tuple[Manipulation, ...]

    @property
    def failed_checks(self) -> tuple[Manipulation, ...]:
        return tuple(check for check in self.checks if not check.passed)


def make_roles(dataset: Dataset, condition: Condition, step: Step = apply_factor) -> Roles:
    """Apply a condition's factors to the roles they name. No pixel is copied.

    ``step`` is how a factor is applied; the planner gives one that remembers what conditions have in common.

    Raises:
        RequestError: a level that the data cannot reach.
    """
    chain, seed = condition.chain, condition.seed
    checks: list[Manipulation] = []

    def role(images: ImageSet, name: Any) -> ImageSet:
        made, measured = apply_chain(images, chain, name, seed, step)
        checks.extend(measured)
        return made

    transfer = role(dataset.train, "transfer")
    own = any("teacher" in factor.roles for factor in chain)
    return Roles(
        transfer=transfer,
        teacher={
            "full": role(dataset.train, "teacher"),
            "same": _same(dataset.train, chain, seed, step) if own else transfer,
        },
        val=role(dataset.val, "val"),
        eval={name: role(images, "eval") for name, images in dataset.eval.items()},
        checks=tuple(checks),
    )


def _same(train: ImageSet, chain: Sequence[Factor], seed: int, step: Step) -> ImageSet:
    """What a teacher of provenance ``same`` learns from: the transfer data, and whatever else is done to the
    teacher's role alone, in the written order."""
    for factor in chain:
        applied = [name for name in ("transfer", "teacher") if name in factor.roles]
        if applied:
            train, _ = apply_chain(train, [factor], applied[0], seed, step)
    return train
