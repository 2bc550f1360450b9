"""Jobs: the units of work of a study, as a plan describes them and a ledger keeps them.

A job's id is the content address of its specification (``spec_dict``). Its condition and its ``inputs`` make
again what it reads, and are in no id. Dictionaries are used at the edge of the ledger alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from distillab.canonical import JsonObject, spec_id
from distillab.study.job_parts import (
    TRAINED,
    ConditionSpec,
    Origin,
    PlannedStart,
    RunSeeds,
    SetDigests,
    TeacherSource,
    ViewStream,
    read_class_map,
    read_origin,
    read_start,
)

# Raise when the same specification would give other numbers than before: it is part of every run's id.
SPEC_VERSION = 1
MAX_COHORT = 16  # students of a cohort that a worker claims together

Kind = Literal["teacher", "outputs", "student"]
KINDS: tuple[Kind, ...] = ("teacher", "outputs", "student")
TrainSet = Literal["transfer", "same", "full", "self"]
LOGITS_ONLY = ("logits",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work(ABC):
    """What all jobs have.

    Attributes:
        id: The content address of :meth:`spec_dict`, unless it is given, as by a ledger of an older version.
        condition: The condition whose sets the job reads.
        needs: Ids of jobs to be done before.
        cost: An estimate in multiply-accumulates.
        threads: Compute threads of the worker that does it.
    """

    id: str = ""
    condition: ConditionSpec
    needs: tuple[str, ...] = ()
    cost: float = 0.0
    threads: int = 1

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", spec_id(self.spec_dict()))

    @abstractmethod
    def spec_dict(self) -> JsonObject:
        """Return the canonical specification: everything that can change the numbers of the job."""

    @abstractmethod
    def inputs_dict(self) -> JsonObject:
        """Return the condition and the inputs as the ledger stores them, in one mapping."""

    def _general(self, kind: Kind) -> JsonObject:
        threads = {"threads": self.threads} if self.threads != 1 else {}
        return {"kind": kind, "schema": SPEC_VERSION, **threads}


def _revision(number: int) -> JsonObject:
    """Return what a specification states of the revision of its network: nothing for the first."""
    return {"network_revision": number} if number > 1 else {}


@dataclass(frozen=True)
class TeacherInputs:
    """What makes a teacher again, beside its specification.

    Attributes:
        train: Which of the condition's sets it learns from: by provenance, or ``self``.
        weights: The file of given weights.
        code: Files of methods that are not registered, by the digest of their code.
    """

    train: TrainSet
    weights: str | None = None
    code: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherJob(_Work):
    """A teacher: trained, distilled, given, or made of several.

    Attributes:
        model: The network by name.
        seeds: Of its training.
        recipe: The resolved recipe it is trained with.
        sets: What it learns from and is tested on.
        origin: How it comes to be.
        start: What its training starts from; None for random weights.
        task: The task, if it is not classification.
        revision: Of the network's construction (:func:`distillab.models.network_revision`).
    """

    kind: ClassVar[Literal["teacher"]] = "teacher"
    cohort: ClassVar[str] = ""

    model: str
    seeds: RunSeeds
    recipe: JsonObject
    sets: SetDigests
    origin: Origin = TRAINED
    start: PlannedStart | None = None
    task: JsonObject | None = None
    revision: int = 1
    inputs: TeacherInputs

    def spec_dict(self) -> JsonObject:
        return {
            **self._general("teacher"),
            **({"task": self.task} if self.task else {}),
            **self.origin.as_dict(),
            **({"start": self.start.canonical} if self.start else {}),
            "model": self.model,
            **_revision(self.revision),
            "seeds": self.seeds.as_dict(),
            "recipe": self.recipe,
            "sets": self.sets.canonical,
        }

    def inputs_dict(self) -> JsonObject:
        weights = {"weights": self.inputs.weights} if self.inputs.weights else {}
        code = {"code": dict(self.inputs.code)} if self.inputs.code else {}
        start = self.start.inputs if self.start else {}
        return {**self.condition.as_dict(), "train": self.inputs.train, **code, **weights, **start}


@dataclass(frozen=True)
class OutputsInputs:
    """What makes a teacher's outputs again, beside their specification.

    Attributes:
        recipe: The resolved recipe of the students that the teacher serves.
        keep: The outputs that are stored. They follow from the methods of the study, and are in no id.
        strong: Whether they are stored for strong views as well; in no id either.
    """

    recipe: JsonObject
    keep: tuple[str, ...] = LOGITS_ONLY
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputsJob(_Work):
    """A teacher's outputs for the transfer set under every view, and for the test sets.

    Attributes:
        teacher: The job of the teacher.
        images: Content address of the transfer images. Labels are left out, since outputs do not depend on
            them, so that conditions which differ in labels alone share a job.
        eval: Content addresses of the images of the test sets.
        views: The views that outputs are stored for; None if none are.
        view_seed: The seed of the views.
        normalization: Content address of the channel statistics.
        class_map: From the teacher's classes to the student's, if they differ.
        top_k: Of the logits, how many are stored; None for all.
        endless: Whether views are drawn without end, so that they are known by an example's id.
        labelled: Content address of which images are labelled, if some are not and views mix images, which
            they do among images of one kind.
    """

    kind: ClassVar[Literal["outputs"]] = "outputs"
    cohort: ClassVar[str] = ""

    teacher: str
    images: str
    eval: Mapping[str, str]
    views: ViewStream | None
    view_seed: int
    normalization: str
    class_map: tuple[int, ...] | None = None
    top_k: int | None = None
    endless: bool = False
    labelled: str = ""
    inputs: OutputsInputs

    def spec_dict(self) -> JsonObject:
        spec = {
            **self._general("outputs"),
            "teacher": self.teacher,
            "images": self.images,
            "eval": dict(self.eval),
            "views": self.views.as_list() if self.views else None,
            "view_seed": self.view_seed,
            "normalisation": self.normalization,
        }
        if self.class_map:
            spec["class_map"] = list(self.class_map)
        # Both were once stored in another way, under ids without these keys.
        if self.top_k is not None:
            spec |= {"top_k": self.top_k, "rest": "kept"}
        if self.endless:
            spec["views known by"] = "id"
        if self.labelled:
            spec["labelled"] = self.labelled
        return spec

    def inputs_dict(self) -> JsonObject:
        values = {**self.condition.of_transfer, "recipe": self.inputs.recipe}
        if self.views and self.inputs.keep != LOGITS_ONLY:
            values["keep"] = list(self.inputs.keep)
        if self.views and self.inputs.strong:
            values["strong"] = True
        return values


@dataclass(frozen=True)
class StudentInputs:
    """What makes a student again, beside its specification.

    Attributes:
        code: Files of methods that are not registered, by the digest of their code.
        train: What it learns from: the transfer set, or the labelled examples of it.
    """

    code: Mapping[str, str] = field(default_factory=dict)
    train: Literal["transfer", "labelled"] = "transfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentJob(_Work):
    """A student, plain or distilled.

    Attributes:
        model: The network by name.
        method: The method it is trained with.
        recipe: Its resolved recipe.
        sets: What it learns from and is tested on.
        seeds: Of its training.
        start: What it starts from; None for random weights.
        teacher: Where its teacher's outputs come from; None for a student without a teacher.
        class_map: From its teacher's classes to its own, if they differ.
        task: The task, if it is not classification.
        revision: Of the network's construction (:func:`distillab.models.network_revision`).
        cohort: Names the students that share a live teacher and every batch: they can be trained in step,
            with one forward pass of the teacher for all of them. Empty for a student that is trained alone.
    """

    kind: ClassVar[Literal["student"]] = "student"

    model: str
    method: JsonObject
    recipe: JsonObject
    sets: SetDigests
    seeds: RunSeeds
    start: PlannedStart | None = None
    teacher: TeacherSource | None = None
    class_map: tuple[int, ...] | None = None
    task: JsonObject | None = None
    revision: int = 1
    inputs: StudentInputs = StudentInputs()
    cohort: str = ""

    def spec_dict(self) -> JsonObject:
        spec = dict(self._general("student"))
        spec["model"] = self.model
        spec |= _revision(self.revision)
        spec["method"] = self.method
        spec["recipe"] = self.recipe
        spec["sets"] = self.sets.canonical
        spec["seeds"] = self.seeds.canonical
        spec["teacher"] = self.teacher.canonical if self.teacher else None
        if self.class_map:
            spec["class_map"] = list(self.class_map)
        if self.task:
            spec["task"] = self.task
        if self.start:
            spec["start"] = self.start.canonical
        return spec

    def inputs_dict(self) -> JsonObject:
        condition = self.condition
        learned = condition.of_labelled if self.inputs.train == "labelled" else condition.of_transfer
        if not self.inputs.code and not self.start:
            return learned
        code = {"code": dict(self.inputs.code)} if self.inputs.code else {}
        start = self.start.inputs if self.start else {}
        return {**learned, **code, **start}


Job = TeacherJob | OutputsJob | StudentJob


# -- the edge of the ledger --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job in the form in which a ledger stores it.

    Attributes:
        spec: Its specification, which its id is the content address of.
        inputs: Its condition and its other inputs, in one mapping.
    """

    id: str
    kind: Kind
    spec: JsonObject
    inputs: JsonObject
    needs: tuple[str, ...] = ()
    cost: float = 0.0
    cohort: str = ""

    @classmethod
    def of(cls, job: Job) -> StoredJob:
        """Return the stored form of a job."""
        return cls(
            id=job.id,
            kind=job.kind,
            spec=job.spec_dict(),
            inputs=job.inputs_dict(),
            needs=job.needs,
            cost=job.cost,
            cohort=job.cohort,
        )

    def job(self) -> Job:
        """Return the job, also of a ledger of an older version: its id is kept."""
        if self.kind == "teacher":
            return self._teacher()
        return self._outputs() if self.kind == "outputs" else self._student()

    def _teacher(self) -> TeacherJob:
        spec, inputs = self.spec, self.inputs
        weights = inputs.get("weights") or spec.get("fixed", {}).get("weights")
        return TeacherJob(
            **self._general(),
            model=spec["model"],
            seeds=RunSeeds(**spec["seeds"]),
            recipe=spec["recipe"],
            sets=SetDigests.from_dict(spec["sets"]),
            origin=read_origin(spec),
            start=read_start(spec, inputs),
            task=spec.get("task"),
            revision=spec.get("network_revision", 1),
            inputs=TeacherInputs(inputs["train"], weights, inputs.get("code", {})),
        )

    def _outputs(self) -> OutputsJob:
        spec, inputs = self.spec, self.inputs
        views = ViewStream(*spec["views"]) if spec["views"] is not None else None
        keep = inputs.get("keep", LOGITS_ONLY) if views else ()
        return OutputsJob(
            **self._general(),
            teacher=spec["teacher"],
            images=spec["images"],
            eval=spec["eval"],
            views=views,
            view_seed=spec["view_seed"],
            normalization=spec["normalisation"],
            class_map=read_class_map(spec),
            top_k=spec.get("top_k"),
            endless="views known by" in spec,
            labelled=spec.get("labelled", ""),
            inputs=OutputsInputs(inputs["recipe"], tuple(keep), bool(inputs.get("strong"))),
        )

    def _student(self) -> StudentJob:
        spec = self.spec
        return StudentJob(
            **self._general(),
            cohort=self.cohort,
            model=spec["model"],
            method=spec["method"],
            recipe=spec["recipe"],
            sets=SetDigests.from_dict(spec["sets"]),
            seeds=RunSeeds(**spec["seeds"]),
            start=read_start(spec, self.inputs),
            teacher=TeacherSource.from_dict(spec["teacher"]) if spec["teacher"] else None,
            class_map=read_class_map(spec),
            task=spec.get("task"),
            revision=spec.get("network_revision", 1),
            inputs=StudentInputs(self.inputs.get("code", {}), self.inputs.get("train", "transfer")),
        )

    def _general(self) -> JsonObject:
        return {
            "id": self.id,
            "condition": ConditionSpec.from_dict(self.inputs),
            "needs": self.needs,
            "cost": self.cost,
            "threads": self.spec.get("threads", 1),
        }
