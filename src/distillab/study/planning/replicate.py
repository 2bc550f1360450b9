"""Replicate: a condition under a seed, with the facts of its sets that planning needs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from distillab.canonical import Canonical
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.errors import unknown_name
from distillab.factors import Manipulation, apply_factor
from distillab.study.design import CheckRecord, ConditionRecord
from distillab.study.job import TrainSet
from distillab.study.job_parts import RunSeeds, SetDigests
from distillab.study.planning.conditions import PRIMARY, Condition, Conditions, Roles
from distillab.study.planning.context import PlanContext
from distillab.study.planning.external_teacher import given_teacher
from distillab.study.planning.lengths import Lengths, taught_sets
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.study.planning.splits import SeedSplits
from distillab.study.spec.study import StudySpec

FACTORS_KEPT = 32  # applications of a factor: conditions next to each other share all but the last of them


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What planning needs to know of a set of examples, which is then let go.

    Attributes:
        n: Number of examples.
        shape: (channels, height, width) of an example.
        student_shape: The same as a student sees it.
        classes: Names of the classes.
    """

    n: int
    shape: tuple[int, int, int]
    student_shape: tuple[int, int, int]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, examples: Examples) -> SetFacts:
        """Return the facts of a set."""
        return cls(len(examples), examples.shape, examples.student_shape, examples.classes)


@dataclass(frozen=True, eq=False, slots=True)
class TeacherSet:
    """What a teacher learns from.

    Attributes:
        facts: The training set.
        digests: The training set and the sets that the teacher is tested on.
        recipe: What it is trained with.
    """

    facts: SetFacts
    digests: SetDigests
    recipe: PlannedRecipe


@dataclass(frozen=True, eq=False, slots=True)
class ReplicateSets:
    """The sets of a replicate, and what follows from them alone.

    Attributes:
        transfer: What students learn from.
        transfer_images: Content address of its images, without labels.
        labelled_images: Content address of which images are labelled; "" if all are.
        digests: What a student reads.
        labelled_digests: What a student reads that learns from labels alone.
        eval_images: Content addresses of the images of the test sets.
        n_eval: Images of all test sets together.
        teachers: What teachers learn from, by provenance, and ``self``.
        recipe: The recipe of the students.
        labelled_recipe: That of the students that learn from labels alone.
    """

    transfer: SetFacts
    transfer_images: str
    labelled_images: str
    digests: SetDigests
    labelled_digests: SetDigests
    eval_images: Mapping[str, str]
    n_eval: int
    teachers: Mapping[TrainSet, TeacherSet]
    recipe: PlannedRecipe
    labelled_recipe: PlannedRecipe


@dataclass(frozen=True, eq=False, slots=True)
class Replicate:
    """A condition under a seed: what does not depend on teacher, student and method.

    Attributes:
        record: The condition with its manipulation checks.
        number: The place of its seed among the study's.
        n_unlabelled: Transfer examples without labels.
        seeds: Those of the students.
        sets: The sets of examples; None if the condition is excluded.
        excluded: Why no conclusion may be drawn from the condition, or None.
    """

    record: ConditionRecord
    number: int
    n_unlabelled: int
    seeds: RunSeeds
    sets: ReplicateSets | None
    excluded: str | None


def expand(context: PlanContext, seeds: Sequence[int] | None = None) -> Iterator[Replicate]:
    """Make every replicate of a study, seeds in the outer loop: a study that is stopped half way then holds
    whole replicates of every condition.

    Args:
        context: The study on its data.
        seeds: The seeds; by default those of the study.

    Raises:
        RequestError: A level that the data cannot reach, roles that do not fit each other, a training set
            that cannot be the database of a task that searches one, or a declared contrast on a test set that
            there is not.
    """
    dataset, step = context.dataset, lru_cache(FACTORS_KEPT)(apply_factor)
    splits = SeedSplits(context.spec, dataset)
    conditions = Conditions(dataset, step, given_teacher(context.spec, dataset), splits.of_seed)
    tests = dict[str, None]()
    for number, seed in enumerate(context.spec.seed_list if seeds is None else seeds):
        for chain in itertools.product(*context.levels):
            condition = Condition(chain, seed)
            roles = conditions.roles(condition)
            tests |= dict.fromkeys(roles.eval)
            yield _replicate(context, condition, roles, number)
    _check_declared(context.spec, tests)


def _check_declared(spec: StudySpec, tests: Collection[str]) -> None:
    """Raise RequestError if a declared contrast names a further test set that no condition has."""
    further = [name for name in tests if name != PRIMARY]
    for number, entry in enumerate(spec.evidence.contrasts):
        name = (entry.metric or "").partition(".")[2]
        if tests and name and name not in further:
            raise unknown_name("test set", name, further, where=f"evidence.contrasts.{number}.metric")


def _replicate(context: PlanContext, condition: Condition, roles: Roles, number: int) -> Replicate:
    n_labelled = int(roles.transfer.labelled.sum())
    lengths = Lengths(context, condition)
    checks = lengths.replace_checks(roles)
    record = ConditionRecord(
        condition.written(),
        Canonical(condition.levels),
        n_labelled,
        _own_tests(roles.read, roles),
        _unequal_counts(roles.read, condition, roles),
        tuple(_check_record(check) for check in checks),
    )
    failed = next((check for check in checks if not check.passed), None)
    return Replicate(
        record=record,
        number=number,
        n_unlabelled=len(roles.transfer) - n_labelled,
        seeds=_student_seeds(context, condition.seed),
        sets=None if failed else _sets(context, roles, lengths),
        excluded=_reason(failed) if failed else None,
    )


def _reason(failed: Manipulation) -> str:
    return f"{failed.factor}: requested {failed.measure} {failed.requested:g}, measured {failed.measured:g}"


def _check_record(check: Manipulation) -> CheckRecord:
    return CheckRecord(
        check.factor,
        check.measure,
        check.requested,
        check.measured,
        check.tolerance,
        check.passed,
        check.note,
    )


def _own_tests(dataset: Dataset, roles: Roles) -> bool:
    """Return True if the test sets differ from those that were read."""
    read, made = dataset.eval, roles.eval
    return made.keys() != read.keys() or any(made[name] is not images for name, images in read.items())


def _unequal_counts(dataset: Dataset, condition: Condition, roles: Roles) -> tuple[int, ...] | None:
    """Return transfer examples per class if they are unequal on purpose or by nature; otherwise None.

    They are where ``imbalance`` set them, where another factor made them more than twice as unequal, and
    always for label sets, which are not balanced.
    """
    counts, before = roles.transfer.counts, dataset.train.counts
    ratio, was = (each.max() / max(each.min(), 1) for each in (counts, before))
    unequal = "imbalance" in condition.levels or not roles.transfer.targets.complete
    least = 1 if unequal else 2 * was
    return tuple(counts.tolist()) if ratio > least else None


def _student_seeds(context: PlanContext, replicate_seed: int) -> RunSeeds:
    seed, study = context.seed, context.spec.seed
    if context.spec.order == "shared":
        order = seed("student order", study, "shared")
    else:
        order = seed("student order", study, "", replicate_seed)
    return RunSeeds(seed("student init", study, "", replicate_seed), order, context.view_seed(replicate_seed))


def _sets(context: PlanContext, roles: Roles, lengths: Lengths) -> ReplicateSets:
    labelled = roles.labelled
    context.task.check_database(labelled.targets)
    recipe, of_labels = (lengths.of_students(each) for each in (roles.transfer, labelled))
    teachers: dict[TrainSet, TeacherSet] = {}
    for which in taught_sets(context):
        train = roles.teacher[which]
        digests = _digests(context, train, *roles.tests_of_teacher(train))
        own = of_labels if which == "self" else lengths.of_teacher(which, train)
        teachers[which] = TeacherSet(SetFacts.of(train), digests, own)
    return ReplicateSets(
        transfer=SetFacts.of(roles.transfer),
        transfer_images=roles.transfer.input_digest,
        labelled_images=roles.transfer.labelled_digest,
        digests=_digests(context, roles.transfer, roles.val, roles.eval),
        labelled_digests=_digests(context, labelled, roles.val, roles.eval),
        eval_images={name: images.input_digest for name, images in roles.eval.items()},
        n_eval=sum(len(images) for images in roles.eval.values()),
        teachers=teachers,
        recipe=recipe,
        labelled_recipe=of_labels,
    )


def _digests(
    context: PlanContext, train: Examples, val: Examples, evals: Mapping[str, Examples]
) -> SetDigests:
    tests = {name: images.digest for name, images in evals.items()}
    return context.digests(train.digest, val.digest, tests)
