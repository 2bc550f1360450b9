"""The contract of a method: how the outputs of a teacher become a loss for a student."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from distillab.config import PublicConfig
from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError
from distillab.methods.batch import Batch, Pair
from distillab.methods.needs import BatchNeed, LabelNeed, Need, OutputNeed, Requirements, TeacherKind
from distillab.models.input_spec import InputSpec
from distillab.models.outputs import OF_DETECTORS, OF_LAST_LAYER, OF_STAGES, Outputs, OutputShapes
from distillab.registry import Registry
from distillab.tasks import Mixed

__all__ = [
    "SUPERVISED",
    "Batch",
    "BatchNeed",
    "LabelNeed",
    "Method",
    "Mixed",
    "Need",
    "OutputNeed",
    "Pair",
    "Requirements",
    "Share",
    "TeacherKind",
    "Temperature",
    "Weight",
    "WeightedConfig",
    "method",
    "methods",
]

# Types of hyper-parameters: the weight of a loss term, a softmax temperature, a proportion.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]

SUPERVISED = "ce"
"""Name of the loss term on the labels, whatever the task."""


class Method(nn.Module, ABC):
    """A way to transfer knowledge, built for one pair of networks.

    The loss is the sum of the terms that :meth:`total` returns: the supervised term and the transfer terms of
    :meth:`forward`. Whatever a method owns that learns (connectors, memories) is an ordinary submodule or
    parameter: it is trained with the student and never saved with it.

    Attributes:
        name: The registered name.
        paper: The source, or "" for controls.
        needs: What it uses; those in :data:`distillab.models.outputs.STORABLE` can be served from cached
            teacher outputs.
        teacher_needs: What it uses of the teacher, if that is less than ``needs``.
        teacher: Whose outputs it learns from.
        tasks: Names of the tasks that its formula holds for; None means all.
        weighs_labels: Whether its supervised term weighs examples.
        learns_unlabelled: Whether it learns from unlabelled examples, which batches then hold beside the
            labelled ones; None if it does so where it has a teacher.
        remembers_images: Whether it keeps something about an example for the next time that it is seen, which
            is meaningless where augmentation mixes it with another one each time.
        keeps_exits: Whether it gives the student exits that stay in it.
        matches_compute: Whether students train for as many more steps as the study's teacher costs.
        throughout: Whether students train in the place of the stages that others start from as well.
        pair_defaults: Settings that the authors chose for one (teacher, student), by the names of the
            networks: they replace defaults where a study names that pair and leaves them open.
        later_settings: Settings that are younger than some studies: they are in no run id at their defaults.
        resumable: Whether a training with it can go on from a snapshot, which needs all of its state to be in
            parameters, buffers and attributes of numbers, strings and their containers; None for methods of
            this package, whose attributes are checked, and means no for those of users.
        transient: Names of attributes that never change in training, or that each step fills for itself.
        revision: Raised when what it computes from the same settings changes, so that earlier runs are never
            taken for the same; part of a run's id from 2 on.

    The formulas of methods write the task's supervised loss as CE(p_s, y) and its divergence as KL(p_t ||
    p_s), which they are in classification.

    Raises:
        RequestError: When built, if the method does not hold for the task, or a network of the pair lacks
            what the method needs.

    Example:
        >>> class HalfTheLogits(Method):
        ...     class Config(WeightedConfig):
        ...         strength: Weight = 0.5
        ...
        ...     def forward(self, student, teacher, batch):
        ...         distance = (student.logits - teacher.logits.detach()).square().mean()
        ...         return {"logits": self.config.strength * distance}
        >>> HalfTheLogits.Config().model_dump()
        {'ce_weight': 1.0, 'strength': 0.5}
        >>> requirements = HalfTheLogits.requirements(HalfTheLogits.Config())
        >>> sorted(requirements.needs), requirements.teacher
        (['labels', 'logits'], 'study')
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels"})
    teacher_needs: ClassVar[frozenset[Need] | None] = None
    teacher: ClassVar[TeacherKind] = "study"
    tasks: ClassVar[frozenset[str] | None] = None
    weighs_labels: ClassVar[bool] = False
    learns_unlabelled: ClassVar[bool | None] = None
    remembers_images: ClassVar[bool] = False
    keeps_exits: ClassVar[bool] = False
    matches_compute: ClassVar[bool] = False
    throughout: ClassVar[bool] = False
    pair_defaults: ClassVar[Mapping[tuple[str, str], Mapping[str, float]]] = {}
    later_settings: ClassVar[frozenset[str]] = frozenset()
    resumable: ClassVar[bool | None] = None
    transient: ClassVar[frozenset[str]] = frozenset()
    revision: ClassVar[int] = 1

    class Config(PublicConfig):
        """Hyper-parameters; the defaults are the canonical paper's."""

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__()
        self.config = config
        self.pair = pair
        self.task = (
            pair.task if pair.labels is None else pair.task.for_training(pair.labels, pair.student.classes)
        )
        # The identities of the training examples are not known where only shapes are.
        self.learned_loss = None if pair.labels is None else self.task.learned_loss(pair.labels)
        requirements = self.requirements(config)
        self.learns_from = requirements.teacher
        self._check_task()
        self._check_shapes("student", pair.student, requirements.needs - {"teacher_classifier"})
        if pair.teacher is not None:
            self._check_shapes("teacher", pair.teacher, requirements.teacher_needs)
            self._check_cells(pair.teacher, requirements.teacher_needs)
        if pair.labels is not None:
            self._check_examples(pair.labels, pair.groups, requirements.needs)

    def teacher_shapes_of_same_classes(self) -> OutputShapes:
        """Return the shapes of the teacher's outputs; of the student's where a teacher is not known yet.

        Raises:
            RequestError: The teacher has other classes than the student.
        """
        shapes = self.pair.student if self.pair.teacher is None else self.pair.teacher
        wanted = self.pair.student.classes
        if shapes.classes != wanted:
            raise RequestError(
                f"method {self.name} needs a teacher of the student's {wanted} classes, not {shapes.classes}",
                allowed="such a teacher, or a method that learns from embeddings",
            )
        return shapes

    @classmethod
    def requirements(cls, config: Any) -> Requirements:
        """Return what the method requires under a configuration: by default, what its class declares."""
        of_teacher = cls.needs if cls.teacher_needs is None else cls.teacher_needs
        return Requirements(cls.needs, frozenset() if cls.teacher == "none" else of_teacher, cls.teacher)

    @classmethod
    def check_networks(cls, student: nn.Module, teacher: nn.Module, inputs: InputSpec, names: str) -> None:
        """Raise RequestError if the method, which needs the teacher itself, cannot serve two networks.

        By default it can. It is called while a study is planned, with new networks.

        Args:
            student: A network like the student.
            teacher: A network like the teacher.
            inputs: The shape of an input.
            names: The names of both, for errors.
        """

    @classmethod
    def revision_of(cls, config: Any) -> int:
        """Return the revision of what it computes under a configuration: by default, of its class."""
        return cls.revision

    @classmethod
    def momentum_shift_of(cls, config: Any) -> float:
        """Return half the difference between the momenta of the transfer and of the supervised gradient.

        The mean of the two is the recipe's momentum. By default 0: one momentum for the gradient of the sum.
        """
        return 0.0

    def network(self, student: nn.Module) -> nn.Module:
        """Return the network to train, evaluate and save: the student itself, unless a method reshapes it."""
        return student

    def finished(self, network: nn.Module) -> nn.Module:
        """Return the trained :meth:`network` with the weights of an ordinary student, to be evaluated and
        saved."""
        return network

    def total(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return all weighted loss terms, the supervised one first; their sum is the loss.

        Args:
            student: The student's outputs.
            teacher: The teacher's outputs; None for a method without a teacher.
            batch: What is known of the batch.

        Raises:
            ValueError: The method needs a teacher and there is none, or outputs lack what it needs.
        """
        terms = self._forward(student, teacher, batch)
        if SUPERVISED in terms:
            return terms
        # Made last: the order in which gradients of the logits are added up is part of the numbers.
        return {SUPERVISED: self.supervised(student, batch), **terms}

    def transfer(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted transfer terms alone, for a method that adds to another one's loss.

        Arguments and errors are those of :meth:`total`.
        """
        terms = self._forward(student, teacher, batch)
        return {name: term for name, term in terms.items() if name != SUPERVISED}

    def supervised(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the weighted supervised term: ``ce_weight``, or 1 without one, times :meth:`label_term`."""
        weight: float = getattr(self.config, "ce_weight", 1.0)
        return weight * self.label_term(student, batch)

    def label_term(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the mean loss on the labels: by default the task's, over the labelled examples."""
        return self.label_loss(student.logits, batch).mean()

    def label_loss(self, logits: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Return the task's loss of each example, ``[N]``; its mean is that over the labelled examples."""
        loss = self.task.loss(logits, batch.labels, mixed=batch.mixed, smoothing=smoothing)
        if self.learned_loss is None:
            return loss
        learned: Tensor = self.learned_loss(logits, batch.labels)
        return loss + learned

    @abstractmethod
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the transfer terms: named, weighted scalars.

        A method without a teacher is called with None. A term called ``ce`` takes the place of
        :meth:`supervised`, for a method whose loss on the labels shares what the others compute.
        """

    def _forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        if teacher is None and self.learns_from != "none":
            raise ValueError(f"method {self.name} needs a teacher's outputs")
        terms: dict[str, Tensor] = self(student, teacher, batch)
        return terms

    def _check_task(self) -> None:
        if self.keeps_exits and self.task.judges_embeddings:
            raise RequestError(
                f"method {self.name} makes several exits, and the task {self.task.name} judges one embedding",
                allowed="task: classification, or a method without exits",
            )
        if self.task.dense and "strong_view" in self.needs:
            raise RequestError(
                f"method {self.name} compares strong views, which cannot move boxes with the pixels",
                allowed="another method",
            )
        if self.tasks is not None and not self.tasks & self.task.kinds():
            raise RequestError(
                f"method {self.name} is defined for {' and '.join(sorted(self.tasks))} alone, not for "
                f"{self.task.name}",
                allowed="another method, such as kd",
            )

    def _check_shapes(self, role: str, shapes: OutputShapes, needs: frozenset[Need]) -> None:
        if needs & OF_LAST_LAYER and shapes.embedding is None:
            raise RequestError(
                f"method {self.name} needs an embedding, and the {role} ends in no linear layer",
                allowed="a network whose last layer is linear, or a method that learns from logits",
            )
        if needs & OF_STAGES and not (shapes.maps or shapes.attention):
            raise RequestError(
                f"method {self.name} needs feature maps, and the {role} has no stages that give them",
                allowed="a network with convolutional stages, or a method that learns from logits",
            )

        if self.task.dense and needs & OF_DETECTORS and not (shapes.backbone and shapes.towers):
            raise RequestError(
                f"method {self.name} needs backbone and towers, and the {role} declares none",
                allowed="another detector, or a method that learns from the pyramid",
            )

    def _check_cells(self, teacher: OutputShapes, needs: frozenset[Need]) -> None:
        if "logits" in needs and teacher.cells != self.pair.student.cells:
            raise RequestError(
                f"method {self.name} compares outputs cell by cell, and the student has "
                f"{self.pair.student.cells} cells, the teacher {teacher.cells}",
                allowed="detectors of one kind, or a method that learns from feature maps",
            )

    def _check_examples(self, labels: Tensor, groups: Tensor | None, needs: frozenset[Need]) -> None:
        if "groups" in needs and groups is None:
            raise RequestError(
                f"method {self.name} needs the group of every example, and the data have no groups",
                allowed="data with groups, or another method",
            )
        missing = int((labels == UNLABELLED).sum()) if "every_label" in needs else 0
        if missing:
            raise RequestError(
                f"method {self.name} needs the label of every example; {missing} of {len(labels)} have none",
                allowed="labelled examples alone, or a method such as kd, which learns from the teacher",
            )


class WeightedConfig(Method.Config):
    """Hyper-parameters of a method that weighs its supervised term.

    Attributes:
        ce_weight: Weight of the loss on the labels.

    Example:
        >>> WeightedConfig(ce_weight=0.1)
        WeightedConfig(ce_weight=0.1)
    """

    ce_weight: Weight = 1.0


methods: Registry[type[Method]] = Registry("method")


def method(name: str, *, paper: str = "") -> Callable[[type[Method]], type[Method]]:
    """Return a class decorator that registers a method.

    Args:
        name: The name by which studies refer to it.
        paper: Its source.

    Example:
        >>> "kd" in methods, methods["kd"].paper
        (True, 'Hinton et al., Distilling the knowledge in a neural network, 2015')
        >>> method("kd")(methods["kd"])
        Traceback (most recent call last):
        ValueError: method 'kd' is registered twice
    """

    def register(cls: type[Method]) -> type[Method]:
        methods.register(name)(cls)
        cls.name, cls.paper = name, paper
        return cls

    return register
