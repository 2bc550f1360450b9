"""The jobs of a setting: a provenance's teachers, what they say, and the students that learn from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

from distillab.canonical import spec_id
from distillab.data.class_map import merges
from distillab.errors import RequestError
from distillab.models.outputs import STORABLE
from distillab.study.job import (
    OutputsInputs,
    OutputsJob,
    StudentJob,
    TeacherInputs,
    TeacherJob,
    TrainSet,
)
from distillab.study.job_parts import EnsembleOrigin, RunSeeds, TeacherSource, ViewStream, WeightsOrigin
from distillab.study.planning import teacher_jobs as teachers
from distillab.study.planning.costs import ModelCosts
from distillab.study.planning.external_teacher import inputs_of_given
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.replicate import Replicate
from distillab.study.spec.teacher import Provenance
from distillab.training.teachers.cache import CacheFormat


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
        self.sources: dict[tuple[str, bool], TeacherSource] = {}
        self.study_teacher: str | None = None
        self.study_outputs: str | None = None
        if any(arm.teacher == "study" for arm in self.planner.arms):
            self.study_teacher, self.study_outputs = self.ask("study")

    def student_job(self, arm: PlannedMethod) -> str:
        """Enter a student's job and all that it needs; its id."""
        setting, recipe = self.setting, self.recipe
        teacher, cohort = None, ""
        if arm.teacher != "none":
            stored = self.stored[arm]
            teacher = self._source(arm.teacher, stored)
            cohort = "" if stored else self._cohort(teacher.job)
            if arm.teacher == "study" and self.planner.spec.teacher.generations > 1:
                teacher, cohort = TeacherSource(teachers.last_generation(self, arm), live=True), ""
        mapped = arm.teacher == "study" and self.planner.spec.teacher.generations == 1
        # What the teacher says about the test images is compared with what the student says, live or not.
        compared = self.study_outputs if arm.teacher == "study" else None
        needs = dict.fromkeys(job for job in (teacher.job if teacher else None, compared) if job)
        return self.planner.add(
            StudentJob(
                condition=setting.where,
                model=self.student,
                method=arm.written,
                recipe=recipe.written,
                sets=setting.student_sets,
                seeds=setting.student_seeds,
                teacher=teacher,
                class_map=(self.class_map if mapped else None) or None,
                inputs=arm.inputs,
                needs=tuple(needs),
                cost=recipe.images_seen * 3 * self.costs.macs(self.student),
                cohort=cohort,
                threads=self.planner.spec.worker_threads,
            )
        )

    def _source(self, kind: str, stored: bool) -> TeacherSource:
        """The job that a student learns from: the stored outputs, or the teacher."""
        if (kind, stored) not in self.sources:
            self.sources[kind, stored] = TeacherSource(self.ask(kind)[stored], live=not stored)
        return self.sources[kind, stored]

    def _cohort(self, teacher: str) -> str:
        """What students must share to be trained in step: a live teacher, and every batch of images."""
        recipe, seeds = self.recipe.resolved, self.setting.student_seeds
        stream = [*recipe.stream_facts, recipe.precision, seeds.order, seeds.views]
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
        kept = CacheFormat.of(needs, shapes, self.planner.spec.teacher.outputs.top_k)
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
        init, order, views = (
            self._teacher_seed(f"{one.whose} {part}", kind) for part in ("init", "order", "views")
        )
        model, origin, weights = one.model or self._model(kind), one.origin, None
        given = kind == "study" and self.provenance == "external"
        fixed = kind == "untrained" or (given and not one.needs)
        train: TrainSet
        if fixed or given or kind == "self":
            train, images = "self", self.roles.teacher["self"]
            recipe = planner.recipe("student", model, self.roles.transfer)
        else:
            train, images = cast(TrainSet, self.provenance), self.roles.teacher[self.provenance]
            recipe = planner.recipe(self.provenance, model, images)
        if fixed:
            weights = planner.spec.weights_path() if kind == "study" else None
            origin = self._given(weights) if kind == "study" else WeightsOrigin()
        free = isinstance(origin, WeightsOrigin | EnsembleOrigin)
        return planner.add(
            TeacherJob(
                condition=self.setting.where,
                model=model,
                seeds=RunSeeds(init, order, views),
                recipe=recipe.written,
                sets=self.setting.sets(images, *self.roles.tests_of_teacher(planner.dataset, images)),
                origin=origin,
                inputs=TeacherInputs(train, str(weights) if weights else None, one.code),
                needs=one.needs,
                cost=0 if free else recipe.images_seen * 3 * planner.costs(images).macs(model),
                threads=planner.spec.worker_threads,
            )
        )

    def _given(self, weights: Path | None) -> WeightsOrigin:
        """The study's teacher, by the content of its weights, wherever they lie."""
        planner, classes = self.planner, self.planner.spec.teacher.classes
        return WeightsOrigin(
            planner.file_digest(weights) if weights else None,
            inputs_of_given(planner.spec, planner.statistics),
            len(classes) if classes else None,
            self.class_map if classes else None,
        )

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
        # How much of what a teacher says is kept follows from the company of methods, and so is in no id.
        keep = sorted(
            {
                need
                for arm, stored in self.stored.items()
                if stored and arm.teacher == kind
                for need in arm.teacher_needs & STORABLE
            }
        )
        forwards = recipe.epochs * len(images) * stream + sum(len(each) for each in self.roles.eval.values())
        views = ViewStream(recipe.views, recipe.pad, recipe.epochs, recipe.precision)
        name = self.planner.add(
            OutputsJob(
                condition=self.setting.where,
                teacher=teacher,
                images=images.input_digest,
                eval={name: each.input_digest for name, each in self.roles.eval.items()},
                views=views if stream else None,
                view_seed=self.planner.view_seed,
                normalization=self.planner.normalisation,
                class_map=(self.class_map if kind == "study" else None) or None,
                top_k=self.planner.spec.teacher.outputs.top_k if stream else None,
                endless=stream and recipe.view_spec.count is None,
                inputs=OutputsInputs(written.written, tuple(keep)),
                needs=(teacher,),
                cost=forwards * self.teacher_costs(kind).macs(self._model(kind)),
                threads=self.planner.spec.worker_threads,
            )
        )
        if stream and keep:
            self.planner.stored_bytes[name] = self.stored_bytes(keep, kind)
        return name
