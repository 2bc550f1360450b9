"""The planner: expands a study into jobs, level by level, each fact found where it is decided."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any

from distillab.canonical import Canonical, seed_from, spec_id
from distillab.data.class_map import ClassMap, class_map, merges
from distillab.data.dataset import Dataset
from distillab.data.imageset import ImageSet
from distillab.errors import RequestError
from distillab.factors import apply_factor
from distillab.methods import MethodSpec
from distillab.models.outputs import LIVE, STORABLE, OutputShapes
from distillab.study import teachers
from distillab.study.condition import Condition, Conditions, Roles
from distillab.study.costing import ModelCosts, check_pair, file_digest
from distillab.study.given_teacher import given_teacher
from distillab.study.job import Job
from distillab.study.spec import Provenance, StudySpec
from distillab.training.arithmetic import Arithmetic
from distillab.training.cache import Kept
from distillab.training.recipe import Recipe, ResolvedRecipe

# Raise when the same spec would give other numbers than before: it is part of every run's id.
SCHEMA = 1
FACTORS_KEPT = 32  # applications of a factor: conditions next to each other share all but the last of them


class Planner:
    """What every condition of the study has in common, and the plan in the making.

    A plan can hold a hundred thousand runs, so each fact is found, and serialised, at the level where it is
    decided: here what the study decides, in ``_Setting`` what a condition and a seed do, in ``_Pairing`` what
    a provenance and a student do.
    """

    def __init__(
        self, spec: StudySpec, dataset: Dataset, arithmetic: Mapping[str, Arithmetic], largest: int
    ) -> None:
        self.spec, self.dataset, self.arithmetic, self.largest = spec, dataset, arithmetic, largest
        self.stored_bytes: dict[str, int] = {}
        self.arms = [_Arm.of(each) for each in spec.method_specs()]
        self.levels = spec.factor_levels()
        self.recipes = {"student": spec.recipe} | {
            each: spec.teacher_recipe(each) for each in spec.teacher.provenance
        }
        self.resolved: dict[tuple[Any, ...], _Recipe] = {}
        self.can_be_stored: dict[tuple[Any, ...], dict[_Arm, bool]] = {}
        self.costs_of = cache(ModelCosts)
        step = lru_cache(FACTORS_KEPT)(apply_factor)
        self.making = Conditions(dataset, step, given_teacher(spec, dataset))
        mean, std = dataset.normalisation()
        self.normalisation = spec_id([mean.tolist(), std.tolist()])
        self.view_seed = seed_from("views", spec.seed)
        self.seed = cache(seed_from)
        self.file_digest = cache(file_digest)
        self.class_maps: dict[tuple[tuple[str, ...], tuple[str, ...]], ClassMap | None] = {}
        self.checked: set[tuple[Any, ...]] = set()
        self.jobs: dict[str, Job] = {}
        self.conditions: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []

    def expand(self) -> None:
        """Fill ``jobs``, ``conditions`` and ``cells``. Raises RequestError for what the data, or the models,
        cannot give."""
        spec = self.spec
        teachers.check(self)
        table: dict[tuple[int, int], list[dict[str, Any]]] = {}
        # Seeds run in the outer loop: a study stopped half way holds whole replicates of every condition.
        for replicate, seed in enumerate(spec.seed_list):
            for number, chain in enumerate(itertools.product(*self.levels)):
                condition = Condition(chain, seed)
                setting = _Setting(self, condition, self.making.roles(condition), replicate)
                self.conditions.append(setting.told())
                for place, cell in enumerate(self._cells(setting)):
                    table.setdefault((number, place), []).append(cell)
        # The table reads by condition, then arm, then seed.
        self.cells = [cell for row in sorted(table) for cell in table[row]]

    def _cells(self, setting: _Setting) -> Iterator[dict[str, Any]]:
        for provenance, student in itertools.product(self.spec.teacher.provenance, self.spec.students):
            pairing = None if setting.excluded else _Pairing(setting, provenance, student)
            for arm in self.arms:
                yield {
                    "levels": setting.levels,
                    "provenance": provenance,
                    "teacher": self.spec.teacher.label,
                    "student": student,
                    "method": arm.label,
                    "seed": setting.condition.seed,
                    "n_train": setting.labelled,
                    "n_unlabelled": setting.unlabelled,
                    "run": pairing and pairing.student_job(arm),
                    "outputs": pairing and pairing.study_outputs,
                    "teacher_run": pairing and pairing.study_teacher,
                    "excluded": setting.excluded,
                }

    def recipe(self, whose: str, model: str, images: ImageSet) -> _Recipe:
        """The recipe of the students, or of the teachers of a provenance, for a network and a training set.
        It follows from the number of images and their shape."""
        key = whose, model, len(images), images.shape
        if key not in self.resolved:
            self.resolved[key] = _Recipe.of(self.recipes[whose], images, self.arithmetic[model])
        return self.resolved[key]

    def costs(self, images: ImageSet, *, seen: bool = False, classes: int | None = None) -> ModelCosts:
        """Costs of networks for images as they are, or as a student has ``seen`` them."""
        channels, side, _ = images.seen_shape if seen else images.shape
        return self.costs_of(classes or len(images.classes), channels, side)

    def check(self, student: OutputShapes, teacher: OutputShapes, merged: bool, unlabelled: bool) -> None:
        """Raise RequestError if a method of the study cannot serve a pair of networks."""
        key = student, teacher, merged, unlabelled
        if key not in self.checked:
            specs = self.spec.method_specs()
            check_pair(specs, student, teacher, merged=merged, unlabelled=unlabelled)
            self.checked.add(key)

    def stored(self, pairing: _Pairing) -> dict[_Arm, bool]:
        """Whether each method can be served from stored outputs: whole feature maps are never stored, and
        what is stored of a teacher must fit together, methods that need little first."""
        possible = [a for a in self.arms if not a.asks & LIVE and teachers.storable(self.spec, a.teacher)]
        kinds = {arm.teacher for arm in possible}
        sizes = tuple((kind, pairing.teacher_costs(kind)) for kind in sorted(kinds))
        key = pairing.student, len(pairing.roles.transfer), sizes
        if key not in self.can_be_stored:
            fits = dict.fromkeys(self.arms, False)
            kept: dict[str, frozenset[str]] = defaultdict(frozenset)
            for arm in sorted(possible, key=lambda arm: len(arm.asks & STORABLE)):
                kind = arm.teacher
                together = kept[kind] | arm.asks
                if pairing.stored_bytes(together, kind) <= self.largest:
                    kept[kind], fits[arm] = together, True
            self.can_be_stored[key] = fits
        return self.can_be_stored[key]

    def add(
        self,
        spec: dict[str, Any],
        condition: Canonical,
        needs: tuple[str, ...],
        cost: float,
        cohort: str = "",
    ) -> str:
        """Enter a job unless the same one is planned already; its id."""
        spec["schema"] = SCHEMA
        if self.spec.worker_threads != 1:
            spec["threads"] = self.spec.worker_threads
        name = spec_id(spec)
        if name not in self.jobs:
            self.jobs[name] = Job(name, spec["kind"], spec, condition, needs, cost, cohort)
        return name


@dataclass(frozen=True, eq=False)
class _Arm:
    """A method as every condition meets it."""

    label: str
    teacher: str
    asks: frozenset[str]
    written: Canonical
    files: Mapping[str, str]

    @classmethod
    def of(cls, spec: MethodSpec) -> _Arm:
        return cls(spec.label, spec.teacher, spec.asks, Canonical(spec.as_dict()), spec.files)


@dataclass(frozen=True, eq=False)
class _Recipe:
    """A resolved recipe, and how it is written."""

    resolved: ResolvedRecipe
    written: Canonical

    @classmethod
    def of(cls, recipe: Recipe, images: ImageSet, arithmetic: Arithmetic) -> _Recipe:
        resolved = recipe.resolve(images, arithmetic)
        return cls(resolved, Canonical(resolved.as_dict()))

    @property
    def images_seen(self) -> int:
        """Images that a training passes forward; to go back as well costs twice that again."""
        return self.resolved.steps * self.resolved.batch_size


@dataclass(frozen=True, eq=False)
class _Setting:
    """A condition under a seed: what does not depend on teacher, student and method."""

    planner: Planner
    condition: Condition
    roles: Roles
    replicate: int

    def told(self) -> dict[str, Any]:
        """The condition with its manipulation checks, for the report."""
        return {
            **self.where,
            "levels": self.levels,
            "n_train": self.labelled,
            # What conclusions need to know without making the image sets again.
            "own_tests": self._own_tests,
            "counts": self._unequal,
            "checks": [{**vars(check), "passed": check.passed} for check in self.roles.checks],
        }

    @cached_property
    def labelled(self) -> int:
        """Transfer images with labels."""
        return int(self.roles.transfer.labelled.sum())

    @property
    def unlabelled(self) -> int:
        return len(self.roles.transfer) - self.labelled

    @property
    def _own_tests(self) -> bool:
        """Whether the test sets differ from those that were read."""
        read, mine = self.planner.dataset.eval, self.roles.eval
        return mine.keys() != read.keys() or any(mine[name] is not images for name, images in read.items())

    @property
    def _unequal(self) -> list[int] | None:
        """Transfer images by class, where a factor made classes more than twice as unequal."""
        counts, before = self.roles.transfer.counts, self.planner.dataset.train.counts
        ratio, was = (each.max() / max(each.min(), 1) for each in (counts, before))
        return counts.tolist() if ratio > 2 * was else None

    @cached_property
    def where(self) -> dict[str, Any]:
        return self.condition.as_dict()

    @cached_property
    def levels(self) -> Canonical:
        return Canonical(self.condition.levels)

    @cached_property
    def excluded(self) -> str | None:
        """Why no conclusion may be drawn from this condition, or None."""
        if not self.roles.failed_checks:
            return None
        worst = self.roles.failed_checks[0]
        return f"{worst.factor}: asked {worst.measure} {worst.asked:g}, measured {worst.measured:g}"

    @cached_property
    def student_condition(self) -> Canonical:
        return Canonical({**self.where, "train": "transfer"})

    def class_map(self, theirs: Sequence[str]) -> ClassMap | None:
        """From a teacher's classes to the student's. Raises RequestError."""
        key = tuple(theirs), self.roles.transfer.classes
        known = self.planner.class_maps
        if key not in known:
            names = self.planner.spec.teacher.class_map
            known[key] = class_map(*key, self.planner.dataset.train, names)
        return known[key]

    @cached_property
    def student_seeds(self) -> Canonical:
        seed, study = self.planner.seed, self.planner.spec.seed
        if self.planner.spec.order == "shared":
            order = seed("student order", study, "shared")
        else:
            order = seed("student order", study, "", self.condition.seed)
        return Canonical(
            {
                "init": seed("student init", study, "", self.condition.seed),
                "order": order,
                "views": self.planner.view_seed,
            }
        )

    @cached_property
    def student_sets(self) -> Canonical:
        return self.sets(self.roles.transfer, self.roles.val, self.roles.eval)

    def sets(self, train: ImageSet, val: ImageSet, evals: Mapping[str, ImageSet]) -> Canonical:
        """The content of what a run reads."""
        return Canonical(
            {
                "train": train.digest,
                "val": val.digest,
                "eval": {name: images.digest for name, images in evals.items()},
                "normalisation": self.planner.normalisation,
            }
        )


class _Pairing:
    """The jobs of one setting, provenance and student."""

    def __init__(self, setting: _Setting, provenance: Provenance, student: str) -> None:
        self.setting, self.planner, self.roles = setting, setting.planner, setting.roles
        self.provenance, self.student = provenance, student
        self.recipe = self.planner.recipe("student", student, self.roles.transfer)
        self.costs = self.planner.costs(self.roles.transfer, seen=True)
        self.class_map = setting.class_map(self._teacher_classes())
        self._must_serve()
        self.stored = self.planner.stored(self)
        self.asked: dict[str, tuple[str, str]] = {}
        self.sources: dict[tuple[str, bool], tuple[str, Canonical]] = {}
        self.study_teacher: str | None = None
        self.study_outputs: str | None = None
        if any(arm.teacher == "study" for arm in self.planner.arms):
            self.study_teacher, self.study_outputs = self.ask("study")

    def student_job(self, arm: _Arm) -> str:
        """Enter a student's job and all that it needs; its id."""
        setting, recipe = self.setting, self.recipe
        source, teacher, cohort = None, None, ""
        if arm.teacher != "none":
            stored = self.stored[arm]
            source, teacher = self._source(arm.teacher, stored)
            cohort = "" if stored else self._cohort(source)
            if arm.teacher == "study" and self.planner.spec.teacher.generations > 1:
                source, cohort = teachers.last_generation(self, arm), ""
                teacher = Canonical({"live": source})
        spec: dict[str, Any] = {
            "kind": "student",
            "model": self.student,
            "method": arm.written,
            "recipe": recipe.written,
            "sets": setting.student_sets,
            "seeds": setting.student_seeds,
            "teacher": teacher,
        }
        if arm.teacher == "study" and self.class_map and self.planner.spec.teacher.generations == 1:
            spec["class_map"] = list(self.class_map)
        cost = recipe.images_seen * 3 * self.costs.macs(self.student)
        needs = () if source is None else (source,)
        condition = setting.student_condition
        if arm.files:
            condition = Canonical({**condition, "code": arm.files})
        return self.planner.add(spec, condition, needs, cost, cohort)

    def _source(self, kind: str, stored: bool) -> tuple[str, Canonical]:
        """The job that a student learns from, the stored outputs or the teacher, and how it is written."""
        if (kind, stored) not in self.sources:
            job = self.ask(kind)[stored]
            self.sources[kind, stored] = job, Canonical({"outputs" if stored else "live": job})
        return self.sources[kind, stored]

    def _cohort(self, teacher: str) -> str:
        """What students must share to be trained in step: a live teacher, and every batch of images."""
        recipe, seeds = self.recipe.resolved, self.setting.student_seeds
        stream = [*recipe.stream_facts, recipe.precision, seeds["order"], seeds["views"]]
        theirs = [list(self.class_map)] if self.class_map else []
        return spec_id([teacher, self.roles.transfer.image_digest, stream, *theirs])

    # -- teachers, and what they say ------------------------------------------------------------------------

    def ask(self, kind: str) -> tuple[str, str]:
        """The jobs of a kind of teacher and of its outputs."""
        if kind not in self.asked:
            teacher = teachers.study_teacher(self) if kind == "study" else self.teacher_job(kind)
            self.asked[kind] = teacher, self._outputs_job(teacher, kind)
        return self.asked[kind]

    def _model(self, kind: str) -> str:
        return self.student if kind == "self" else self.planner.spec.teacher.asked

    def _teacher_classes(self) -> tuple[str, ...]:
        """What the study's teacher calls its classes."""
        named = self.planner.spec.teacher.classes
        if self.provenance == "external":
            return named or self.planner.dataset.classes
        return self.roles.teacher[self.provenance].classes

    def teacher_costs(self, kind: str) -> ModelCosts:
        """Costs of a kind of teacher, which sees the transfer images without the student's lens."""
        if kind != "study":
            return self.planner.costs(self.roles.transfer)
        return self.planner.costs(self.roles.transfer, classes=len(self._teacher_classes()))

    def stored_bytes(self, needs: Iterable[str], kind: str) -> int:
        """Size of what methods want stored of a teacher; an upper bound, for two epochs may hold the same
        view, and two conditions the same image."""
        recipe = self.recipe.resolved
        views = min(recipe.epochs, recipe.view_spec.count or recipe.epochs)
        shapes = self.teacher_costs(kind).shapes(self._model(kind))
        if kind == "study":
            shapes = teachers.stored_shapes(self.planner.spec, shapes)
        kept = Kept.of(needs, shapes, self.planner.spec.teacher.outputs.top_k)
        return views * len(self.roles.transfer) * kept.bytes

    def _must_serve(self) -> None:
        """Raise RequestError, before anything trains, if networks and methods cannot serve these images."""
        planner, transfer, asked = self.planner, self.roles.transfer, self.planner.spec.teacher
        if self.provenance != "external":
            learned = self.roles.teacher[self.provenance].shape
            if learned != transfer.shape:
                raise RequestError(
                    f"the teacher learns from images of {learned[1]} pixels and would be asked about images "
                    f"of {transfer.shape[1]}",
                    where="factors.resolution",
                    allowed="`sees: student`, or `teacher` among the roles",
                )
        for name in {asked.whole, *asked.assistants}:
            self.teacher_costs("study").check(name)
        self.costs.check(self.student)
        teacher = self.teacher_costs("study").shapes(asked.asked)
        if self.class_map:
            teachers.must_be_mappable(asked)
            teacher = replace(teacher, classes=len(transfer.classes))
        student, unlabelled = self.costs.shapes(self.student), self.setting.unlabelled > 0
        planner.check(student, teacher, merges(self.class_map), unlabelled)
        if asked.generations > 1:
            whole = self.planner.costs(transfer).shapes(self.student)
            planner.check(student, whole, False, unlabelled)

    def teacher_job(self, kind: str, one: teachers.One = teachers.THE_TEACHER) -> str:
        planner = self.planner
        seeds = {part: self._teacher_seed(f"{one.whose} {part}", kind) for part in ("init", "order", "views")}
        model = one.model or (planner.spec.teacher.whole if kind == "untrained" else self._model(kind))
        spec: dict[str, Any] = {"kind": "teacher", "seeds": seeds, "model": model, **one.facts}
        given = kind == "study" and self.provenance == "external"
        fixed = kind == "untrained" or (given and not one.needs)
        if fixed or given or kind == "self":
            train, images = "self", self.roles.teacher["self"]
            recipe = planner.recipe("student", spec["model"], self.roles.transfer)
        else:
            train, images = self.provenance, self.roles.teacher[self.provenance]
            recipe = planner.recipe(self.provenance, spec["model"], images)
        if fixed:
            weights = planner.spec.weights_path() if kind == "study" else None
            digest = planner.file_digest(weights) if kind == "study" else None
            spec["fixed"] = {"weights": str(weights) if kind == "study" else None, "digest": digest}
            if kind == "study" and planner.spec.teacher.classes:
                spec["fixed"] |= {"classes": len(planner.spec.teacher.classes), "class_map": self.class_map}
        sets = self.setting.sets(images, *self.roles.tests_of_teacher(planner.dataset, images))
        condition = Canonical({**self.setting.where, "train": train, **one.condition})
        free = fixed or "members" in spec
        cost = 0 if free else recipe.images_seen * 3 * planner.costs(images).macs(spec["model"])
        return planner.add(spec | {"recipe": recipe.written, "sets": sets}, condition, one.needs, cost)

    def _teacher_seed(self, part: str, kind: str) -> int:
        """The seed of a part of a teacher. ``full`` teachers belong to the study, in turn if several."""
        spec, seed = self.planner.spec, self.planner.seed
        if kind == "study" and self.provenance != "same":
            return seed(part, spec.seed, "full", self.setting.replicate % spec.teacher.replicates)
        return seed(part, spec.seed, kind, self.setting.condition.seed)

    def _outputs_job(self, teacher: str, kind: str) -> str:
        images = self.roles.transfer
        written = self.planner.recipe("student", self._model(kind), images)
        recipe = written.resolved
        stream = any(self.stored.values())
        spec = {
            "kind": "outputs",
            "teacher": teacher,
            # Labels are left out: what a teacher says does not depend on them, so noise levels share it.
            "images": images.image_digest,
            "eval": {name: each.image_digest for name, each in self.roles.eval.items()},
            "views": [recipe.views, recipe.pad, recipe.epochs, recipe.precision] if stream else None,
            "view_seed": self.planner.view_seed,
            "normalisation": self.planner.normalisation,
        }
        condition = {**self.setting.where, "train": "transfer", "recipe": written.written}
        # How much of what a teacher says is kept follows from the company of methods, and so is in no id.
        keep = sorted(
            {
                need
                for arm, stored in self.stored.items()
                if stored and arm.teacher == kind
                for need in arm.asks & STORABLE
            }
        )
        if stream and keep != ["logits"]:
            condition["keep"] = keep
        if kind == "study" and self.class_map:
            spec["class_map"] = list(self.class_map)
        if stream and self.planner.spec.teacher.outputs.top_k is not None:
            spec["top_k"] = self.planner.spec.teacher.outputs.top_k
        forwards = recipe.epochs * len(images) * stream + sum(len(each) for each in self.roles.eval.values())
        cost = forwards * self.teacher_costs(kind).macs(self._model(kind))
        name = self.planner.add(spec, Canonical(condition), (teacher,), cost)
        if stream and keep:
            self.planner.stored_bytes[name] = self.stored_bytes(keep, kind)
        return name
