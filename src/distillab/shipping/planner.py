"""How the budget of a request is spent on its data: which teacher, how long, how many settings and pairs."""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

import torch

from distillab.advise.budget import format_budget
from distillab.advise.speed import StepSeconds, time_given, time_steps
from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model, count_parameters
from distillab.models.black_box import BlackBox, is_black_box
from distillab.shipping.design import (
    ShippingDesign,
    StepCosts,
    can_be_taught,
    fitting_design,
    full_length_budget,
    too_short,
    training_seconds,
)
from distillab.shipping.recipe import shipping_study
from distillab.shipping.record import ShippingRecord
from distillab.shipping.request import USUAL_TEACHERS, ShippingRequest, TeacherCandidate, usual_teachers
from distillab.study.planning.external_teacher import open_given_teachers
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.spec.references import check_references
from distillab.study.spec.study import StudySpec, parse_study
from distillab.training.numerics.device import pick_device
from distillab.training.numerics.selection import default_numerics
from distillab.training.recipe import ResolvedRecipe

_BUSY_SECONDS, _BUSY_WINDOWS = 0.15, 3  # of work that is timed
_TIMED_IMAGES = 16  # of a step that is timed
_SMALL_SIDE = 32  # pixels of the size that is suggested where training is short
_MUCH_LESS = 0.6  # of the time of a step, at which a smaller size is suggested
_LONG_ENOUGH = 0.35  # of the usual length of training: below it, a teacher that costs less is preferred


class ShippingPlanner:
    """Plans the study of a request.

    Args:
        request: What is wanted.
        dataset: Its data.
        spent: Returns the seconds of the budget that are over.
    """

    def __init__(self, request: ShippingRequest, dataset: Dataset, spent: Callable[[], float]) -> None:
        self.request, self.dataset, self.spent = request, dataset, spent
        self._step_seconds: dict[str, StepSeconds] = {}

    # -- decisions -------------------------------------------------------------------------------------------

    def teacher(self) -> JsonObject:
        """Return the first of the usual teachers that can be trained in its share of the time and leaves the
        students enough of it; if there is none, the one that leaves them most."""
        best: tuple[float, TeacherCandidate] | None = None
        *candidates, last = self._candidates()
        for candidate in candidates:
            if not can_be_taught(
                self._seconds(), self._timed(candidate.model).training, candidate.least_steps
            ):
                continue
            found = self._fitting(self.costs(candidate.keys))
            length = found.share * found.batch_size / self.recipe.batch_size if found else 0.0
            if length >= _LONG_ENOUGH:
                return candidate.keys
            if length > (best[0] if best else 0.0):
                best = length, candidate
        return (best[1] if best else last).keys

    def design(self, teacher: JsonObject) -> ShippingDesign:
        """Return the best design that fits into the budget.

        Raises:
            RequestError: There is none, or a network cannot be used.
        """
        costs = self.costs(teacher)
        found = self._fitting(costs)
        if found is None:
            budget, spent = self.request.budget, self.spent()
            raise too_short(
                budget,
                spent,
                costs,
                self.recipe.steps,
                self._arms,
                workers=self.request.workers,
                pairs=self.request.seeds,
            )
        return found

    def study(self, record: ShippingRecord) -> StudySpec:
        """Return the study of what was decided."""
        return shipping_study(
            self.request.source.entry(),
            self.request.students(),
            record.teacher,
            self.request.method_names(self.dataset),
            self.recipe,
            record.design,
            seeds=self.request.seeds,
            multilabel=self.request.is_multilabel(self.dataset),
            margin=self.request.margin,
            name=f"distill-{self.dataset.name}",
        )

    # -- sentences -------------------------------------------------------------------------------------------

    def plan_text(self, design: ShippingDesign, teacher: JsonObject) -> str:
        """Return a line about a design."""
        own = self.costs(teacher).of_batch(design.batch_size / self.recipe.batch_size)
        seconds = design.seconds(own, self._arms, self.request.workers)
        label = checked_study(self.request, self.dataset, teacher).teacher.label
        given = f"{label} as given"
        taught = f"{label} for {design.teacher_steps:,} steps" if design.teacher_steps else given
        methods = ", ".join(self.request.method_names(self.dataset))
        least = "" if self.request.seeds else "at least "
        return (
            f"plan: teacher {taught}; ce, {methods}: {design.settings} settings each on val, at most "
            f"{design.steps:,} steps; then {least}{design.pairs} pairs of the best method and the plain "
            f"student; about {seconds / 60:.0f} min"
        )

    def short_training_text(self, design: ShippingDesign, teacher: JsonObject) -> str:
        """Return a sentence about a training that is shorter than usual, and how to lengthen it."""
        costs, small = self.costs(teacher), InputSpec.square(self._inputs.channels, _SMALL_SIDE)
        smaller = ""
        if self._inputs.shorter_side > _SMALL_SIDE:
            model = self.request.student_model
            share = self._timed_for(model, small).training / self._timed(model).training
            if share < _MUCH_LESS:
                smaller = f", or {self._full_length(costs.of_batch(share))} at --size {_SMALL_SIDE}"
        return (
            f"Training is short: {design.steps:,} steps of {design.batch_size}, where {self.recipe.steps:,} "
            f"are usual. A longer one may change the answer; the usual length takes a budget of about "
            f"{self._full_length(costs)} here{smaller}."
        )

    def _full_length(self, costs: StepCosts) -> str:
        """Return the budget of trainings of the usual length, as it is written."""
        fit = {"workers": self.request.workers, "pairs": self.request.seeds}
        return format_budget(
            full_length_budget(self.spent(), costs, self.recipe.steps, self._arms, **fit)  # type: ignore[arg-type]
        )

    # -- costs -----------------------------------------------------------------------------------------------

    @cached_property
    def recipe(self) -> ResolvedRecipe:
        """The recipe of a training of the usual length."""
        keys = {"study": "distill", "data": self.request.source.entry(), "teacher": {"model": "resnet8"}}
        keys |= {"students": ["resnet8"], "methods": ["ce"], "recipe": dict(self.request.recipe)}
        spec = parse_study(keys, Path.cwd(), "distill")
        return spec.recipe.resolve(self.dataset.train, default_numerics(pick_device(self.request.device)))

    def costs(self, teacher: JsonObject) -> StepCosts:
        """Return what steps cost with a teacher, by its keys."""
        given, student = bool(teacher.get("weights")), self._timed(self.request.student_model)
        spec = checked_study(self.request, self.dataset, teacher)
        taught = self._teacher_seconds(spec)
        stored = all(PlannedMethod.of(each, spec.task_config()).can_be_stored for each in spec.method_specs())
        return StepCosts(student.training, 0.0 if given else taught.training, taught.forward, stored)

    def _candidates(self) -> tuple[TeacherCandidate, ...]:
        shape = self._inputs
        known = {name: _parameters(name, self._head_width, shape) for name in USUAL_TEACHERS}
        student = _parameters(self.request.student_model, self._head_width, shape)
        return usual_teachers(shape.channels, shape.shorter_side, known, student)

    def _fitting(self, costs: StepCosts) -> ShippingDesign | None:
        return fitting_design(
            self._seconds(),
            costs,
            self.recipe.steps,
            self._arms,
            workers=self.request.workers,
            pairs=self.request.seeds,
            batch_size=self.recipe.batch_size,
        )

    def _seconds(self) -> float:
        """Return the seconds of training that are left."""
        return training_seconds(self.request.budget, self.spent())

    def _teacher_seconds(self, spec: StudySpec) -> StepSeconds:
        """Return how long the steps of the teacher take; stored predictions take none."""
        if not is_black_box(spec.teacher.last_model):
            return self._timed(spec.teacher.last_model)
        given = open_given_teachers(spec, self.dataset)[0].network
        if isinstance(given, BlackBox) and given.sees_originals:
            return StepSeconds(0.0, 0.0)
        return time_given(given, self._inputs, self.recipe.batch_size, pick_device(self.request.device))

    def _timed(self, model: str) -> StepSeconds:
        """Return how long steps of a network take on this machine, as busy as it is when it is timed."""
        if model not in self._step_seconds:
            self._step_seconds[model] = self._timed_for(model, self._inputs)
        return self._step_seconds[model]

    def _timed_for(self, model: str, inputs: InputSpec) -> StepSeconds:
        few, device = min(_TIMED_IMAGES, self.recipe.batch_size), pick_device(self.request.device)
        found = time_steps(model, self._head_width, inputs, few, device)
        scale = _slowdown() * self.recipe.batch_size / few
        return StepSeconds(scale * found.training, scale * found.forward)

    @property
    def _arms(self) -> int:
        return len(self.request.students()) * (1 + len(self.request.method_names(self.dataset)))

    @property
    def _inputs(self) -> InputSpec:
        return InputSpec(*self.dataset.train.shape)

    @cached_property
    def _head_width(self) -> int:
        spec = checked_study(self.request, self.dataset, {"model": "resnet8"})
        return spec.task_config().head_width(len(self.dataset.classes))


def checked_study(request: ShippingRequest, dataset: Dataset | None, teacher: JsonObject) -> StudySpec:
    """Return a study of the networks and methods of a request, whose names and values are checked.

    Args:
        request: What is wanted.
        dataset: The data, which decide on the task; None before they are read.
        teacher: The key ``teacher``.

    Raises:
        RequestError: A network or method is not known, or a value is not allowed.
    """
    keys = {
        "study": "distill",
        "data": request.source.entry(),
        "teacher": dict(teacher),
        "students": request.students(),
        "methods": ["ce", *(request.method_names(dataset) if dataset else ("kd",))],
    }
    if dataset and request.is_multilabel(dataset):
        keys["task"] = "multilabel"
    with _naming_options():
        return parse_study(keys, Path.cwd(), "distill")


def check_names(request: ShippingRequest) -> None:
    """Check the names of a request, and the files that it names, before its data are read.

    Raises:
        RequestError: A network, method or file is not there, or a value is not allowed.
    """
    with _naming_options():
        check_references(checked_study(request, None, request.teacher or {"model": USUAL_TEACHERS[0]}))


@contextlib.contextmanager
def _naming_options() -> Iterator[None]:
    """Raise errors of a study's keys as those of the options that they were written as."""
    try:
        yield
    except RequestError as error:
        raise _of_option(error) from error


_OPTIONS: Final = {"students": "--student", "methods": "--methods", "teacher": "--teacher"}


def _of_option(error: RequestError) -> RequestError:
    """Return an error of a study's key as one of the option that it was written as."""
    place, _, key = (error.where or "").partition(": ")
    first, *rest = re.split(r"[.:]", key)
    if place != "distill" or first not in _OPTIONS:
        return error
    of_teacher = first == "teacher" and rest and rest != ["model"]
    where = f"--set teacher.{rest[0]}" if of_teacher else _OPTIONS[first]
    return RequestError(error.what, where=where, allowed=error.allowed)


def _slowdown() -> float:
    """Return how much longer work takes here than its processor time, since other work shares the machine:
    the median of a few windows."""
    return statistics.median(_slowdown_now() for _ in range(_BUSY_WINDOWS))


def _slowdown_now() -> float:
    wall, processor = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < _BUSY_SECONDS:
        pass
    return max(1.0, _BUSY_SECONDS / max(time.process_time() - processor, _BUSY_SECONDS / 10))


def _parameters(model: str, classes: int, inputs: InputSpec) -> int:
    try:
        with torch.random.fork_rng(devices=[]):
            return count_parameters(build_model(model, classes=classes, inputs=inputs))
    except RequestError as error:
        raise error.within("--student") from error
