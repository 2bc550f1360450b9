"""The planner: expands a study into jobs, level by level, each fact found where it is decided."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

from distillab.canonical import Canonical, seed_from, spec_id
from distillab.data.dataset import Dataset
from distillab.data.imageset import ImageSet
from distillab.factors import apply_factor
from distillab.methods import MethodSpec
from distillab.models.outputs import LIVE, STORABLE
from distillab.study import teachers
from distillab.study.condition import Condition, Roles, make_roles
from distillab.study.costing import ModelCosts
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
        self.resolved: dict[tuple[str, str, int], _Recipe] = {}
        self.can_be_stored: dict[tuple[str, int], dict[_Arm, bool]] = {}
        channels, height, _ = dataset.train.shape
        self.costs = ModelCosts(len(dataset.classes), channels, height)
        self.statistics = mean, std = dataset.normalisation()
        self.normalisation = spec_id([mean.tolist(), std.tolist()])
        self.view_seed = seed_from("views", spec.seed)
        self.seed = cache(seed_from)
        self.step = lru_cache(FACTORS_KEPT)(apply_factor)
        self.jobs: dict[str, Job] = {}
        self.conditions: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []

    def expand(self) -> None:
        """Fill ``jobs``, ``conditions`` and ``cells``. Raises RequestError for what the data, or the models,
        cannot give."""
        spec = self.spec
        for name in {spec.teacher.whole, *spec.teacher.assistants, *spec.students}:
            self.costs.check(name)
        teachers.check(self)
        table: dict[tuple[int, int], list[dict[str, Any]]] = {}
        # Seeds run in the outer loop: a study stopped half way holds whole replicates of every condition.
        for replicate, seed in enumerate(spec.seed_list):
            for number, chain in enumerate(itertools.product(*self.levels)):
                condition = Condition(chain, seed)
                setting = _Setting(self, condition, make_roles(self.dataset, condition, self.step), replicate)
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
                    "n_train": len(setting.roles.transfer),
                    "run": pairing and pairing.student_job(arm),
                    "outputs": pairing and pairing.study_outputs,
                    "teacher_run": pairing and pairing.study_teacher,
                    "excluded": setting.excluded,
                }

    def recipe(self, whose: str, model: str, images: ImageSet) -> _Recipe:
        """The recipe of the students, or of the teachers of a provenance, for a network and a training set.
        It follows from the number of images; their shape is the same in the whole study."""
        key = whose, model, len(images)
        if key not in self.resolved:
            self.resolved[key] = _Recipe.of(self.recipes[whose], images, self.arithmetic[model])
        return self.resolved[key]

    def stored(self, student: str, images: ImageSet) -> dict[_Arm, bool]:
        """Whether each method can be served from stored outputs: whole feature maps are never stored, and
        what is stored of a teacher must fit together, methods that need little first."""
        key = student, len(images)
        if key not in self.can_be_stored:
            fits = dict.fromkeys(self.arms, False)
            kept: dict[str, frozenset[str]] = defaultdict(frozenset)
            possible = [a for a in self.arms if not a.asks & LIVE and teachers.storable(self.spec, a.teacher)]
            for arm in sorted(possible, key=lambda arm: len(arm.asks & STORABLE)):
                kind = arm.teacher
                together = kept[kind] | arm.asks
                if self.bytes(together, kind, student, images) <= self.largest:
                    kept[kind], fits[arm] = together, True
            self.can_be_stored[key] = fits
        return self.can_be_stored[key]

    def bytes(self, needs: Iterable[str], kind: str, student: str, images: ImageSet) -> int:
        """Size of what methods want stored of a teacher; an upper bound, for two epochs may hold the same
        view, and two conditions the same image."""
        recipe = self.recipe("student", student, images).resolved
        views = min(recipe.epochs, recipe.view_spec.count or recipe.epochs)
        shapes = self.costs.shapes(student) if kind == "self" else teachers.stored_shapes(self)
        kept = Kept.of(needs, shapes, self.spec.teacher.outputs.top_k)
        return views * len(images) * kept.bytes

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
            "n_train": len(self.roles.transfer),
            "checks": [{**vars(check), "passed": check.passed} for check in self.roles.checks],
        }

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
        self.stored = self.planner.stored(student, self.roles.transfer)
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
        spec = {
            "kind": "student",
            "model": self.student,
            "method": arm.written,
            "recipe": recipe.written,
            "sets": setting.student_sets,
            "seeds": setting.student_seeds,
            "teacher": teacher,
        }
        cost = recipe.images_seen * 3 * self.planner.costs.macs(self.student)
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
        return spec_id([teacher, self.roles.transfer.image_digest, stream])

    # -- teachers, and what they say ------------------------------------------------------------------------

    def ask(self, kind: str) -> tuple[str, str]:
        """The jobs of a kind of teacher and of its outputs."""
        if kind not in self.asked:
            teacher = teachers.study_teacher(self) if kind == "study" else self.teacher_job(kind)
            self.asked[kind] = teacher, self._outputs_job(teacher, kind)
        return self.asked[kind]

    def _model(self, kind: str) -> str:
        return self.student if kind == "self" else self.planner.spec.teacher.asked

    def teacher_job(self, kind: str, one: teachers.One = teachers.THE_TEACHER) -> str:
        planner = self.planner
        seeds = {part: self._teacher_seed(f"{one.whose} {part}", kind) for part in ("init", "order", "views")}
        spec: dict[str, Any] = {
            "kind": "teacher",
            "seeds": seeds,
            "model": one.model or self._model(kind),
            **one.facts,
        }
        given = kind == "study" and self.provenance == "external"
        fixed = kind == "untrained" or (given and not one.needs)
        if fixed or given or kind == "self":
            train, images = "transfer", self.roles.transfer
            recipe = planner.recipe("student", spec["model"], images)
        else:
            train, images = self.provenance, self.roles.teacher[self.provenance]
            recipe = planner.recipe(self.provenance, spec["model"], images)
        if fixed:
            weights = planner.spec.weights_path() if kind == "study" else None
            digest = planner.costs.file_digest(weights) if kind == "study" else None
            spec["fixed"] = {"weights": str(weights) if kind == "study" else None, "digest": digest}
            spec["fixed"] |= teachers.inputs(planner) if kind == "study" else {}
        # Teachers are tested on the sets as they were read, so that one teacher serves every condition.
        sets = self.setting.sets(images, planner.dataset.val, planner.dataset.eval)
        condition = Canonical({**self.setting.where, "train": train, **one.condition})
        cost = 0 if fixed or "members" in spec else recipe.images_seen * 3 * planner.costs.macs(spec["model"])
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
        if stream and self.planner.spec.teacher.outputs.top_k is not None:
            spec["top_k"] = self.planner.spec.teacher.outputs.top_k
        forwards = recipe.epochs * len(images) * stream + sum(len(each) for each in self.roles.eval.values())
        cost = forwards * self.planner.costs.macs(self._model(kind))
        name = self.planner.add(spec, Canonical(condition), (teacher,), cost)
        if stream and keep:
            self.planner.stored_bytes[name] = self.planner.bytes(keep, kind, self.student, images)
        return name
