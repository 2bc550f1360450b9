"""TeacherJobs: makes the jobs of teachers and of their outputs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from distillab.methods import parse_method
from distillab.models import InputSpec, network_revision
from distillab.study.job import OutputsInputs, OutputsJob, TeacherInputs, TeacherJob
from distillab.study.job_parts import (
    TRAINED,
    DistilledOrigin,
    EnsembleOrigin,
    Origin,
    RunSeeds,
    ViewStream,
    WeightsOrigin,
    needed_by,
)
from distillab.study.planning.context import PlanContext
from distillab.study.planning.external_teacher import input_scaling, with_file
from distillab.study.planning.pairing import Pairing
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.planned_recipe import RecipeWriter
from distillab.study.planning.storage import NO_STREAM, Storage
from distillab.study.planning.teacher_chain import TeacherPart


class TeacherJobs:
    """Makes the jobs of teachers and of their outputs. Those that several pairings share are made once.

    Args:
        context: The study on its data.
        storage: Which outputs are stored.
        recipes: Writes recipes under the numerics of each network.
    """

    def __init__(self, context: PlanContext, storage: Storage, recipes: RecipeWriter) -> None:
        self.context, self.storage, self.recipes = context, storage, recipes
        self._assistant_method = parse_method("kd", "teacher.assistants").as_dict()
        self._chains: dict[Hashable, tuple[TeacherJob, ...]] = {}
        self._outputs: dict[Hashable, OutputsJob] = {}

    def chain(self, pairing: Pairing, kind: str) -> tuple[TeacherJob, ...]:
        """Return the jobs of a kind of teacher, each after those it needs; the last one teaches."""
        key = pairing.teacher_key(kind)
        if key not in self._chains:
            jobs: tuple[TeacherJob, ...] = ()
            for part in pairing.chain(kind):
                needs = {"ensemble": jobs, "distilled": jobs[-1:]}.get(part.made, ())
                origin = self._origin(pairing, kind, part, needs)
                jobs = (*jobs, self._job(pairing, kind, part, origin, needs))
            self._chains[key] = jobs
        return self._chains[key]

    def generations(self, pairing: Pairing, method: PlannedMethod) -> tuple[TeacherJob, ...]:
        """Return the jobs of the generations before a student, the last of which teaches it."""
        jobs: tuple[TeacherJob, ...] = ()
        for part in self.context.generations(pairing.student):
            by = jobs[-1] if jobs else self.chain(pairing, "study")[-1]
            origin = DistilledOrigin(by.id, pairing.written(method), None if jobs else pairing.class_map)
            job = self._job(pairing, "self", part, origin, (by,), method.inputs.code, method.passes)
            jobs = (*jobs, job)
        return jobs

    def outputs(self, pairing: Pairing, kind: str) -> OutputsJob:
        """Return the job of the outputs of a kind of teacher."""
        streams = self.storage.streams(pairing)
        key = pairing.outputs_key(kind, streams=bool(streams)), bool(streams)
        if key not in self._outputs:
            self._outputs[key] = self._outputs_job(pairing, kind, streaming=bool(streams))
        return self._outputs[key]

    def _outputs_job(self, pairing: Pairing, kind: str, *, streaming: bool) -> OutputsJob:
        context, sets = self.context, pairing.sets
        recipe = self.recipes.write(pairing.viewed, pairing.teacher_model(kind))
        resolved, teacher = recipe.resolved, self.chain(pairing, kind)[-1]
        stream = self.storage.streams(pairing).get(kind, NO_STREAM)
        views = ViewStream(resolved.views, resolved.pad, resolved.view_epochs, resolved.precision)
        return OutputsJob(
            condition=pairing.replicate.record.condition,
            teacher=teacher.id,
            images=sets.transfer_images,
            eval=sets.eval_images,
            views=views if streaming else None,
            view_seed=pairing.view_seed(streams=streaming),
            normalization=context.normalization,
            class_map=pairing.class_map if kind == "study" else None,
            top_k=context.spec.teacher.outputs.top_k if streaming else None,
            endless=streaming and resolved.view_spec.count is None,
            labelled=pairing.mixed_within if streaming else "",
            inputs=OutputsInputs(recipe.written, stream.kept, stream.strong),
            needs=(teacher.id,),
            cost=pairing.outputs_macs(kind, streams=streaming + stream.strong),
            threads=context.spec.worker_threads,
        )

    def _job(
        self,
        pairing: Pairing,
        kind: str,
        part: TeacherPart,
        origin: Origin,
        needs: tuple[TeacherJob, ...],
        code: Mapping[str, str] | None = None,
        passes: int = 3,
    ) -> TeacherJob:
        taught, weights, start = pairing.taught(kind), None, pairing.part_start(part, kind)
        if kind == "study" and part.made == "given":
            weights = self.context.spec.weights_path(pairing.file_number)
        init, order, views = (
            pairing.teacher_seed(f"{part.seeds_of} {what}", kind) for what in ("init", "order", "views")
        )
        return TeacherJob(
            condition=pairing.replicate.record.condition,
            model=part.model,
            seeds=RunSeeds(init, order, views),
            recipe=self.recipes.write(taught.recipe, part.model).written,
            sets=taught.digests,
            origin=origin,
            start=start,
            task=self.context.written_task,
            revision=network_revision(part.model, InputSpec(*taught.facts.shape)),
            inputs=TeacherInputs(pairing.train_set(kind), str(weights) if weights else None, code or {}),
            needs=(*(job.id for job in needs), *needed_by(start)),
            cost=pairing.teacher_macs(part, kind, passes),
            threads=self.context.spec.worker_threads,
        )

    def _origin(
        self, pairing: Pairing, kind: str, part: TeacherPart, needs: tuple[TeacherJob, ...]
    ) -> Origin:
        if part.made == "given":
            return self._given(pairing) if kind == "study" else WeightsOrigin()
        if part.made == "ensemble":
            return EnsembleOrigin(tuple(job.id for job in needs))
        if part.made == "distilled":
            return DistilledOrigin(needs[0].id, self._assistant_method)
        return TRAINED

    def _given(self, pairing: Pairing) -> WeightsOrigin:
        """Return the study's teacher, by the content of its weights, wherever their file is."""
        spec = with_file(self.context.spec, pairing.file_number)
        weights, classes = spec.weights_path(), spec.teacher.classes
        return WeightsOrigin(
            self.context.file_digest(weights) if weights else None,
            input_scaling(spec, self.context.statistics),
            len(classes) if classes else None,
            pairing.class_map if classes else None,
            spec.teacher.entry,
        )
