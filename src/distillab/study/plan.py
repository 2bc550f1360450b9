"""The plan: a study expanded into content-addressed jobs and the cells of its design."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from distillab.canonical import seed_from, spec_id
from distillab.data.dataset import Dataset
from distillab.data.imageset import ImageSet
from distillab.methods import MethodSpec, methods
from distillab.study.condition import Condition, Roles, make_roles
from distillab.study.costing import ModelCosts
from distillab.study.ledger import Job
from distillab.study.spec import Provenance, StudySpec
from distillab.training.device import fast_bf16
from distillab.training.recipe import Recipe, ResolvedRecipe
from distillab.training.teacher import STORED_STREAM_BYTES, stream_bytes

# Raise when the same spec would give other numbers than before: it is part of every run's id.
SCHEMA = 1


@dataclass
class Plan:
    """Jobs in an order in which each comes after what it needs; the design's conditions and cells."""

    jobs: dict[str, Job] = field(default_factory=dict)
    conditions: list[dict[str, Any]] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Number of jobs of a kind."""
        return sum(job.kind == kind for job in self.jobs.values())


def make_plan(spec: StudySpec, dataset: Dataset, device: torch.device) -> Plan:
    """Expand a study on its data.

    Raises:
        RequestError: a level that the data cannot reach, or a model that cannot serve these images.
    """
    return _Planner(spec, dataset, device).plan()


class _Planner:
    def __init__(self, spec: StudySpec, dataset: Dataset, device: torch.device) -> None:
        self.spec, self.dataset = spec, dataset
        self.bf16 = fast_bf16(device)
        self.methods = spec.method_specs()
        self.levels = spec.factor_levels()
        self.teacher_recipes = {each: spec.teacher_recipe(each) for each in spec.teacher.provenance}
        channels, height, _ = dataset.train.shape
        self.costs = ModelCosts(len(dataset.classes), channels, height)
        mean, std = dataset.normalisation()
        self.normalisation = spec_id([mean.tolist(), std.tolist()])
        self.result = Plan()

    def plan(self) -> Plan:
        for name in {self.spec.teacher.model, *self.spec.students}:
            self.costs.check(name)
        self.costs.check_pairs(self.spec.teacher.model, self.spec.students, self.methods)
        cells: list[tuple[tuple[int, ...], dict[str, Any]]] = []
        # Seeds run in the outer loop: a study stopped half way holds whole replicates of every condition.
        for replicate, seed in enumerate(self.spec.seeds):
            for number, chain in enumerate(itertools.product(*self.levels)):
                condition = Condition(chain, seed)
                roles = make_roles(self.dataset, condition)
                self._note_condition(condition, roles)
                for place, cell in enumerate(self._cells(condition, roles, replicate)):
                    cells.append(((number, place, replicate), cell))
        # The table reads by condition, then arm, then seed.
        self.result.cells = [cell for _, cell in sorted(cells, key=lambda entry: entry[0])]
        return self.result

    def _note_condition(self, condition: Condition, roles: Roles) -> None:
        self.result.conditions.append(
            condition.as_dict()
            | {
                "levels": condition.levels,
                "n_train": len(roles.transfer),
                "checks": [asdict(check) | {"passed": check.passed} for check in roles.checks],
            }
        )

    def _cells(self, condition: Condition, roles: Roles, replicate: int) -> Iterator[dict[str, Any]]:
        for provenance, student, method in itertools.product(
            self.spec.teacher.provenance, self.spec.students, self.methods
        ):
            cell = {
                "levels": condition.levels,
                "provenance": provenance,
                "teacher": self.spec.teacher.model,
                "student": student,
                "method": method.label,
                "seed": condition.seed,
                "n_train": len(roles.transfer),
            }
            if roles.failed_checks:
                worst = roles.failed_checks[0]
                reason = f"{worst.factor}: asked {worst.measure} {worst.asked:g}, measured {worst.measured:g}"
                yield cell | {"run": None, "outputs": None, "teacher_run": None, "excluded": reason}
                continue
            arm = _Arm(self, condition, roles, replicate, provenance, student)
            yield cell | arm.jobs_for(method) | {"excluded": None}

    def add(self, job: Job) -> str:
        """Enter a job unless the same one is planned already."""
        self.result.jobs.setdefault(job.id, job)
        return job.id


@dataclass(frozen=True)
class _Arm:
    """The jobs of one condition, provenance and student."""

    planner: _Planner
    condition: Condition
    roles: Roles
    replicate: int
    provenance: Provenance
    student: str

    def jobs_for(self, method: MethodSpec) -> dict[str, Any]:
        """Enter the student's job and all that it needs; the ids that the cell refers to."""
        study_teacher = study_outputs = None
        if any(methods[spec.name].teacher == "study" for spec in self.planner.methods):
            study_teacher = self._teacher_job("study")
            study_outputs = self._outputs_job(study_teacher, self.planner.spec.teacher.model)
        run = self._student_job(method, study_teacher, study_outputs)
        return {"run": run, "outputs": study_outputs, "teacher_run": study_teacher}

    # -- the three stages -------------------------------------------------------------------------------

    def _teacher_job(self, kind: str) -> str:
        spec = self.planner.spec
        seeds = {part: self._seed(f"teacher {part}", kind) for part in ("init", "order", "views")}
        common: dict[str, Any] = {"kind": "teacher", "seeds": seeds}
        if kind == "self":
            recipe = self._resolve(spec.recipe, self.roles.transfer)
            return self._add_teacher(common | {"model": self.student, "recipe": recipe.as_dict()}, "transfer")
        common["model"] = spec.teacher.model
        weights = spec.weights_path()
        if kind == "untrained" or self.provenance == "external":
            recipe = self._resolve(spec.recipe, self.roles.transfer)
            given = {
                "weights": str(weights) if kind == "study" else None,
                "digest": self._weights_digest(kind),
            }
            return self._add_teacher(common | {"recipe": recipe.as_dict(), "fixed": given}, "transfer")
        recipe = self._resolve(
            self.planner.teacher_recipes[self.provenance], self.roles.teacher[self.provenance]
        )
        return self._add_teacher(common | {"recipe": recipe.as_dict()}, self.provenance)

    def _outputs_job(self, teacher: str, model: str) -> str:
        recipe = self._student_recipe
        images = self.roles.transfer
        stream = any(self._stored(spec) for spec in self.planner.methods)
        spec = {
            "kind": "outputs",
            "teacher": teacher,
            # Labels are left out: what a teacher says does not depend on them, so noise levels share it.
            "images": images.image_digest,
            "eval": {name: each.image_digest for name, each in self.roles.eval.items()},
            "views": [recipe.views, recipe.pad, recipe.epochs, recipe.precision] if stream else None,
            "view_seed": self._view_seed,
            "normalisation": self.planner.normalisation,
        }
        forwards = recipe.epochs * len(images) * stream + sum(len(each) for each in self.roles.eval.values())
        condition = {**self.condition.as_dict(), "train": "transfer", "recipe": recipe.as_dict()}
        return self._add(spec, condition, (teacher,), forwards * self.planner.costs.macs(model))

    def _student_job(self, method: MethodSpec, study_teacher: str | None, study_outputs: str | None) -> str:
        kind = methods[method.name].teacher
        teacher, outputs = study_teacher, study_outputs
        if kind in ("self", "untrained"):
            teacher = self._teacher_job(kind)
            model = self.student if kind == "self" else self.planner.spec.teacher.model
            outputs = self._outputs_job(teacher, model)
        recipe = self._student_recipe
        stored = self._stored(method)
        source = None if kind == "none" else outputs if stored else teacher
        spec = {
            "kind": "student",
            "model": self.student,
            "method": {"name": method.name, "config": method.config.model_dump(mode="json")},
            "recipe": recipe.as_dict(),
            "sets": self._digests(self.roles.transfer, self.roles.val, self.roles.eval),
            "seeds": {
                "init": self._seed("student init"),
                "order": self._seed("student order"),
                "views": self._view_seed,
            },
            "teacher": None if source is None else {"outputs" if stored else "live": source},
        }
        condition = {**self.condition.as_dict(), "train": "transfer"}
        images = recipe.steps * recipe.batch_size * 3
        cost = images * self.planner.costs.macs(self.student)
        return self._add(spec, condition, () if source is None else (source,), cost)

    # -- parts ------------------------------------------------------------------------------------------

    @property
    def _student_recipe(self) -> ResolvedRecipe:
        return self._resolve(self.planner.spec.recipe, self.roles.transfer)

    @property
    def _view_seed(self) -> int:
        return seed_from("views", self.planner.spec.seed)

    def _resolve(self, recipe: Recipe, images: ImageSet) -> ResolvedRecipe:
        return recipe.resolve(images, bf16=self.planner.bf16)

    def _seed(self, part: str, teacher: str = "") -> int:
        """The seed of a part of this replicate. ``full`` teachers belong to the study, in turn if several."""
        spec = self.planner.spec
        if teacher == "study" and self.provenance != "same":
            return seed_from(part, spec.seed, "full", self.replicate % spec.teacher.replicates)
        return seed_from(part, spec.seed, teacher, self.condition.seed)

    def _stored(self, method: MethodSpec) -> bool:
        """Whether the method can be served from stored logits."""
        kind = methods[method.name]
        recipe, images = self._student_recipe, self.roles.transfer
        size = stream_bytes(len(images), recipe, len(images.classes))
        return (
            kind.teacher != "none" and not kind.needs & {"embedding", "maps"} and size <= STORED_STREAM_BYTES
        )

    def _digests(self, train: ImageSet, val: ImageSet, evals: Mapping[str, ImageSet]) -> dict[str, Any]:
        return {
            "train": train.digest,
            "val": val.digest,
            "eval": {name: images.digest for name, images in evals.items()},
            "normalisation": self.planner.normalisation,
        }

    def _add_teacher(self, spec: dict[str, Any], train: str) -> str:
        images = self.roles.transfer if train == "transfer" else self.roles.teacher[train]
        recipe = ResolvedRecipe.from_dict(spec["recipe"])
        seen = 0 if "fixed" in spec else recipe.steps * recipe.batch_size * 3
        condition = {**self.condition.as_dict(), "train": train}
        cost = seen * self.planner.costs.macs(spec["model"])
        # Teachers are tested on the sets as they were read, so that one teacher serves every condition.
        dataset = self.planner.dataset
        sets = self._digests(images, dataset.val, dataset.eval)
        return self._add(spec | {"sets": sets}, condition, (), cost)

    def _weights_digest(self, kind: str) -> str | None:
        return self.planner.costs.file_digest(self.planner.spec.weights_path()) if kind == "study" else None

    def _add(
        self, spec: dict[str, Any], condition: dict[str, Any], needs: tuple[str, ...], cost: float
    ) -> str:
        spec = {"schema": SCHEMA, **spec}
        kind = spec["kind"]
        return self.planner.add(Job(spec_id(spec), kind, spec, condition, needs, cost))


def shared_teachers(plan: Plan) -> int:
    """How many student runs each stored teacher output saves from asking the teacher: used by ``plan``."""
    users = Counter(need for job in plan.jobs.values() if job.kind == "student" for need in job.needs)
    return sum(users.values()) - len(users)
