"""The jobs of a setting: a provenance's teachers, what they say, and the students that learn from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from distillab.canonical import Canonical, spec_id
from distillab.data.class_map import merges
from distillab.errors import RequestError
from distillab.models.outputs import STORABLE
from distillab.study.planning import teacher_jobs as teachers
from distillab.study.planning.costs import ModelCosts
from distillab.study.planning.external_teacher import inputs_of_given
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.replicate import Replicate
from distillab.study.spec.teacher import Provenance
from distillab.training.teachers.cache import Kept


class Pairing:
    """The jobs of one setting, provenance and student."""

    def __init__(self, setting: Replicate, provenance: Provenance, student: str) -> None:
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

    def student_job(self, arm: PlannedMethod) -> str:
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
        # What the teacher says about the test images is compared with what the student says, live or not.
        compared = self.study_outputs if arm.teacher == "study" else None
        needs = tuple(dict.fromkeys(job for job in (source, compared) if job is not None))
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
        return spec_id([teacher, self.roles.transfer.input_digest, stream, *theirs])

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
        mixes = self.recipe.resolved.view_spec.mixes
        planner.check(student, teacher, merges(self.class_map), unlabelled, mixes)
        if asked.generations > 1:
            whole = self.planner.costs(transfer).shapes(self.student)
            planner.check(student, whole, False, unlabelled, mixes)

    def teacher_job(self, kind: str, one: teachers.One = teachers.THE_TEACHER) -> str:
        planner = self.planner
        seeds = {part: self._teacher_seed(f"{one.whose} {part}", kind) for part in ("init", "order", "views")}
        model = one.model or self._model(kind)
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
            # A run is what the weights are, wherever they lie.
            spec["fixed"] = {"weights": None, "digest": planner.file_digest(weights) if weights else None}
            spec["fixed"] |= inputs_of_given(planner.spec, planner.statistics) if kind == "study" else {}
            if kind == "study" and planner.spec.teacher.classes:
                spec["fixed"] |= {"classes": len(planner.spec.teacher.classes), "class_map": self.class_map}
        sets = self.setting.sets(images, *self.roles.tests_of_teacher(planner.dataset, images))
        condition = {**self.setting.where, "train": train, **one.condition}
        if fixed and weights:
            condition["weights"] = str(weights)
        free = fixed or "members" in spec
        cost = 0 if free else recipe.images_seen * 3 * planner.costs(images).macs(spec["model"])
        spec |= {"recipe": recipe.written, "sets": sets}
        return planner.add(spec, Canonical(condition), one.needs, cost)

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
            "images": images.input_digest,
            "eval": {name: each.input_digest for name, each in self.roles.eval.items()},
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
                for need in arm.teacher_needs & STORABLE
            }
        )
        if stream and keep != ["logits"]:
            condition["keep"] = keep
        if kind == "study" and self.class_map:
            spec["class_map"] = list(self.class_map)
        # Both were kept in another way once, under ids without these words.
        if stream and self.planner.spec.teacher.outputs.top_k is not None:
            spec |= {"top_k": self.planner.spec.teacher.outputs.top_k, "rest": "kept"}
        if stream and recipe.view_spec.count is None:
            spec["views known by"] = "id"
        forwards = recipe.epochs * len(images) * stream + sum(len(each) for each in self.roles.eval.values())
        cost = forwards * self.teacher_costs(kind).macs(self._model(kind))
        name = self.planner.add(spec, Canonical(condition), (teacher,), cost)
        if stream and keep:
            self.planner.stored_bytes[name] = self.stored_bytes(keep, kind)
        return name
