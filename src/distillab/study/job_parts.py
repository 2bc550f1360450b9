"""Parts of a job's specification: typed, and each serialized once however many jobs hold it.

Recipes, methods, tasks and factors stand here in their written form, which the packages that own them
read: so the module is light to import, as the ledger is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from distillab.canonical import Canonical, JsonObject


class Part(ABC):
    """A part that many specifications hold. Its canonical form is made, and serialized, once."""

    @abstractmethod
    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""

    @cached_property
    def canonical(self) -> Canonical:
        """The JSON-able form with its canonical JSON."""
        return Canonical(self.as_dict())


@dataclass(frozen=True)
class FactorSpec(Part):
    """A factor at one level.

    Attributes:
        name: The registered name.
        config: Its whole configuration.
    """

    name: str
    config: JsonObject

    def as_dict(self) -> JsonObject:
        return {"name": self.name, "config": self.config}


@dataclass(frozen=True)
class ConditionSpec(Part):
    """A condition as it is written: factors at one level each, in order, and the seed of their draws."""

    chain: tuple[FactorSpec, ...]
    seed: int

    def as_dict(self) -> JsonObject:
        return {"chain": [factor.canonical for factor in self.chain], "seed": self.seed}

    @classmethod
    def from_dict(cls, values: JsonObject) -> ConditionSpec:
        """Return the condition that :meth:`as_dict` described; other keys are ignored."""
        chain = tuple(FactorSpec(each["name"], each["config"]) for each in values.get("chain", ()))
        return cls(chain, values["seed"])

    @cached_property
    def of_transfer(self) -> Canonical:
        """The form in which the ledger stores the condition of a job that reads the transfer set."""
        return Canonical({**self.as_dict(), "train": "transfer"})

    @cached_property
    def of_labelled(self) -> Canonical:
        """The form for a job that reads the labelled examples of the transfer set."""
        return Canonical({**self.as_dict(), "train": "labelled"})


@dataclass(frozen=True)
class RunSeeds(Part):
    """Seeds of a training: of the initial weights, of the order of examples, of the views."""

    init: int
    order: int
    views: int

    def as_dict(self) -> JsonObject:
        return {"init": self.init, "order": self.order, "views": self.views}


@dataclass(frozen=True)
class SetDigests(Part):
    """Content addresses of the sets that a training reads, and of the channel statistics."""

    train: str
    val: str
    eval: Mapping[str, str]
    normalization: str

    def as_dict(self) -> JsonObject:
        return {
            "train": self.train,
            "val": self.val,
            "eval": dict(self.eval),
            "normalisation": self.normalization,
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> SetDigests:
        return cls(values["train"], values["val"], values["eval"], values["normalisation"])


@dataclass(frozen=True)
class ViewStream:
    """The views under which outputs are stored (operations, padding, epochs), and the teacher's precision."""

    views: str | list[Any]
    pad: int
    epochs: int
    precision: str

    def as_list(self) -> list[Any]:
        return [self.views, self.pad, self.epochs, self.precision]


@dataclass(frozen=True)
class TeacherSource(Part):
    """Where a student finds its teacher's outputs: stored by a ``job``, or given by a ``live`` teacher."""

    job: str
    live: bool

    def as_dict(self) -> JsonObject:
        return {"live" if self.live else "outputs": self.job}

    @classmethod
    def from_dict(cls, values: JsonObject) -> TeacherSource:
        live = "live" in values
        return cls(values["live" if live else "outputs"], live)


@dataclass(frozen=True)
class InputScaling:
    """``x * scale + shift`` per channel: from the study's normalized images to those of given weights."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def as_dict(self) -> dict[str, list[float]]:
        return {"scale": list(self.scale), "shift": list(self.shift)}


def read_scaling(values: JsonObject) -> InputScaling | None:
    """Return the scaling of inputs that a specification holds, or None."""
    given = values.get("inputs")
    return InputScaling(tuple(given["scale"]), tuple(given["shift"])) if given else None


@dataclass(frozen=True)
class NetworkStart(Part):
    """The trained weights that a network starts from.

    Attributes:
        digest: Content address of their file.
        pretrained: Whether they belong to the name of the network.
        scaling: How images are scaled for them, if not as for the other networks.
        interpolation: How images are resized for them, if not as usual.
        keep: The number of the network's first stages that keep them in training.
        path: The file, wherever it is; not part of the specification.
    """

    digest: str
    pretrained: bool = False
    scaling: InputScaling | None = None
    interpolation: str | None = None
    keep: int = 0
    path: str = field(default="", compare=False)

    def as_dict(self) -> JsonObject:
        values: dict[str, object] = {"weights": self.digest}
        if self.pretrained:
            values["pretrained"] = True
        if self.scaling is not None:
            values["inputs"] = self.scaling.as_dict()
        if self.interpolation is not None:
            values["interpolation"] = self.interpolation
        return {**values, **_kept(self.keep)}

    @property
    def inputs(self) -> JsonObject:
        """What finds it again, beside the specification."""
        return {"start": self.path}


@dataclass(frozen=True)
class RunStart(Part):
    """A network of the same plan that a network starts from.

    Attributes:
        kind: ``student`` of the same architecture, or ``teacher``, of which the weights are kept that have a
            name and a shape of the network's.
        job: The job that makes it.
        fresh_classifier: Whether the classifier keeps its random weights: that of a teacher with its classes
            in another order.
        keep: The number of the network's first stages that keep these weights in training.
    """

    kind: Literal["student", "teacher"]
    job: str
    fresh_classifier: bool = False
    keep: int = 0

    def as_dict(self) -> JsonObject:
        fresh = {"classifier": "fresh"} if self.fresh_classifier else {}
        return {self.kind: self.job, **fresh, **_kept(self.keep)}

    @property
    def inputs(self) -> JsonObject:
        """What finds it again, beside the specification: nothing."""
        return {}


PlannedStart = NetworkStart | RunStart


def _kept(stages: int) -> JsonObject:
    """Return what a specification states of the stages that are kept: nothing if there are none."""
    return {"keep": stages} if stages else {}


def needed_by(start: PlannedStart | None) -> tuple[str, ...]:
    """Return the job that a network needs that starts from its artifact, if it does."""
    return (start.job,) if isinstance(start, RunStart) else ()


def read_start(spec: JsonObject, inputs: JsonObject) -> PlannedStart | None:
    """Return what the network of a stored specification starts from, or None for random weights."""
    if "start" not in spec:
        return None
    start = spec["start"]
    keep = start.get("keep", 0)
    if "student" in start:
        return RunStart("student", start["student"], keep=keep)
    if "teacher" in start:
        return RunStart("teacher", start["teacher"], "classifier" in start, keep)
    return NetworkStart(
        start["weights"],
        start.get("pretrained", False),
        read_scaling(start),
        start.get("interpolation"),
        keep,
        inputs["start"],
    )


# -- how a teacher comes to be -----------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainedOrigin:
    """A teacher that is trained on labels."""

    def as_dict(self) -> JsonObject:
        return {}


@dataclass(frozen=True)
class DistilledOrigin:
    """A teacher that is itself distilled.

    Attributes:
        by: The job of its own teacher.
        method: The method it is distilled by.
        class_map: From its teacher's classes to its own, if they differ.
    """

    by: str
    method: JsonObject
    class_map: tuple[int, ...] | None = None

    def as_dict(self) -> JsonObject:
        mapped = {"class_map": list(self.class_map)} if self.class_map else {}
        return {"taught": {"by": self.by, "method": self.method, **mapped}}


@dataclass(frozen=True)
class EnsembleOrigin:
    """A teacher that consists of the teachers of several jobs, its ``members``."""

    members: tuple[str, ...]

    def as_dict(self) -> JsonObject:
        return {"members": list(self.members)}


@dataclass(frozen=True)
class WeightsOrigin:
    """A teacher whose weights are given, or initial.

    Attributes:
        digest: Content address of the weights file; None for initial weights (a control).
        scaling: How images are scaled for it, if not as for the other networks.
        classes: How many classes it knows, if it is given classes of its own.
        class_map: From those classes to the data's, if they differ.
        entry: The entry of the file to which the choice is limited.
    """

    digest: str | None = None
    scaling: InputScaling | None = None
    classes: int | None = None
    class_map: tuple[int, ...] | None = None
    entry: str = ""

    def as_dict(self) -> JsonObject:
        # The id names the content of the weights, so their path is always null in it.
        fixed: dict[str, object] = {"weights": None, "digest": self.digest}
        if self.scaling is not None:
            fixed["inputs"] = self.scaling.as_dict()
        if self.classes is not None:
            fixed |= {"classes": self.classes, "class_map": self.class_map}
        if self.entry:
            fixed["entry"] = self.entry
        return {"fixed": fixed}


TRAINED = TrainedOrigin()
Origin = TrainedOrigin | DistilledOrigin | EnsembleOrigin | WeightsOrigin


def read_origin(spec: JsonObject) -> Origin:
    """Return how the teacher of a stored specification comes to be."""
    if "fixed" in spec:
        fixed = spec["fixed"]
        classes, entry = fixed.get("classes"), fixed.get("entry", "")
        return WeightsOrigin(fixed["digest"], read_scaling(fixed), classes, read_class_map(fixed), entry)
    if "members" in spec:
        return EnsembleOrigin(tuple(spec["members"]))
    if "taught" in spec:
        taught = spec["taught"]
        return DistilledOrigin(taught["by"], taught["method"], read_class_map(taught))
    return TRAINED


def read_class_map(values: JsonObject) -> tuple[int, ...] | None:
    return tuple(values["class_map"]) if values.get("class_map") else None
