"""Pairing: a replicate with one provenance and one student, and the teachers that belong to it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property

from distillab.canonical import Canonical
from distillab.data.class_map import merges
from distillab.errors import RequestError
from distillab.factors import TeacherCapacity
from distillab.modalities.views.dihedral import SYMMETRIES
from distillab.models import OutputShapes
from distillab.models.black_box import PREDICTIONS
from distillab.models.orbit import split_orbit
from distillab.study.job import TrainSet
from distillab.study.job_parts import NetworkStart, PlannedStart, SetDigests
from distillab.study.planning.black_box_teacher import must_not_mix
from distillab.study.planning.context import PlanContext
from distillab.study.planning.costs import ModelCosts
from distillab.study.planning.kept_stages import must_graft, must_keep
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.study.planning.replicate import Replicate, TeacherSet
from distillab.study.planning.teacher_chain import TeacherPart, must_be_mappable
from distillab.study.spec.student import StudentEntry
from distillab.study.spec.teacher import Provenance, TeacherSpec
from distillab.training.teachers.cache import CacheFormat


class Pairing:
    """One provenance and one student under a replicate.

    Attributes:
        teacher: The study's teacher under the condition.
        student: The student's network.
        label: The student by name.
        start: What the student starts from, before its stages; None for random weights.
        stages: What the student is trained with before; see :class:`PlannedStage`.
        depth: The number of stages that ``start`` comes after.
        first_start: What the first stage starts from.
        methods: The methods that the student is trained with.
        teacher_start: Those that the study's teacher starts from, before it is trained.
        sets: The sets of the replicate.
        recipe: The recipe of students that learn from a teacher.
        viewed: The recipe whose views a teacher's outputs are stored for.
        labelled_recipe: That of students that learn from labels alone.
        costs: Costs of networks for what the student sees.
        class_map: From the classes of the study's teacher to the student's, if they differ.

    Raises:
        RequestError: Networks and methods cannot serve these images.
    """

    def __init__(
        self, context: PlanContext, replicate: Replicate, provenance: Provenance, student: StudentEntry
    ) -> None:
        if replicate.sets is None:
            raise ValueError("an excluded condition has no pairings")
        self.context, self.replicate, self.sets = context, replicate, replicate.sets
        self.teacher = context.teacher_at(replicate.record.levels)
        self.provenance, self.student, self.label = provenance, student.model, student.label
        transfer = self.sets.transfer
        self.recipe, self.labelled_recipe = self.sets.recipe, self.sets.labelled_recipe
        self.viewed = self.recipe
        self.stages, self.methods, self.depth = context.stages_of(student), context.methods_of(student), 0
        self.costs = context.costs(len(transfer.classes), transfer.student_shape)
        self._long_recipes: dict[PlannedMethod, PlannedRecipe] = {}
        self.class_map = context.class_map(self._teacher_classes(), transfer.classes)
        self._must_serve()
        self._must_graft(student)
        self.start: PlannedStart | None = self._start_of_student(student)
        self.first_start = self.start
        self.teacher_start = self._start_of_teacher()
        self._must_begin(student.keep)
        must_keep(context, student, self.start, self.methods, self.costs)

    def with_recipes(self, recipe: PlannedRecipe, labelled: PlannedRecipe) -> Pairing:
        """Return the pairing with students trained by other recipes, the ``labelled`` one without unlabelled
        examples; its teachers stay as they are."""
        pairing = copy.copy(self)
        pairing.recipe, pairing.labelled_recipe, pairing._long_recipes = recipe, labelled, {}
        pairing.viewed = recipe
        return pairing

    # -- stages ---------------------------------------------------------------------------------------------

    def at_stage(self, place: int, start: PlannedStart | None) -> Pairing:
        """Return the pairing with the students of one of its stages, which start from the stage before.

        They have the views of the others, so that a teacher's outputs that are stored for these serve them
        as well, unless they are trained for longer.
        """
        stage, sets = self.stages[place], self.sets
        pairing = self.with_recipes(stage.recipe(sets.recipe), stage.recipe(sets.labelled_recipe))
        if sets.recipe.view_epochs >= pairing.recipe.view_epochs:
            pairing.viewed = sets.recipe
        pairing.start, pairing.stages, pairing.depth = start, self.stages[:place], place
        pairing.methods = (stage.method,) if stage.method else ()
        return pairing

    def begun(self, start: PlannedStart | None) -> Pairing:
        """Return the pairing after its stages."""
        pairing = copy.copy(self)
        pairing.start, pairing.depth = start, len(self.stages)
        return pairing

    def start_of(self, method: PlannedMethod) -> PlannedStart | None:
        """Return what the student of a method starts from."""
        return self.first_start if method.throughout else self.start

    @cached_property
    def _steps_before(self) -> int:
        """The number of steps of all stages."""
        return sum(
            self.at_stage(place, None).recipe_of(stage.method).resolved.steps
            for place, stage in enumerate(self.stages)
            if stage.method is not None
        )

    def _must_begin(self, kept_stages: int) -> None:
        """Raise RequestError unless the study's teacher can be what the student starts from, if it is."""
        if self.stages:
            stages = ", then ".join(stage.text for stage in self.stages)
            note = f"{self.label} starts from {stages}, of the same seed; so does its plain student."
            self.context.starts.notes[note] = None
        if not any(stage.method is None for stage in self.stages):
            return
        where = f"{self.context.spec.where}: students: {self.label}"
        if self.start is not None:
            raise RequestError(
                "the factor initialisation varies what the student starts from, which is the teacher",
                where=where,
                allowed="another start, or `roles: [teacher]`",
            )
        costs = self.teacher_costs("study")
        try:
            kept = self.context.kept(self.student, self.costs, self.teacher.last_model, costs, kept_stages)
        except RequestError as error:
            raise error.within(where) from error
        self.context.starts.notes[f"{self.label}: the teacher is {self.teacher.last_model}, {kept}."] = None

    # -- teachers -------------------------------------------------------------------------------------------

    def chain(self, kind: str) -> tuple[TeacherPart, ...]:
        """Return the parts of a kind of teacher; the last one teaches."""
        capacity = self.replicate.record.levels.get(TeacherCapacity.name)
        return self.context.chain(kind, self.provenance, self.student, capacity)

    def has_generations(self, method: PlannedMethod) -> bool:
        """Return True if a student of a method learns from a generation before it."""
        return method.teacher == "study" and self.context.spec.teacher.generations > 1

    def train_set(self, kind: str) -> TrainSet:
        """Return the name of the set that a kind of teacher learns from."""
        return self.provenance if kind == "study" and self.provenance != "external" else "self"

    def taught(self, kind: str) -> TeacherSet:
        """Return what a kind of teacher learns from."""
        return self.sets.teachers[self.train_set(kind)]

    def part_start(self, part: TeacherPart, kind: str) -> PlannedStart | None:
        """Return what a part of a teacher starts from: a copy of the student like the student, the study's
        teacher in its own way; assistants and what is not trained start from random weights."""
        if kind == "self":
            return self.start
        return self.teacher_start if kind == "study" and part.made == "trained" else None

    def _start_of_student(self, entry: StudentEntry) -> NetworkStart | None:
        levels = self.replicate.record.levels
        if not self.context.starts_from_weights("transfer", levels, entry.starts_from_weights):
            return None
        return self.context.starts.start(entry, self.costs)

    def _start_of_teacher(self) -> NetworkStart | None:
        teacher, levels = self.teacher, self.replicate.record.levels
        if self.provenance == "external" or "study" not in self.context.teacher_kinds:
            return None
        if not self.context.starts_from_weights("teacher", levels, teacher.pretrained):
            return None
        if teacher.models:
            raise RequestError(
                "several models that teach together start from random weights",
                where="factors.initialisation.roles",
                allowed="one teacher model, or the role transfer alone",
            )
        taught = self.taught("study").facts
        costs = self.context.costs(len(taught.classes), taught.shape)
        entry = StudentEntry(model=teacher.model, pretrained=True)
        return self.context.starts.start(entry, costs, "teacher")

    def teacher_seed(self, part: str, kind: str) -> int:
        """Return the seed of a part of a teacher. ``full`` and given teachers are used by the seeds in
        turn, others belong to the replicate."""
        spec, seed = self.context.spec, self.context.seed
        if kind == "study" and self.provenance != "same":
            own = self.replicate.record.seed
            number = self.file_number if self.provenance == "external" else spec.turns.teacher(own)
            return seed(part, spec.seed, "full", number)
        return seed(part, spec.seed, kind, self.replicate.record.seed)

    @property
    def file_number(self) -> int:
        """Which of the given teachers serves the replicate; 0 if there are none."""
        spec = self.context.spec
        return spec.turns.in_turn(self.replicate.record.seed, max(1, len(spec.teacher.files)))

    def teacher_key(self, kind: str) -> Hashable:
        """Return what tells the jobs of a kind of teacher from all others of the study."""
        taught = self.taught(kind)
        return (
            kind,
            self.chain(kind),
            self.teacher_seed("teacher init", kind),
            {"self": (self.start, self.stages), "study": self.teacher_start}.get(kind),
            taught.digests.canonical.text,
            taught.recipe,
            self.class_map if kind == "study" and self.context.spec.teacher.classes else None,
        )

    def outputs_key(self, kind: str, *, streams: bool) -> Hashable:
        """Return what tells a kind of teacher's outputs for the test sets, and views, from all others."""
        class_map = self.class_map if kind == "study" else None
        images = self.sets.transfer_images, *self.sets.eval_images.items()
        views = self.view_seed(streams=streams)
        return self.teacher_key(kind), images, self.mixed_within, class_map, views, self.viewed.view_epochs

    def view_seed(self, *, streams: bool) -> int:
        """Return the seed of the views of a teacher's outputs; that of the study if no view is stored."""
        own = self.replicate.seeds.views
        return self.context.spec.teacher.outputs.view_seed(own) if streams else self.context.view_seed()

    @property
    def mixed_within(self) -> str:
        """Content address of which transfer images are labelled, if views mix images and some are not."""
        return self.sets.labelled_images if self.recipe.resolved.view_spec.mixes else ""

    def teacher_macs(self, part: TeacherPart, kind: str, passes: int = 3) -> int:
        """Return multiply-accumulates of the training of a part of a teacher; a step costs ``passes``."""
        if not part.is_trained:
            return 0
        taught = self.taught(kind)
        costs = self.context.costs(len(taught.facts.classes), taught.facts.shape)
        return taught.recipe.images_seen * passes * costs.macs(part.model)

    def student_macs(self, recipe: PlannedRecipe, passes: int = 3) -> int:
        """Return multiply-accumulates of the training of a student; a step costs some forward ``passes``."""
        return recipe.images_seen * passes * self.costs.macs(self.student)

    def recipe_of(self, method: PlannedMethod) -> PlannedRecipe:
        """Return the recipe of a method's students: longer by the cost of the study's teacher, if it is to
        match the compute of distillation, or by the stages that it takes the place of."""
        usual = self.recipe if method.learns_unlabelled else self.labelled_recipe
        if method.teacher == "none":
            usual = usual.without_teacher
        if not method.matches_compute and not method.throughout:
            return usual
        if method.throughout and method not in self._long_recipes:
            self._long_recipes[method] = usual.with_steps(usual.resolved.steps + self._steps_before)
        if method not in self._long_recipes:
            own, distilled = self.student_macs(usual), self.student_macs(self.recipe)
            more = self._teacher_macs(training=method.counts_teacher_training) + distilled - own
            self._long_recipes[method] = usual.with_steps(round((1 + more / own) * usual.resolved.steps))
        return self._long_recipes[method]

    def written(self, method: PlannedMethod) -> Canonical:
        """Return what decides a method's numbers for this teacher and student."""
        return method.written(self.teacher.last_model, self.student)

    def digests(self, unlabelled: bool) -> SetDigests:
        """Return what a student reads whose batches hold unlabelled examples, or do not."""
        return self.sets.digests if unlabelled else self.sets.labelled_digests

    def _teacher_macs(self, *, training: bool) -> int:
        """Return multiply-accumulates of the study's teacher for one student: its forward passes, and its
        training if that counts."""
        forward = self.recipe.images_seen * self.teacher_costs("study").macs(self.teacher_model("study"))
        trained = sum(self.teacher_macs(part, "study") for part in self.chain("study"))
        return forward + training * trained

    # -- outputs --------------------------------------------------------------------------------------------

    def teacher_model(self, kind: str) -> str:
        """Return the network that the outputs of a kind of teacher come from."""
        return self.student if kind == "self" else self.teacher.last_model

    def teacher_costs(self, kind: str) -> ModelCosts:
        """Return costs of a kind of teacher, which sees the transfer images without the student transform."""
        transfer = self.sets.transfer
        classes = self._teacher_classes() if kind == "study" else transfer.classes
        return self.context.costs(len(classes), transfer.shape)

    def outputs_macs(self, kind: str, *, streams: int) -> int:
        """Return multiply-accumulates of a teacher's outputs: for the test sets, and for every view of some
        ``streams``."""
        views = 1 if streams == 1 and self._serves_all_views(kind) else self.viewed.view_epochs * streams
        images = views * self.sets.transfer.n * (streams > 0) + self.sets.n_eval
        return images * self.teacher_costs(kind).macs(self.teacher_model(kind))

    def stream_bytes(self, needs: Iterable[str], kind: str, *, strong: bool = False) -> int:
        """Return the size of what methods need stored of a teacher, for ``strong`` views as well; an upper
        bound, for two epochs may hold the same view, and two conditions the same image."""
        teacher = self.teacher
        shapes = self.teacher_costs(kind).shapes(self.teacher_model(kind))
        if kind == "study":
            shapes = _stored_shapes(teacher, shapes)
        kept = CacheFormat.of(needs, shapes, teacher.outputs.top_k)
        views = self.viewed.views_per_image + strong * self.viewed.view_epochs
        as_it_is = kind == "study" and teacher.model == PREDICTIONS
        if as_it_is or (self._serves_all_views(kind) and not strong):  # of each image as it is
            views = 1
        return views * self.sets.transfer.n * kept.bytes

    def _serves_all_views(self, kind: str) -> bool:
        """Return True if a teacher's outputs for an image as it is are those for all views of a training."""
        return (
            bool(split_orbit(self.teacher_model(kind))) and self.viewed.resolved.view_spec.kind in SYMMETRIES
        )

    # -- refusals -------------------------------------------------------------------------------------------

    def _teacher_classes(self) -> tuple[str, ...]:
        """Return the classes of the study's teacher, by its own names."""
        if self.provenance == "external":
            return self.context.spec.teacher.classes or self.context.dataset.classes
        return self.sets.teachers[self.provenance].facts.classes

    def _must_serve(self) -> None:
        """Raise RequestError, before anything trains, if networks and methods cannot serve these images."""
        context, transfer, teacher = self.context, self.sets.transfer, self.teacher
        if self.provenance != "external":
            learned = self.sets.teachers[self.provenance].facts.shape
            if learned != transfer.shape:
                raise RequestError(
                    f"the teacher learns from examples of shape {_shape(learned)}, and its outputs would be "
                    f"needed for examples of shape {_shape(transfer.shape)}",
                    where="factors.resolution",
                    allowed="`sees: student`, or `teacher` among the roles",
                )
        for name in {teacher.whole, *teacher.assistants}:
            given = self.provenance == "external" and name == teacher.whole
            self.teacher_costs("study").check(name, not given)
        self.costs.check(self.student)
        shapes = self.teacher_costs("study").shapes(teacher.last_model)
        if self.class_map:
            must_be_mappable(teacher)
            shapes = replace(shapes, classes=len(transfer.classes))
        student, unlabelled = self.costs.shapes(self.student), self.replicate.n_unlabelled > 0
        mixes = self.recipe.resolved.view_spec.mixes
        if mixes:
            must_not_mix(teacher)
        context.check(student, shapes, merges(self.class_map), unlabelled, mixes)
        if teacher.generations > 1:
            whole = context.costs(len(transfer.classes), transfer.shape).shapes(self.student)
            context.check(student, whole, False, unlabelled, mixes)

    def _must_graft(self, entry: StudentEntry) -> None:
        """Raise RequestError if a method needs the teacher itself, and cannot serve the two networks."""
        methods = (*self.methods, *(stage.method for stage in self.stages if stage.method))
        teacher, mapped = (self.teacher.last_model, self.teacher_costs("study")), bool(self.class_map)
        must_graft(self.context, entry, methods, self.costs, teacher, mapped=mapped)


def pairings_of(context: PlanContext, replicates: Iterable[Replicate]) -> Iterator[Pairing]:
    """Go through all pairings of a study, those of excluded conditions left out."""
    teacher, students = context.spec.teacher, context.spec.student_entries
    for replicate in replicates:
        if replicate.sets is not None:
            for provenance, student in itertools.product(teacher.provenance, students):
                yield Pairing(context, replicate, provenance, student)


def with_stages(pairings: Iterable[Pairing]) -> Iterator[Pairing]:
    """Go through pairings, and before each through those of its stages, which have recipes of their own."""
    for pairing in pairings:
        for place, stage in enumerate(pairing.stages):
            if stage.method is not None:
                yield pairing.at_stage(place, pairing.start)
        yield pairing


def _stored_shapes(teacher: TeacherSpec, shapes: OutputShapes) -> OutputShapes:
    """Return the shapes of what is stored of the study's teacher, which gives ``shapes``. Teachers that are
    weighted by their correctness are stored side by side: it depends on the labels, and what is stored does
    not."""
    if teacher.combine != "correctness" or teacher.assistants:
        return shapes
    return replace(shapes, classes=shapes.classes * len(teacher.models))


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
