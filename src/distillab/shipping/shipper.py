"""From data to an exported student: profile, teacher, tuning on val, comparison on test, export."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from distillab.advise.budget import format_budget
from distillab.advise.speed import StepSeconds, time_given, time_steps
from distillab.advise.watch import BudgetWatch, OnBudget
from distillab.canonical import JsonObject, spec_id
from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.raw import RawImage
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model, count_parameters
from distillab.models.black_box import BlackBox, is_black_box
from distillab.models.object_files import copy_objects, texts_in
from distillab.shipping.design import (
    ShippingDesign,
    StepCosts,
    can_be_taught,
    closing_seconds,
    fitting_design,
    full_length_budget,
    too_short,
    training_seconds,
)
from distillab.shipping.milestones import Milestones, OnShippingLine
from distillab.shipping.recipe import shipping_study
from distillab.shipping.record import ShippingRecord
from distillab.shipping.request import USUAL_TEACHERS, ShippingRequest, usual_teachers
from distillab.shipping.warnings import warnings_of
from distillab.sources.file_facts import FileFacts
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.planning.external_teacher import open_given_teachers
from distillab.study.running.deadline import SecondsClock, run_until
from distillab.study.running.tuning import choose_settings
from distillab.study.spec.references import check_references
from distillab.study.spec.study import StudySpec, parse_study
from distillab.study.store import raising_disk_full
from distillab.training.numerics.device import pick_device
from distillab.training.numerics.selection import default_numerics
from distillab.training.recipe import ResolvedRecipe

_BUSY_SECONDS = 0.3  # of work that is timed
_TIMED_IMAGES = 16  # of a step that is timed
PROFILE_SHARE, MOST_PROFILE = 0.1, 60.0  # of the budget, seconds, after which no further measure is begun


@dataclass(frozen=True, eq=False)
class TrainedStudy:
    """A study that ran as far as the budget went.

    Attributes:
        folder: The study.
        record: What was decided when it began.
        complete: Whether all of its runs have ended.
    """

    folder: StudyFolder
    record: ShippingRecord
    complete: bool


@dataclass(eq=False)
class Shipper:
    """Tunes and trains the students of a request, within its budget.

    Args:
        request: What is wanted.
        on_stage: Called while it is made.
        on_line: Called with what a person should read meanwhile.
        clock: Returns seconds.
        started: When the budget began, on the clock; by default now.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> request = ShippingRequest(Digits(), "resnet8", None, ("auto",), 60.0, Path("out"))
        >>> Shipper(request, on_stage=lambda stage, share, left: None, on_line=print).request.budget
        60.0
    """

    request: ShippingRequest
    on_stage: OnBudget
    on_line: OnShippingLine
    clock: SecondsClock = time.monotonic
    started: float | None = None

    def __post_init__(self) -> None:
        started = self.clock() if self.started is None else self.started
        closing = closing_seconds(self.request.budget)
        self.watch = BudgetWatch(self.request.budget, closing, started, self.clock, self.on_stage)

    def train(self) -> TrainedStudy:
        """Profile the data, tune and train the students, or go on with what was begun in the folder.

        Raises:
            RequestError: The data, a network or a method cannot be used as they are, or the budget is too
                short.
            DiskFullError: There is no space left; what was finished is kept.
        """
        request, path = self.request, self.request.folder
        _check_writable(path)
        check_references(self._checked(None, dict(request.teacher or {"model": USUAL_TEACHERS[0]})))
        identity = self._identity()
        record = ShippingRecord.read(path, identity)
        if record is None or not (path / "ledger.sqlite").exists():
            dataset, files = self._read()
            record = record or self._begin(dataset, files, identity)
            spec = self._study(record, dataset)
            record.write(path)
            with raising_disk_full(path):
                copy_objects(
                    texts_in({"students": request.student, "teacher": record.teacher}), path / "objects"
                )
            self.watch.show("planning the study", 0.0)
            folder = StudyFolder.begin(path, spec, pick_device(request.device), dataset=dataset)
        else:
            folder = StudyFolder.open(path)
            self.on_line(f"going on with {path}")
        for note in folder.network_notes:
            self.on_line(note)
        return TrainedStudy(folder, record, self._run(folder))

    # -- before training -------------------------------------------------------------------------------------

    def _identity(self) -> str:
        request = self.request
        facts = (request.source.entry(), request.student, request.teacher, list(request.methods))
        return spec_id([*facts, request.seeds, request.margin, dict(request.recipe)])

    def _read(self) -> tuple[Dataset, FileFacts | None]:
        read: list[FileFacts] = []

        def on_files(items: list[RawImage], names: list[str], ids: Indices) -> None:
            read.append(FileFacts.of(items, names, ids))

        source = self.request.source
        is_image = source.modality == IMAGE
        dataset = load_dataset(source, self.watch.counted, on_files if is_image else None)  # type: ignore[arg-type]
        if not self.request.is_multilabel(dataset) and len(dataset.classes) < 2:
            raise RequestError(
                f"{dataset.name} has one class, which every student predicts without training",
                allowed="at least two classes",
            )
        return dataset, read[0] if read else None

    def _begin(self, dataset: Dataset, files: FileFacts | None, identity: str) -> ShippingRecord:
        """Measure what could go wrong and what steps cost, and decide how the budget is spent."""
        sizes = ", ".join(f"{len(each):,} {name}" for name, each in _splits(dataset))
        _, height, width = dataset.train.shape
        self.on_line(f"{dataset.name}: {len(dataset.classes)} classes, {sizes}, {width}x{height}")
        notes = [self.request.note] if self.request.note else []
        notes += dataset.report.notes
        limit = self.clock() + min(PROFILE_SHARE * self.request.budget, MOST_PROFILE)
        warnings, left = warnings_of(
            dataset, files, is_over=lambda: self.clock() >= limit, progress=self.watch.counted
        )
        if left:
            notes.append(f"Not measured, to keep to the budget: {', '.join(left)}.")
        for text in (*notes, *(f"! {warning}" for warning in warnings)):
            self.on_line(text)
        teacher = self.request.teacher or self._usual_teacher(dataset)
        design, costs = self._design(dataset, teacher)
        if design.share < 1.0:
            notes.append(self._short_training(design, costs, dataset))
            self.on_line(notes[-1])
        return ShippingRecord(identity, design, teacher, warnings, tuple(notes))

    def _short_training(self, design: ShippingDesign, costs: StepCosts, dataset: Dataset) -> str:
        """Return a sentence about a training that is shorter than usual."""
        steps, arms = self._recipe(dataset).steps, self._arms(dataset)
        fit = {"workers": self.request.workers, "pairs": self.request.seeds}
        budget = full_length_budget(self.watch.spent, costs, steps, arms, **fit)  # type: ignore[arg-type]
        return (
            f"Training is short: {design.steps:,} steps of {design.batch_size}, where {steps:,} are usual. A "
            f"longer one may change the answer; the usual length takes a budget of about "
            f"{format_budget(budget)} here."
        )

    def _usual_teacher(self, dataset: Dataset) -> JsonObject:
        """Return the first of the usual teachers that can be trained in its share of the time."""
        shape, width = InputSpec(*dataset.train.shape), self._head_width(dataset)
        known = {name: _parameters(name, width, shape) for name in USUAL_TEACHERS}
        student = _parameters(self._student_model, width, shape)
        candidates = usual_teachers(shape.channels, shape.shorter_side, known, student)
        for candidate in candidates[:-1]:
            seconds = training_seconds(self.request.budget, self.watch.spent)
            step = self._timed(candidate.model, dataset).training
            if can_be_taught(seconds, step, candidate.least_steps):
                return candidate.keys
        return candidates[-1].keys

    def _design(self, dataset: Dataset, teacher: JsonObject) -> tuple[ShippingDesign, StepCosts]:
        """Return the best design that fits into the budget, and what steps cost. Raises RequestError if there
        is none."""
        self.watch.show("timing the networks", 0.0)
        spec = self._checked(dataset, dict(teacher))
        student, given = self._timed(self._student_model, dataset), bool(teacher.get("weights"))
        taught = self._teacher_seconds(spec, dataset)
        costs = StepCosts(student.training, 0.0 if given else taught.training, taught.forward)
        recipe, arms = self._recipe(dataset), self._arms(dataset)
        fit = {"workers": self.request.workers, "pairs": self.request.seeds}
        seconds = training_seconds(self.request.budget, self.watch.spent)
        design = fitting_design(seconds, costs, recipe.steps, arms, batch_size=recipe.batch_size, **fit)  # type: ignore[arg-type]
        if design is None:
            raise too_short(self.request.budget, self.watch.spent, costs, recipe.steps, arms, **fit)  # type: ignore[arg-type]
        own = costs.of_batch(design.batch_size / recipe.batch_size)
        planned = design.seconds(own, arms, self.request.workers)
        self.on_line(_plan_text(design, spec.teacher.label, self.request, dataset, planned))
        return design, costs

    def _teacher_seconds(self, spec: StudySpec, dataset: Dataset) -> StepSeconds:
        """Return how long the steps of the teacher take; stored predictions take none."""
        if not is_black_box(spec.teacher.last_model):
            return self._timed(spec.teacher.last_model, dataset)
        given = open_given_teachers(spec, dataset)[0].network
        if isinstance(given, BlackBox) and given.sees_originals:
            return StepSeconds(0.0, 0.0)
        recipe, device = self._recipe(dataset), pick_device(self.request.device)
        return time_given(given, InputSpec(*dataset.train.shape), recipe.batch_size, device)

    def _arms(self, dataset: Dataset) -> int:
        return len(self.request.students()) * (1 + len(self.request.method_names(dataset)))

    def _timed(self, model: str, dataset: Dataset) -> StepSeconds:
        """Return how long steps of a network take on this machine, as busy as it is now."""
        recipe, shape = self._recipe(dataset), InputSpec(*dataset.train.shape)
        few = min(_TIMED_IMAGES, recipe.batch_size)
        found = time_steps(model, self._head_width(dataset), shape, few, pick_device(self.request.device))
        scale = _slowdown() * recipe.batch_size / few
        return StepSeconds(scale * found.training, scale * found.forward)

    def _checked(self, dataset: Dataset | None, teacher: dict[str, object]) -> StudySpec:
        """Return a study of these networks and methods, whose names and values are checked.

        Args:
            dataset: The data, which decide on the task; None before they are read.
            teacher: The key ``teacher``.
        """
        keys = {
            "study": "distill",
            "data": self.request.source.entry(),
            "teacher": teacher,
            "students": self.request.students(),
            "methods": ["ce", *(self.request.method_names(dataset) if dataset else ("kd",))],
        }
        if dataset and self.request.is_multilabel(dataset):
            keys["task"] = "multilabel"
        return parse_study(keys, Path.cwd(), "distill")

    def _study(self, record: ShippingRecord, dataset: Dataset) -> StudySpec:
        return shipping_study(
            self.request.source.entry(),
            self.request.students(),
            record.teacher,
            self.request.method_names(dataset),
            self._recipe(dataset),
            record.design,
            multilabel=self.request.is_multilabel(dataset),
            margin=self.request.margin,
            name=f"distill-{dataset.name}",
        )

    def _recipe(self, dataset: Dataset) -> ResolvedRecipe:
        keys = {"study": "distill", "data": self.request.source.entry(), "teacher": {"model": "resnet8"}}
        keys |= {"students": ["resnet8"], "methods": ["ce"], "recipe": dict(self.request.recipe)}
        spec = parse_study(keys, Path.cwd(), "distill")
        return spec.recipe.resolve(dataset.train, default_numerics(pick_device(self.request.device)))

    @property
    def _student_model(self) -> str:
        entry = self.request.students()[0]
        return entry if isinstance(entry, str) else str(entry["model"])

    def _head_width(self, dataset: Dataset) -> int:
        return self._checked(dataset, {"model": "resnet8"}).task_config().head_width(len(dataset.classes))

    # -- training --------------------------------------------------------------------------------------------

    def _run(self, folder: StudyFolder) -> bool:
        """Train until all runs have ended or the deadline has passed; return whether they have."""
        lines = Milestones(folder, self.on_line)
        stage = "teacher and tuning on val"

        def on_share(share: float) -> None:
            lines.look()
            self.watch.show(stage, share)

        run = partial(
            run_until,
            folder,
            self.watch.deadline,
            executor=self.request.executor,
            workers=self.request.workers,
            device=self.request.device,
            on_progress=on_share,
            clock=self.clock,
        )
        complete = run()
        lines.look()
        while complete and choose_settings(folder):
            lines.chosen()
            stage = "plain and distilled students"
            complete = run()
        return complete


def _slowdown() -> float:
    """Return how much longer work takes here than its processor time, since other work shares the machine."""
    wall, processor = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < _BUSY_SECONDS:
        pass
    return max(1.0, _BUSY_SECONDS / max(time.process_time() - processor, _BUSY_SECONDS / 10))


def _plan_text(
    design: ShippingDesign, teacher: str, request: ShippingRequest, dataset: Dataset, seconds: float
) -> str:
    taught = (
        f"{teacher} for {design.teacher_steps:,} steps" if design.teacher_steps else f"{teacher} as given"
    )
    methods = ", ".join(request.method_names(dataset))
    return (
        f"plan: teacher {taught}; ce, {methods}: {design.settings} settings each on val, at most "
        f"{design.steps:,} steps; then {design.pairs} pairs of the best method and the plain student; about "
        f"{seconds / 60:.0f} min"
    )


def _parameters(model: str, classes: int, inputs: InputSpec) -> int:
    try:
        with torch.random.fork_rng(devices=[]):
            return count_parameters(build_model(model, classes=classes, inputs=inputs))
    except RequestError as error:
        raise error.within("--student") from error


def _splits(dataset: Dataset) -> list[tuple[str, Examples]]:
    return [("train", dataset.train), ("val", dataset.val), ("test", dataset.eval["test"])]


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RequestError(
            f"cannot write there ({error.strerror})",
            where=f"--out {folder}",
            allowed="a folder you can write",
        ) from error
