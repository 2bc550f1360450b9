"""PairingJobs: the jobs of one pairing, its students and all that they need."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from distillab.canonical import spec_id
from distillab.errors import RequestError
from distillab.models import network_revision
from distillab.study.job import Job, OutputsJob, StudentJob, TeacherJob
from distillab.study.job_parts import TeacherSource, needed_by
from distillab.study.planning.pairing import Pairing
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.teacher_jobs import TeacherJobs


class PairingJobs:
    """Makes the jobs of one pairing.

    Attributes:
        study_teacher: The job of the study's teacher, if a method learns from it.
        study_outputs: The job of its outputs.
        revision: Of the construction of the student's network.
    """

    def __init__(self, pairing: Pairing, teachers: TeacherJobs) -> None:
        self.pairing, self.teachers, self.context = pairing, teachers, pairing.context
        self.recipe = teachers.recipes.write(pairing.recipe, pairing.student)
        self.revision = network_revision(pairing.student, pairing.costs.inputs)
        self.study_teacher: TeacherJob | None = None
        self.study_outputs: OutputsJob | None = None
        if "study" in self.context.teacher_kinds:
            self.study_teacher = teachers.chain(pairing, "study")[-1]
            self.study_outputs = teachers.outputs(pairing, "study")
        self._source = cache(self._make_source)
        self._cohort = cache(self._make_cohort)

    def teacher_jobs(self) -> list[Job]:
        """Return the jobs of the study's teacher and its outputs, each after those it needs."""
        return self._supply("study") if self.study_teacher else []

    def student_jobs(self, method: PlannedMethod) -> list[Job]:
        """Return the job of a student and, before it, those of its own teachers."""
        jobs = [] if method.teacher in ("none", "study") else self._supply(method.teacher)
        source, cohort = None, ""
        if self.pairing.has_generations(method):
            generations = self.teachers.generations(self.pairing, method)
            jobs = [*jobs, *generations]
            source = TeacherSource(generations[-1].id, live=True)
        elif method.teacher != "none":
            stored = self.teachers.storage.is_stored(self.pairing, method)
            source = self._source(method.teacher, stored)
            cohort = "" if stored else self._cohort(source, method.learns_unlabelled)
        return [*jobs, self._student(method, source, cohort)]

    def _student(self, method: PlannedMethod, source: TeacherSource | None, cohort: str) -> StudentJob:
        pairing, needs = self.pairing, [source.job] if source else []
        if method.teacher == "study":
            # The outputs for the test sets are compared with the student's, also if its teacher is live.
            needs += [self.study_outputs.id] if self.study_outputs else []
        if source and self.context.spec.teacher.outputs.views == "independent":
            self._must_have_independent_views(method, source)
        start = pairing.start_of(method)
        needs += needed_by(start)
        direct = method.teacher == "study" and not pairing.has_generations(method)
        recipe = pairing.recipe_of(method)
        labels_alone = pairing.replicate.n_unlabelled and not method.learns_unlabelled
        return StudentJob(
            condition=pairing.replicate.record.condition,
            model=pairing.student,
            method=pairing.written(method),
            recipe=self.teachers.recipes.write(recipe, pairing.student).written,
            sets=pairing.digests(method.learns_unlabelled),
            seeds=pairing.replicate.seeds,
            start=start,
            teacher=source,
            class_map=pairing.class_map if direct else None,
            task=self.context.written_task,
            revision=self.revision,
            inputs=replace(method.inputs, train="labelled") if labels_alone else method.inputs,
            needs=tuple(dict.fromkeys(needs)),
            cost=pairing.student_macs(recipe, method.passes),
            cohort=cohort,
            threads=self.context.spec.worker_threads,
        )

    def _must_have_independent_views(self, method: PlannedMethod, source: TeacherSource) -> None:
        """Raise RequestError if a teacher cannot see other views than its student."""
        where, allowed = "teacher.outputs.views", "same"
        if source.live:
            raise RequestError(
                f"method {method.label} queries a live teacher, which sees the views of its students",
                where=where,
                allowed=f"{allowed}, a larger outputs.budget, or a method that learns from logits",
            )
        if self.recipe.resolved.view_spec.mixes:
            raise RequestError(
                "views that mix examples mix others in an independent view",
                where=where,
                allowed=f"{allowed}, or recipe.views without mixup and cutmix",
            )

    def _supply(self, kind: str) -> list[Job]:
        return [*self.teachers.chain(self.pairing, kind), self.teachers.outputs(self.pairing, kind)]

    def _make_source(self, kind: str, stored: bool) -> TeacherSource:
        """Return where a student finds a kind of teacher."""
        if stored:
            return TeacherSource(self.teachers.outputs(self.pairing, kind).id, live=False)
        return TeacherSource(self.teachers.chain(self.pairing, kind)[-1].id, live=True)

    def _make_cohort(self, source: TeacherSource, unlabelled: bool) -> str:
        """Return the name of what students must share to be trained in step: a live teacher, and every batch
        of images."""
        recipe, seeds, class_map = self.recipe.resolved, self.pairing.replicate.seeds, self.pairing.class_map
        stream = [*recipe.stream_facts, recipe.precision, seeds.order, seeds.views]
        mapped = [list(class_map)] if class_map else []
        alone = ["labelled"] if self.pairing.replicate.n_unlabelled and not unlabelled else []
        # What waits for a student of a cohort is never in that cohort.
        stage = [f"stage {self.pairing.depth}"] if self.pairing.depth else []
        return spec_id([source.job, self.pairing.sets.transfer_images, stream, *mapped, *alone, *stage])
