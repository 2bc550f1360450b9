"""Conditions: factor levels under one seed, and the sets of examples that they produce, by role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

from distillab.data.dataset import Dataset
from distillab.data.derived import labelled_alone
from distillab.data.examples import Examples
from distillab.data.targets import Identities
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
"""A teacher's class probabilities for a set of examples."""


@dataclass(frozen=True)
class Condition:
    """One combination of factor levels under one seed.

    Attributes:
        chain: Factors at one level each, in written order.
        seed: Seed of their random draws.

    Example:
        >>> from distillab.factors import Size
        >>> condition = Condition((Size(level=25),), seed=3)
        >>> condition.levels, Condition.read(condition.written()) == condition
        ({'size': 25.0}, True)
    """

    chain: tuple[Factor, ...]
    seed: int

    @property
    def levels(self) -> dict[str, Level]:
        """The level of each factor, by name."""
        return {factor.name: factor.level for factor in self.chain}

    def written(self) -> ConditionSpec:
        """Return the condition as jobs and ledgers store it."""
        return ConditionSpec(tuple(_written(factor) for factor in self.chain), self.seed)

    @classmethod
    def read(cls, spec: ConditionSpec) -> Condition:
        """Return the condition that :meth:`written` described."""
        chain = tuple(factors[each.name].model_validate(each.config) for each in spec.chain)
        return cls(chain, spec.seed)


@lru_cache(maxsize=256)
def _written(factor: Factor) -> FactorSpec:
    """Return a factor as jobs store it. The conditions of a study share a few of them."""
    return FactorSpec(factor.name, factor.model_dump(mode="json"))


@dataclass(frozen=True, eq=False)
class Roles:
    """The sets of examples of a condition, by role.

    Attributes:
        transfer: What students are distilled on, with the unlabelled examples if there are any.
        teacher: Training sets of teachers: by provenance (``full``, ``same``), and ``self`` for a teacher of
            the student's own architecture.
        val: The validation set.
        eval: The test sets by name.
        read: The data before any factor, under the split of the condition's seed.
        checks: Manipulation checks. A condition supports conclusions only if all passed.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> roles = Conditions(load_dataset(Digits(classes=2))).roles(Condition((), seed=0))
        >>> sorted(roles.teacher), roles.failed_checks
        (['full', 'same', 'self'], ())
    """

    transfer: Examples
    teacher: Mapping[str, Examples]
    val: Examples
    eval: Mapping[str, Examples]
    read: Dataset
    checks: tuple[Manipulation, ...]

    @property
    def labelled(self) -> Examples:
        """The labelled examples of the transfer set: what plain students are trained on."""
        return labelled_alone(self.transfer)

    @property
    def failed_checks(self) -> tuple[Manipulation, ...]:
        """The manipulation checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def tests_of_teacher(self, train: Examples) -> tuple[Examples, Mapping[str, Examples]]:
        """Return the val and test sets of a teacher that learns from ``train``.

        They are the sets as they were read, so that one teacher serves all conditions, unless it learns other
        classes or examples of another shape.
        """
        if train.classes == self.read.classes and train.shape == self.read.train.shape:
            return self.read.val, self.read.eval
        return _whole(self.val), {name: _whole(images) for name, images in self.eval.items()}


class Conditions:
    """Produces the sets of a dataset's conditions.

    Args:
        dataset: The data as they were read.
        step: Applies one factor; a caching one computes what conditions share only once.
        teacher: Probabilities of the study's teacher, if its weights are given.
        read: Returns the data under the split of a seed; by default every seed has the split as read.

    Example:
        >>> from distillab.factors import Size
        >>> from distillab.sources.digits import Digits
        >>> from distillab.sources.ingest import load_dataset
        >>> conditions = Conditions(load_dataset(Digits(classes=2)))
        >>> conditions.roles(Condition((Size(level=5),), seed=0)).transfer.counts.tolist()
        [5, 5]
    """

    def __init__(
        self,
        dataset: Dataset,
        step: ApplyFactor = apply_factor,
        teacher: TeacherProbabilities | None = None,
        read: Callable[[int], Dataset] | None = None,
    ) -> None:
        self.dataset, self.step, self.teacher = dataset, step, teacher
        self.read = read or (lambda seed: dataset)

    def roles(self, condition: Condition) -> Roles:
        """Return the sets of a condition: each factor applied to the roles it names. No item is copied.

        Raises:
            RequestError: The data cannot reach a level, or the roles do not fit each other.
        """
        chain, seed = condition.chain, condition.seed
        read = self.read(seed)
        checks: list[Manipulation] = []

        def role(images: Examples, name: Role, factors: Sequence[Factor] = chain) -> Examples:
            made, measured = apply_chain(images, factors, name, seed, self.step, self.context(name, read))
            checks.extend(measured)
            return made

        transfer = role(read.train, "transfer")
        own = any("teacher" in factor.roles for factor in chain)
        same = self._same(chain, seed, read) if own else transfer
        val = role(read.val, "val")
        tests = dict(read.eval)
        for factor in chain:  # later factors also apply to the test sets that a factor adds
            tests = {name: role(images, "eval", [factor]) for name, images in tests.items()}
            tests |= factor.extra_evals(tests[PRIMARY], generator(factor, seed), self.context("eval", read))
        full = role(read.train, "teacher")
        _must_fit(transfer, {"val": val, **tests})
        teacher = {"full": _taught(full), "same": _taught(same), "self": _taught(transfer)}
        return Roles(transfer, teacher, val, tests, read, tuple(checks))

    def context(self, role: Role, read: Dataset | None = None) -> FactorContext:
        """Return the context that factors of a role may use, by default under the split as read."""
        return FactorContext(read or self.dataset, role, self.teacher)

    def _same(self, chain: Sequence[Factor], seed: int, read: Dataset) -> Examples:
        """Return the training set of a teacher of provenance ``same``: every factor of the transfer or the
        teacher role is applied, in written order."""
        train = read.train
        for factor in chain:
            applied = [name for name in ("transfer", "teacher") if name in factor.roles]
            if applied:
                name = cast(Role, applied[0])
                train, _ = apply_chain(train, [factor], name, seed, self.step, self.context(name, read))
        return train


def _whole(images: Examples) -> Examples:
    """Return examples without a student transform: the same object if there is none."""
    return images if images.student_transform is None else replace(images, student_transform=None)


def _taught(images: Examples) -> Examples:
    """Return what a teacher can learn from: labelled examples without a student transform."""
    return _whole(labelled_alone(images))


def _must_fit(transfer: Examples, others: Mapping[str, Examples]) -> None:
    """Raise RequestError unless a student of the transfer set can be tested on the other sets."""
    for name, images in others.items():
        what = None
        if images.classes != transfer.classes and not isinstance(images.targets, Identities):
            what = f"{len(images.classes)} classes, and the transfer set {len(transfer.classes)}"
        elif images.student_shape != transfer.student_shape:
            what = f"examples of {_size(images)}, and the transfer set of {_size(transfer)}"
        if what:
            raise RequestError(
                f"the {name} set has {what}",
                where="factors",
                allowed="`roles: [transfer, val, eval]` for a factor that changes classes or resolution",
            )


def _size(images: Examples) -> str:
    return modality_of(images).describe(images.student_shape)
