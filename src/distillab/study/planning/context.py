"""PlanContext: the facts of a study on its data that all its conditions share."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from distillab.canonical import Canonical, seed_from, spec_id
from distillab.data.class_map import ClassMap, class_map, merges
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.data.targets import Identities
from distillab.errors import RequestError
from distillab.factors import Initialisation, LabelBudget, Role, Steps, TeacherAge, TeacherCapacity
from distillab.factors.factor import Level
from distillab.methods import MethodSpec
from distillab.methods.pair_defaults import pair_notes
from distillab.models import InputSpec, OutputShapes
from distillab.study.design import Levels
from distillab.study.job_parts import SetDigests
from distillab.study.planning.black_box_teacher import must_suit_black_box
from distillab.study.planning.costs import CostsOf, ModelCosts, check_pair, file_digest
from distillab.study.planning.dense_tasks import must_fit_task
from distillab.study.planning.planned_method import PlannedMethod, PlannedStage
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.study.planning.starts import Starts, kept_of_teacher, kept_stages_of
from distillab.study.planning.teacher_chain import (
    TeacherPart,
    generations_before,
    must_give_what_methods_need,
    must_have_momentum,
    teacher_chain,
)
from distillab.study.spec.starting import TEACHER, StageSpec
from distillab.study.spec.student import StudentEntry
from distillab.study.spec.student_methods import labels_of, stage_methods
from distillab.study.spec.study import DEFAULT_TASK, StudySpec
from distillab.study.spec.teacher import Provenance, TeacherSpec
from distillab.tasks import Task, Verification, tasks


class PlanContext:
    """What is the same for all conditions of a study, and results that they share.

    A plan can hold a hundred thousand runs, so each fact is computed and serialized once, at the level that
    it depends on: here the study, in a ``Replicate`` the condition and the seed, in a ``Pairing`` the
    provenance and the student.

    Attributes:
        spec: The study.
        dataset: Its data as they were read.
        task: What its networks are trained to predict.
        written_task: The same as it is written in jobs; None for classification, which is in no id.
        methods: Its methods, the plain student first.
        every_method: The same with those of the stages that students start from.
        methods_of: Those that a student is trained with.
        stages_of: The stages that a student starts from.
        kept: What a student keeps of a teacher's weights, in a few words.
        kept_stages: The first stages of a student, by their number.
        check_networks: Raises RequestError if a method that needs the teacher itself cannot serve a pair.
        levels: For each factor in written order, one instance per level.
        recipes: The recipe of the students (``student``), and of the teachers of each provenance.
        statistics: Means and standard deviations of the channels.
        normalization: Their content address.
        seed: A seed from the facts that it depends on.
        file_digest: The content address of a file.
        teachers: The teacher at each level of ``teacher_capacity``; empty without this factor.
        chain: The parts of a kind of teacher, for a provenance, a student and a level of
            ``teacher_capacity``.
        generations: The generations before a student.
        starts: The trained weights that networks start from.

    Raises:
        RequestError: The data do not hold what the task learns from, or a method cannot learn from several
            teachers.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, costs_of: CostsOf | None = None) -> None:
        self.spec, self.dataset, self.task = spec, dataset, spec.task_config()
        must_have_targets(dataset, self.task)
        self.written_task = None if self.task.name == DEFAULT_TASK else Canonical(self.task.as_dict())
        own_specs = spec.method_specs()
        method_specs = [*own_specs, *_stage_specs(spec, own_specs)]
        must_give_what_methods_need(spec.teacher, method_specs)
        must_have_momentum(method_specs, spec.recipe)
        self.levels = spec.factor_levels()
        must_suit_black_box(spec.teacher, method_specs, self.levels)
        self.every_method = [PlannedMethod.of(each, self.task) for each in method_specs]
        self.methods = self.every_method[: len(own_specs)]
        self.methods_of, self.stages_of = cache(self._methods_of), cache(self._stages_of)
        self.kept, self.check_networks = cache(kept_of_teacher), cache(self._check_networks)
        self.kept_stages = cache(kept_stages_of)
        tune = spec.tune
        tuned = [each for method in method_specs for each in tune.variants(method)] if tune else []
        self._checked_methods = [*method_specs, *tuned]
        self.recipes = {"student": spec.recipe} | {
            each: spec.teacher_recipe(each) for each in spec.teacher.provenance
        }
        self.statistics = mean, std = dataset.normalization()
        self.normalization = spec_id([mean.tolist(), std.tolist()])
        self.seed = cache(seed_from)
        self.file_digest = cache(file_digest)
        self.teachers: dict[Level, TeacherSpec] = {
            each.level: spec.teacher.with_model(each.level) for each in self._capacities()
        }
        for each in self.teachers.values():
            must_give_what_methods_need(each, method_specs)
        self.chain = cache(self._chain)
        self.generations = cache(partial(generations_before, spec.teacher))
        self.starts = Starts(self.statistics, dataset.modality, self.file_digest, spec.where)
        self._varied_starts = frozenset(
            role
            for levels in self.levels
            for role in levels[0].roles
            if isinstance(levels[0], Initialisation)
        )
        self._costs_of = costs_of or cache(ModelCosts)
        self._recipes: dict[Hashable, PlannedRecipe] = {}
        self._limited: dict[tuple[PlannedRecipe, LabelBudget, int], PlannedRecipe] = {}
        self._digests: dict[tuple[str, str, tuple[tuple[str, str], ...]], SetDigests] = {}
        self._class_maps: dict[tuple[tuple[str, ...], tuple[str, ...]], ClassMap | None] = {}
        self._checked: set[tuple[OutputShapes, OutputShapes, bool, bool, bool]] = set()

    @property
    def teacher_kinds(self) -> tuple[str, ...]:
        """The kinds of teachers that methods learn from: ``study``, ``self``, ``untrained``."""
        kinds = dict.fromkeys(method.teacher for method in self.every_method if method.teacher != "none")
        if any(TEACHER in entry.start for entry in self.spec.student_entries):
            kinds["study"] = None
        return tuple(sorted(kinds, key=lambda kind: kind != "study"))

    @property
    def replicate_count(self) -> int:
        """The number of conditions, times that of seeds."""
        return math.prod(len(levels) for levels in self.levels) * len(self.spec.seed_list)

    def view_seed(self, seed: int | None = None) -> int:
        """Return the seed of the views of a seed; without one, or if seeds share it, that of the study."""
        if seed is None or self.spec.draws.views == "shared":
            return self.seed("views", self.spec.seed)
        return self.seed("views", self.spec.seed, seed)

    def pair_notes(self) -> list[str]:
        """Return a sentence for each method and pair of networks that decides some of its settings."""
        students = dict.fromkeys(entry.model for entry in self.spec.student_entries)
        teachers = dict.fromkeys(each.last_model for each in self.teachers.values())
        return [
            note
            for method in self.spec.method_specs()
            for student in students
            for teacher in teachers or [self.spec.teacher.last_model]
            for note in pair_notes(method, teacher, student)
        ]

    def starts_from_weights(self, role: Role, levels: Levels, stated: bool) -> bool:
        """Return True if the networks of a role start from trained weights.

        Args:
            role: ``transfer`` for students, ``teacher`` for teachers.
            levels: The levels of the condition.
            stated: Whether the study states it of the network, where no factor varies it.
        """
        if role not in self._varied_starts:
            return stated
        return levels[Initialisation.name] == "pretrained"

    def recipe(
        self, owner: str, train: Examples, length: Steps | None = None, age: TeacherAge | None = None
    ) -> PlannedRecipe:
        """Return a recipe, by its key in ``recipes``, for a training set. It depends on how many examples are
        labelled, how many are not, their shape, and on ``length`` or ``age`` if a factor varies it."""
        key = owner, len(train), int(train.labelled.sum()), train.shape, length, age
        if key not in self._recipes:
            recipe = PlannedRecipe.of(self.recipes[owner], train)
            recipe = recipe.with_steps(length.resolve(recipe.resolved.steps)) if length else recipe
            self._recipes[key] = recipe.stopped_at(age.level) if age else recipe
        return self._recipes[key]

    def limited(self, recipe: PlannedRecipe, budget: LabelBudget, classes: int) -> PlannedRecipe:
        """Return a recipe with a budget of soft labels: one object, however many runs share it."""
        key = recipe, budget, classes
        if key not in self._limited:
            self._limited[key] = recipe.with_label_budget(budget, classes)
        return self._limited[key]

    def teacher_at(self, levels: Levels) -> TeacherSpec:
        """Return the teacher under the levels of a condition."""
        return self.teachers.get(levels.get(TeacherCapacity.name, ""), self.spec.teacher)

    @property
    def teacher_label(self) -> str:
        """The name of the teacher in tables: all its networks, if a factor varies them."""
        return (
            " | ".join(dict.fromkeys(each.label for each in self.teachers.values()))
            or self.spec.teacher.label
        )

    def _check_networks(
        self, method: PlannedMethod, student: str, costs: ModelCosts, teacher: str, teacher_costs: ModelCosts
    ) -> None:
        kinds = [part.kind for _, part in method.spec.parts] or [method.spec.kind]
        names = f"{student} and {teacher}"
        try:
            for kind in kinds:
                kind.check_networks(costs.build(student), teacher_costs.build(teacher), costs.inputs, names)
        except RequestError as error:
            raise error.within(f"method {method.label}").within(self.spec.where) from error

    def _methods_of(self, student: StudentEntry) -> tuple[PlannedMethod, ...]:
        labels = labels_of(self.spec, student)
        return tuple(method for method in self.methods if method.label in labels)

    def _stages_of(self, student: StudentEntry) -> tuple[PlannedStage, ...]:
        by_label = {method.label: method for method in self.every_method}
        stages = zip(student.stages, stage_methods(self.spec, student), strict=True)
        return tuple(
            PlannedStage(by_label[method.label], stage.steps, stage.epochs, student.keep)
            if method and isinstance(stage, StageSpec)
            else PlannedStage(None, keep=student.keep)
            for stage, method in stages
        )

    def _capacities(self) -> list[TeacherCapacity]:
        return [level for levels in self.levels for level in levels if isinstance(level, TeacherCapacity)]

    def _chain(
        self, kind: str, provenance: Provenance, student: str, capacity: Level | None = None
    ) -> tuple[TeacherPart, ...]:
        teacher = self.spec.teacher if capacity is None else self.teachers[capacity]
        return teacher_chain(teacher, kind, provenance, student)

    def digests(self, train: str, val: str, tests: Mapping[str, str]) -> SetDigests:
        """Return the content of what a run reads: one object, however many runs read the same."""
        key = train, val, tuple(tests.items())
        if key not in self._digests:
            self._digests[key] = SetDigests(train, val, tests, self.normalization)
        return self._digests[key]

    def costs(self, classes: int, shape: tuple[int, int, int]) -> ModelCosts:
        """Return the costs of networks for a number of classes and a shape of inputs."""
        return self._costs_of(self.task.head_width(classes), InputSpec(*shape))

    def class_map(self, teacher: Sequence[str], student: tuple[str, ...]) -> ClassMap | None:
        """Return the mapping from a teacher's classes to a student's. Raises RequestError."""
        key = tuple(teacher), student
        if key not in self._class_maps:
            names = self.spec.teacher.class_map
            mapping = class_map(*key, self.dataset.train, names)
            if merges(mapping) and DEFAULT_TASK not in self.task.kinds():
                # The log-sum-exp of logits is that of a sum of softmax probabilities.
                raise RequestError(
                    f"several classes of the teacher map to one {self.task.class_noun} of the student, "
                    f"and their outputs cannot be merged in the task {self.task.name}",
                    where="teacher.class_map",
                    allowed="at most one class of the teacher per class of the student",
                )
            self._class_maps[key] = mapping
        return self._class_maps[key]

    def check(
        self, student: OutputShapes, teacher: OutputShapes, merged: bool, unlabelled: bool, mixes: bool
    ) -> None:
        """Raise RequestError if a method of the study cannot serve a pair of networks, or its views."""
        key = student, teacher, merged, unlabelled, mixes
        for role, shapes in (("students", student), ("teacher", teacher)):
            must_fit_task(self.task, shapes, role)
        if self.task.judges_embeddings and student.embedding is None:
            raise RequestError(
                f"the task {self.task.name} judges embeddings, and a student ends in no linear layer",
                where="students",
                allowed="a network whose last layer is linear",
            )
        if key not in self._checked:
            check_pair(
                self._checked_methods,
                student,
                teacher,
                task=self.task,
                merged=merged,
                labels=self._partly_labelled() if unlabelled else None,
                mixes=mixes,
            )
            self._checked.add(key)

    def _partly_labelled(self) -> Tensor:
        """Return the labels of an example of each class, or of one of several, and of one that has none."""
        targets = self.dataset.train.targets
        first = np.unique(targets.values, return_index=True)[1] if targets.complete else np.array([0])
        return torch.from_numpy(targets.take(first).joined(targets.unknown(1)).values)


def _stage_specs(spec: StudySpec, methods: Sequence[MethodSpec]) -> list[MethodSpec]:
    """Return the methods of stages that are none of the study's, each once."""
    known = {method.label: method for method in methods}
    stages = (each for entry in spec.student_entries for each in stage_methods(spec, entry) if each)
    return [known.setdefault(each.label, each) for each in stages if each.label not in known]


def must_have_targets(dataset: Dataset, task: Task) -> None:
    """Raise RequestError unless the data hold what the task learns from."""
    held = dataset.train.targets
    if not isinstance(task, Verification) and any(
        isinstance(test.targets, Identities) for test in dataset.eval.values()
    ):
        raise RequestError(
            f"the test set has classes that nothing is trained on, and the task is {task.name}",
            where="task",
            allowed="task: verification, or data without `unseen_classes` and `trials`",
        )
    if not isinstance(held, task.targets):
        # The usual task of such targets first, then the kinds of it.
        fitting = sorted(
            (name for name in tasks if issubclass(type(held), tasks[name].targets)),
            key=lambda name: len(tasks[name].kinds()),
        )
        raise RequestError(
            f"the task {task.name} learns from {task.targets.kind}, and the data hold {held.kind}",
            where="task",
            allowed=" or ".join(f"task: {name}" for name in fitting) + f", or data with {task.targets.kind}",
        )
    task.check_classes(len(dataset.train.classes))
