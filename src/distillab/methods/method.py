"""The contract of a method: how what a teacher says becomes a loss for a student."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError
from distillab.models.outputs import Outputs, OutputShapes
from distillab.registry import Registry
from distillab.tasks import Mixed as Mixed

Need = Literal[
    "logits",
    "embedding",
    "maps",
    "attention",
    "preactivations",
    "classifier",
    "teacher_classifier",
    "labels",
    "every_label",
    "ids",
    "memory",
    "groups",
    "inputs",
]
OF_STAGES: tuple[Need, ...] = ("maps", "attention", "preactivations")
OF_THE_LAST_LAYER: frozenset[Need] = frozenset({"embedding", "classifier", "teacher_classifier"})
TeacherKind = Literal["none", "study", "self", "untrained"]

# Types of hyper-parameters: a weight of a loss term, a softmax temperature, a share of something.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]


@dataclass(frozen=True)
class Batch:
    """What a method may know of a batch besides the networks' outputs.

    Attributes:
        labels: int64 ``[N]``, -1 for an image whose label is not known. A method learns from the labels by
            :func:`distillab.methods.divergence.label_loss`, which leaves those out, or says that it needs
            ``every_label``.
        ids: int64 ``[N]``, image ids.
        positions: int64 ``[N]`` in [0, n_train), the places of the images in the training set, for methods
            that remember images.
        epoch: 0-based epoch of the stream of views.
        progress: share of training done, in [0, 1).
        epoch_length: steps in an epoch.
        mixed: the other labels, if two images were mixed: ``label_loss`` knows of them, :attr:`dominant`
            names one of the two.
        groups: int64 ``[N]``, the images' groups, if the training set has groups.
        inputs: float32 ``[N, C, H, W]``, the normalised images as the student sees them.
        arithmetic: a context in which a network of the method's own computes as the student does.
    """

    labels: Tensor
    ids: Tensor
    positions: Tensor
    epoch: int
    progress: float
    epoch_length: int
    mixed: Mixed | None = None
    groups: Tensor | None = None
    inputs: Tensor | None = None
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def dominant(self) -> Tensor:
        """The label with the larger share, int64 ``[N]``; the image's own if they are equal."""
        if self.mixed is None:
            return self.labels
        return torch.where(self.mixed.share >= 0.5, self.labels, self.mixed.labels)


@dataclass(frozen=True)
class Pair:
    """The pair of networks that a method is built for, and what it may know of the transfer set.

    Attributes:
        student: what the student gives.
        teacher: what its teacher gives, or None without one.
        n_train: images in the transfer set.
        labels: their labels, int64 ``[n_train]``, wrong ones included, -1 where there is none.
        groups: their groups, int64 ``[n_train]``, or None if the set has none.
        teacher_classifier: the teacher's last linear layer, from embeddings to logits; it must not be
            changed. None where only shapes are known: while a study is planned.
        new_student: a fresh network of the student's architecture, on the CPU, its initial weights decided
            by the number given, for methods that train peers.
    """

    student: OutputShapes
    teacher: OutputShapes | None
    n_train: int
    labels: Tensor | None = None
    groups: Tensor | None = None
    teacher_classifier: nn.Linear | None = None
    new_student: Callable[[int], nn.Module] | None = None


class Method(nn.Module, ABC):
    """A way to transfer knowledge, built for one pair of networks.

    Class attributes:
        name: the registered name.
        paper: where it comes from, or "" for controls.
        needs: which outputs and facts it uses; those in :data:`distillab.models.outputs.STORABLE` can be
            served from stored teacher outputs.
        asks: what of these it must have from the teacher as well, if that is less than all.
        teacher: whose outputs it learns from: ``none``, the ``study``'s teacher, a trained copy of the
            student (``self``), or an ``untrained`` network of the teacher's architecture.
        weighs_labels: whether images count differently in its loss on the labels.
        revision: counted up when what it computes from the same settings changes, so that runs of before and
            after are never taken for the same; part of a run's id from the second on.
        remembers_images: whether it keeps what it heard about an image for the next time that it is seen,
            which says nothing where it is mixed with another one each time.

    Anything it owns that learns (connectors, memories) is an ordinary submodule or parameter: it is trained
    with the student and never saved with it.

    Its loss on the labels is the term called ``ce``; a sum of methods counts that of the first alone.

    Raises:
        RequestError: when built, if a network of the pair does not give what the method needs.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels"})
    teacher_needs: ClassVar[frozenset[Need] | None] = None
    teacher: ClassVar[TeacherKind] = "study"
    weighs_labels: ClassVar[bool] = False
    remembers_images: ClassVar[bool] = False
    revision: ClassVar[int] = 1

    class Config(BaseModel):
        """Hyper-parameters; the defaults are the canonical paper's."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__()
        self.config = config
        self.pair = pair
        self._must_give("student", pair.student, self.uses(config) - {"teacher_classifier"})
        if pair.teacher is not None:
            self._must_give("teacher", pair.teacher, self.teacher_needs_of(config))
        if "groups" in self.uses(config) and pair.labels is not None and pair.groups is None:
            raise RequestError(
                f"method {self.name} needs to know the group of every image, and the data have no groups",
                allowed="data with groups, or another method",
            )
        if "every_label" in self.uses(config) and pair.labels is not None:
            self._must_be_labelled(pair.labels)

    @classmethod
    def uses(cls, config: Any) -> frozenset[Need]:
        """What it needs under a configuration; :attr:`needs` unless a method says otherwise."""
        return cls.needs

    @classmethod
    def teacher_needs_of(cls, config: Any) -> frozenset[Need]:
        """What it must have from the teacher under a configuration."""
        return cls.uses(config) if cls.teacher_needs is None else cls.teacher_needs

    @classmethod
    def taught_by(cls, config: Any) -> str:
        """Whose outputs it learns from under a configuration; :attr:`teacher` unless it says otherwise."""
        return cls.teacher

    def network(self, student: nn.Module) -> nn.Module:
        """The network that is trained, tested and saved: the student itself, unless a method reshapes it."""
        return student

    def finished(self, network: nn.Module) -> nn.Module:
        """What :meth:`network` gave, once it is trained, as it is tested and saved: with the weights of an
        ordinary student."""
        return network

    def _must_be_labelled(self, labels: Tensor) -> None:
        missing = int((labels == UNLABELLED).sum())
        if missing:
            raise RequestError(
                f"method {self.name} needs the label of every image; {missing} of {len(labels)} have none",
                allowed="labelled images alone, or a method such as kd, which learns from the teacher there",
            )

    def _must_give(self, role: str, shapes: OutputShapes, needs: frozenset[Need]) -> None:
        if needs & OF_THE_LAST_LAYER and shapes.embedding is None:
            raise RequestError(
                f"method {self.name} needs an embedding, and the {role} ends in no linear layer",
                allowed="a network whose last layer is linear, or a method that learns from logits",
            )
        if needs.intersection(OF_STAGES) and not (shapes.maps or shapes.attention):
            raise RequestError(
                f"method {self.name} needs feature maps, and the {role} has no stages that give them",
                allowed="a network with convolutional stages, or a method that learns from logits",
            )

    @abstractmethod
    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Named, weighted terms (scalars); their sum is the loss."""


methods: Registry[type[Method]] = Registry("method")


def method(name: str, *, paper: str = "") -> Callable[[type[Method]], type[Method]]:
    """Class decorator that registers a method under ``name`` with the paper it comes from."""

    def enter(cls: type[Method]) -> type[Method]:
        cls.name, cls.paper = name, paper
        return methods.register(name)(cls)

    return enter
