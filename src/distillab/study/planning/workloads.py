"""Workloads: what each network of a study does, which its numerics are chosen for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from distillab.study.job import Job, OutputsJob, TeacherJob
from distillab.study.planning.pairing import Pairing
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.study.planning.storage import NO_STREAM, Storage
from distillab.training.recipe import images_per_step

# The batch that a network is timed with that is not trained: enough to tell one precision from another.
FORWARD_BATCH = 16


class Workloads:
    """What each network of a study does.

    Attributes:
        macs: Multiply-accumulates of everything.
        images: Images of trainings, with repetitions, by network.
        queried: Images that a network gives outputs for which is not trained, with repetitions, by network.
    """

    def __init__(self) -> None:
        self.macs = 0.0
        self.images: dict[str, float] = {}
        self._queried: dict[str, float] = {}
        self._batches: dict[str, Counter[int]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workloads) and vars(self) == vars(other)

    @classmethod
    def of_jobs(cls, jobs: Iterable[Job]) -> Workloads:
        """Add up the jobs of a plan."""
        work, given = cls(), dict[str, str]()
        for job in jobs:
            work.macs += job.cost
            if isinstance(job, OutputsJob):
                if job.teacher in given and job.views:
                    recipe = job.inputs.recipe
                    work.query(given[job.teacher], recipe["steps"] * images_per_step(recipe))
            elif job.cost:
                batch = images_per_step(job.recipe)
                work.train(job.model, batch, job.recipe["steps"] * batch)
            elif isinstance(job, TeacherJob):
                given[job.id] = job.model
        return work

    @classmethod
    def of_study(cls, storage: Storage, pairings: Iterable[Pairing]) -> Workloads:
        """Add up what will be the jobs of a study, before they are made: what several pairings share is
        counted once, and students that differ in their method alone are counted together."""
        work, seen = cls(), set[Hashable]()
        for pairing in pairings:
            work._add_pairing(storage, pairing, seen)
        return work

    @property
    def queried(self) -> dict[str, float]:
        """Images that a network gives outputs for, with repetitions, by network that is not trained."""
        return {model: images for model, images in self._queried.items() if model not in self.images}

    def batch(self, model: str) -> int:
        """Return the batch that most of a network's training is made in; a small one if it is not trained."""
        return self._batches[model].most_common(1)[0][0] if model in self._batches else FORWARD_BATCH

    def train(self, model: str, batch_size: int, images: int) -> None:
        """Add a training of a network on so many images, with repetitions."""
        self.images[model] = self.images.get(model, 0.0) + images
        self._batches.setdefault(model, Counter())[batch_size] += images

    def query(self, model: str, images: int) -> None:
        """Add outputs of a network that is not trained, for so many images."""
        self._queried[model] = self._queried.get(model, 0.0) + images

    # -- a pairing ------------------------------------------------------------------------------------------

    def _add_pairing(self, storage: Storage, pairing: Pairing, seen: set[Hashable]) -> None:
        for kind in pairing.context.teacher_kinds:
            self._add_teacher(storage, pairing, kind, seen)
        groups: Counter[tuple[str, bool, bool, int, PlannedRecipe]] = Counter()
        for method in pairing.methods:
            stored, recipe = storage.is_stored(pairing, method), pairing.recipe_of(method)
            groups[method.teacher, method.learns_unlabelled, stored, method.passes, recipe] += 1
        for (kind, unlabelled, stored, passes, recipe), count in groups.items():
            key = unlabelled, passes, *_student_key(pairing, kind, unlabelled, stored, recipe)
            if key not in seen:
                seen.add(key)
                self._add_students(pairing, kind, count, passes, recipe)

    def _add_teacher(self, storage: Storage, pairing: Pairing, kind: str, seen: set[Hashable]) -> None:
        chain, streams = pairing.chain(kind), bool(storage.streams(pairing))
        teacher, outputs = pairing.teacher_key(kind), (pairing.outputs_key(kind, streams=streams), streams)
        if teacher not in seen:
            seen.add(teacher)
            recipe = pairing.taught(kind).recipe
            for part in chain:
                self.macs += pairing.teacher_macs(part, kind)
                if part.is_trained:
                    self.train(part.model, recipe.batch_size, recipe.images_seen)
        if outputs not in seen:
            seen.add(outputs)
            strong = storage.streams(pairing).get(kind, NO_STREAM).strong
            self.macs += pairing.outputs_macs(kind, streams=streams + strong)
            if streams and not chain[-1].is_trained:
                self.query(chain[-1].model, pairing.recipe.images_seen)

    def _add_students(
        self, pairing: Pairing, kind: str, count: int, passes: int, recipe: PlannedRecipe
    ) -> None:
        """Add students that learn from a kind of teacher, ``count`` methods of them."""
        self.macs += count * pairing.student_macs(recipe, passes)
        self.train(pairing.student, recipe.batch_size, count * recipe.images_seen)
        if kind == "study":
            for part in pairing.context.generations(pairing.student):
                self.macs += count * pairing.teacher_macs(part, "self", passes)
                self.train(part.model, recipe.batch_size, count * recipe.images_seen)


def _student_key(
    pairing: Pairing, kind: str, unlabelled: bool, stored: bool, recipe: PlannedRecipe
) -> tuple[Hashable, ...]:
    """Return what tells students of a pairing from all others but those of other methods."""
    source = None
    if kind != "none":
        source = pairing.outputs_key(kind, streams=True) if stored else pairing.teacher_key(kind)
    class_map = pairing.class_map if kind == "study" else None
    digests = pairing.digests(unlabelled).canonical.text
    seeds, steps = pairing.replicate.seeds, recipe.resolved.steps
    start = pairing.start, pairing.depth, pairing.stages
    return pairing.student, start, digests, seeds, source, stored, class_map, steps
