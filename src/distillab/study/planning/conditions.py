"""Condition: one combination of factor levels under one seed, and the image sets it makes, by role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import (
    ApplyFactor,
    Factor,
    FactorContext,
    Level,
    Manipulation,
    Role,
    apply_chain,
    apply_factor,
    factors,
    generator,
)
from distillab.factors.factor import Probabilities
from distillab.modalities import modality_of
from distillab.study.job_parts import ConditionSpec, FactorSpec

PRIMARY = "test"  # the test set that conclusions rest on
TeacherProbabilities = Callable[[Examples], Probabilities]


@dataclass(frozen=True)
class Condition:
    """Factors at one level each, in written order, and the seed of their draws."""

    chain: tuple[Factor, ...]
    seed: int

    @property
    def levels(self) -> dict[str, Level]:
        """Level by factor name."""
        return {factor.name: factor.level for factor in self.chain}

    def written(self) -> ConditionSpec:
        """Return the condition as jobs and ledgers hold it."""
        return ConditionSpec(tuple(_written(factor) for factor in self.chain), self.seed)

    @classmethod
    def read(cls, spec: ConditionSpec) -> Condition:
        """Return the condition that :meth:`written` described."""
        chain = tuple(factors[each.name].model_validate(each.config) for each in spec.chain)
        return cls(chain, spec.seed)


@lru_cache(maxsize=256)
def _written(factor: Factor) -> FactorSpec:
    """Return a factor as jobs hold it; the conditions of a study share few of them."""
    return FactorSpec(factor.name, factor.model_dump(mode="json"))


@dataclass(frozen=True, eq=False)
class Roles:
    """The image sets of a condition. ``teacher`` is the training set by provenance (``full``, ``same``), and
    ``self`` that of a student which is to teach its like.

    ``transfer`` holds the unlabelled images as well, if there are any. ``checks`` are the measured
    manipulations; conclusions need all of them to have passed.
    """

    transfer: Examples
    teacher: Mapping[str, Examples]
    val: Examples
    eval: Mapping[str, Examples]
    checks: tuple[Manipulation, ...]

    @property
    def failed_checks(self) -> tuple[Manipulation, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def tests_of_teacher(self, dataset: Dataset, train: Examples) -> tuple[Examples, Mapping[str, Examples]]:
        """The val and test sets of a teacher that learns from ``train``: the sets as they were read, so that
        one teacher serves every condition, unless it learns other classes, or images of another shape."""
        if train.classes == dataset.classes and train.shape == dataset.train.shape:
            return dataset.val, dataset.eval
        return _whole(self.val), {name: _whole(images) for name, images in self.eval.items()}


class Conditions:
    """Makes the image sets of a dataset's conditions.

    Args:
        dataset: the data as they were read.
        step: how a factor is applied; the planner gives one that remembers what conditions have in common.
        teacher: what the study's teacher says about images, if its weights were given.
    """

    def __init__(
        self, dataset: Dataset, step: ApplyFactor = apply_factor, teacher: TeacherProbabilities | None = None
    ) -> None:
        self.dataset, self.step, self.teacher = dataset, step, teacher

    def roles(self, condition: Condition) -> Roles:
        """Apply a condition's factors to the roles they name. No pixel is copied.

        Raises:
            RequestError: a level that the data cannot reach, or roles that do not fit each other.
        """
        chain, seed, read = condition.chain, condition.seed, self.dataset
        checks: list[Manipulation] = []

        def role(images: Examples, name: Role, factors: Sequence[Factor] = chain) -> Examples:
            made, measured = apply_chain(images, factors, name, seed, self.step, self.context(name))
            checks.extend(measured)
            return made

        transfer = role(read.train, "transfer")
        own = any("teacher" in factor.roles for factor in chain)
        same = self._same(chain, seed) if own else transfer
        val = role(read.val, "val")
        tests = dict(read.eval)
        for factor in chain:  # a test set that one adds is changed by those after it
            tests = {name: role(images, "eval", [factor]) for name, images in tests.items()}
            tests |= factor.extra_evals(tests[PRIMARY], generator(factor, seed), self.context("eval"))
        full = role(read.train, "teacher")
        _must_fit(transfer, {"val": val, **tests})
        teacher = {"full": _whole(full), "same": _taught(same), "self": _taught(transfer)}
        return Roles(transfer, teacher, val, tests, tuple(checks))

    def context(self, role: Role) -> FactorContext:
        """What surrounds the images of a role."""
        return FactorContext(self.dataset, role, self.teacher)

    def _same(self, chain: Sequence[Factor], seed: int) -> Examples:
        """What a teacher of provenance ``same`` learns from: the transfer data, and whatever else is done to
        the teacher's role alone, in the written order."""
        train = self.dataset.train
        for factor in chain:
            applied = [name for name in ("transfer", "teacher") if name in factor.roles]
            if applied:
                name = cast(Role, applied[0])
                train, _ = apply_chain(train, [factor], name, seed, self.step, self.context(name))
        return train


def _whole(images: Examples) -> Examples:
    """Images as a teacher sees them. A set that no lens covers stays the same object."""
    return images if images.student_transform is None else replace(images, student_transform=None)


def _taught(images: Examples) -> Examples:
    """What a teacher can learn from: images with labels, as they are."""
    labelled = images.labelled
    return _whole(images if labelled.all() else images.select(labelled))


def _must_fit(transfer: Examples, others: Mapping[str, Examples]) -> None:
    """Raise RequestError unless a student of the transfer images can be tested on the other sets."""
    for name, images in others.items():
        what = None
        if images.classes != transfer.classes:
            what = f"{len(images.classes)} classes, and the transfer images {len(transfer.classes)}"
        elif images.student_shape != transfer.student_shape:
            what = f"images of {_size(images)}, and the transfer set of {_size(transfer)}"
        if what:
            raise RequestError(
                f"the {name} set has {what}",
                where="factors",
                allowed="`roles: [transfer, val, eval]` for a factor that changes classes or resolution",
            )


def _size(images: Examples) -> str:
    return modality_of(images).describe(images.student_shape)
