"""The contract of a task: what a network is trained to predict, and how that is judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from distillab.canonical import JsonObject
from distillab.data.targets import Targets
from distillab.errors import RequestError, unknown_name, validation_error
from distillab.registry import Registry
from distillab.tasks.arrays import Flags, GroupArray, LabelArray, Logits, Values
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.mixed_labels import Mixed


class Task(BaseModel, ABC):
    """What a network is trained to predict of an example, and how that is judged.

    A task is a frozen configuration. It is the only place that knows what targets look like.

    Attributes:
        name: The registered name.
        primary: The column on which conclusions rest and by which an epoch is selected on val.
        metrics: The columns that the task measures.
        targets: The kind of targets that it learns from.
        class_noun: The noun for what :meth:`per_class` is about, such as ``class`` or ``label``.
        class_metric: The metric that :meth:`per_class` returns.
        worst_group: The column of the primary metric of the worst group.
        group_mean: The column of its mean over the groups; empty if the task has none.
        parts: Columns of the primary metric on a part of the test examples; see :meth:`part_of`.
        has_thresholds: Whether :meth:`measure` selects decision thresholds on val, so that outputs for val
            are stored.
        searches: Whether outputs are judged by what their embeddings retrieve from the training set.
        judges_embeddings: Whether embeddings are judged, so that a network needs one.
        stores_logits: Whether the stored outputs of a network begin with its logits.
        draws_classes: Whether a test set is a draw of classes, such as speakers, so that intervals take
            classes for the units that vary, not examples.
        extra_columns: How many columns the stored outputs of a network have after its logits. Arguments
            called ``logits`` below have them.
        dense: Whether networks give outputs for many cells of an input, ``[N, cells, columns]``, so that what
            is stored is made of them by :meth:`to_store`.
        follows: Whether objects are followed through the frames of a sequence by embeddings of their
            identities, which networks then give as well.

    Example:
        >>> made = tasks["multilabel"]()
        >>> made.primary, made.targets.__name__, made.head_width(14)
        ('macro_auc', 'LabelSets', 14)
        >>> made.metrics[made.primary].title
        'Macro AUC'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    primary: ClassVar[str]
    metrics: ClassVar[MetricTable]
    targets: ClassVar[type[Targets]]
    class_noun: ClassVar[str] = "class"
    class_metric: ClassVar[Metric]
    worst_group: ClassVar[str]
    group_mean: ClassVar[str] = ""
    parts: ClassVar[tuple[str, ...]] = ()
    has_thresholds: ClassVar[bool] = False
    searches: ClassVar[bool] = False
    judges_embeddings: ClassVar[bool] = False
    stores_logits: ClassVar[bool] = True
    draws_classes: ClassVar[bool] = False
    extra_columns: ClassVar[int] = 0
    dense: ClassVar[bool] = False
    follows: ClassVar[bool] = False

    @classmethod
    def kinds(cls) -> frozenset[str]:
        """Return the names of the task and of those that it is a kind of, whose formulas hold for it.

        Example:
            >>> sorted(tasks["embedding"].kinds())
            ['classification', 'embedding']
        """
        return frozenset(each.__dict__["name"] for each in cls.__mro__ if "name" in each.__dict__)

    def for_training(self, labels: Tensor, classes: int) -> Task:
        """Return the task for a run, with settings that depend on its training examples.

        Args:
            labels: The values of the targets of the training examples.
            classes: The number of classes.
        """
        return self

    def check_classes(self, classes: int) -> None:
        """Raise RequestError if a setting does not fit the number of classes."""

    def learned_loss(self, labels: Tensor) -> nn.Module | None:
        """Return a part of the loss that learns, such as a classifier of identities; by default, None.

        It is a module from the outputs of a network and the labels of a batch to ``[N]``, which is added to
        :meth:`loss`. Methods train it with the student; it never leaves with it.

        Args:
            labels: The values of the targets of the training examples.
        """
        return None

    @property
    def selected(self) -> str:
        """The column of the primary metric at the epoch selected on val."""
        return f"{self.primary}_selected"

    @property
    def of_teacher(self) -> str:
        """The column of the primary metric of the teacher."""
        return f"teacher_{self.primary}"

    @property
    def on_logits(self) -> Task:
        """The task that judges the logits of a network alone: this one, unless it judges embeddings."""
        return self

    def logits_in(self, stored: Logits) -> Logits:
        """Return the logits in stored outputs, ``[N, head_width]``."""
        return stored[:, : stored.shape[1] - self.extra_columns]

    def to_store(self, outputs: Tensor, height: int, width: int) -> Tensor:
        """Return what is stored of the outputs of a network for N inputs, ``[N, ...]``: by default, they.

        Args:
            outputs: What the network gives for a batch.
            height: Height of the inputs.
            width: Their width.
        """
        return outputs

    def network_classes(self, stored: Logits, classes: int) -> int:
        """Return how many logits a network was built for.

        Args:
            stored: Its stored outputs for some examples.
            classes: The number of classes of the examples.
        """
        return self.head_width(classes) if self.dense else self.logits_in(stored).shape[1]

    def check_database(self, targets: Targets) -> None:
        """Raise RequestError if embeddings cannot be judged by a training set with these targets."""

    @abstractmethod
    def head_width(self, classes: int) -> int:
        """Return how many logits a network needs for ``classes`` classes."""

    @abstractmethod
    def loss(
        self, logits: Tensor, labels: Tensor, *, mixed: Mixed | None = None, smoothing: float = 0.0
    ) -> Tensor:
        """Return the supervised loss of each example.

        Args:
            logits: float ``[N, head_width]``.
            labels: The values of the targets of the batch.
            mixed: The second labels, if two examples were mixed.
            smoothing: Share of a label that is spread evenly over all classes.

        Returns:
            float ``[N]``, 0 for unlabelled examples; its mean is the mean over the labelled ones.
        """

    @abstractmethod
    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return the divergence of the student's softened outputs from the teacher's, per example.

        Args:
            student: Logits, float ``[N, head_width]``.
            teacher: Logits of the same shape; they get no gradient.
            temperature: What logits are divided by.

        Returns:
            float ``[N]``, KL(teacher || student) in nats, not multiplied by the squared temperature.
        """

    @abstractmethod
    def score(self, logits: Logits, targets: Targets) -> float:
        """Return the primary metric of some outputs, over the labelled examples."""

    @abstractmethod
    def contributions(self, logits: Logits, targets: Targets) -> Values:
        """Return what each labelled example adds to the primary metric, float64 ``[n]``.

        Their mean is :meth:`score`, and their variance over n is the variance of the score over samples of
        examples: for a metric that is no mean over examples, to first order (jackknife pseudo-values).

        Args:
            logits: float ``[N, head_width]``.
            targets: The targets of the N examples, of which n are labelled.
        """

    @abstractmethod
    def measure(
        self,
        logits: Logits,
        targets: Targets,
        *,
        groups: GroupArray | None = None,
        val: tuple[Logits, Targets] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of outputs on one test set, by column.

        Args:
            logits: float ``[N, head_width]``.
            targets: The targets of the N examples.
            groups: Optional int64 ``[N]``.
            val: Outputs and targets of the validation set, for metrics that need a decision threshold.
        """

    @abstractmethod
    def per_class(self, logits: Logits, targets: Targets) -> Values:
        """Return the quality of the outputs per class, float64 ``[C]``, NaN where it is undefined."""

    @abstractmethod
    def per_group(self, logits: Logits, targets: Targets, groups: GroupArray) -> dict[int, float]:
        """Return the quality of the outputs per group that occurs, by group number, NaN where it is
        undefined."""

    def part_of(self, metric: str, targets: Targets) -> Flags:
        """Return which examples a column of :attr:`parts` is the primary metric of, bool ``[N]``."""
        raise ValueError(f"{metric!r} is no metric of a part of the examples")

    @abstractmethod
    def undefined_classes(self, targets: Targets) -> int:
        """Return how many classes have no quality of their own on these targets."""

    def check_test(self, targets: Targets, classes: Sequence[str], test: str) -> tuple[str, ...]:
        """Return what a reader must know of a test set before its metrics are read, one sentence each.

        Args:
            targets: The targets of the test set.
            classes: The names of the classes.
            test: The name of the test set.

        Raises:
            RequestError: The primary metric is not defined on it.
        """
        return ()

    def check_val(self, targets: Targets) -> None:
        """Raise RequestError if the primary metric, by which epochs are selected, is not defined on val.

        Args:
            targets: The targets of val.
        """

    @abstractmethod
    def fidelity(self, student: Logits, teacher: Logits) -> dict[str, float]:
        """Return how closely a student's outputs follow those of its teacher, by column.

        Args:
            student: Logits, float ``[N, head_width]``.
            teacher: Logits of the same examples in the same order.
        """

    def by_frequency(self, per_class: Values, trained: LabelArray) -> dict[str, float]:
        """Return metrics of frequent, middle and rare classes, by column; empty if the task has none.

        Args:
            per_class: What :meth:`per_class` returned.
            trained: Training examples per class, int64 ``[C]``.
        """
        return {}

    def as_dict(self) -> JsonObject:
        """Return the task as a study may write it, all settings included."""
        return {"name": self.name, **self.model_dump(mode="json")}


tasks: Registry[type[Task]] = Registry("task")


def task(name: str) -> Callable[[type[Task]], type[Task]]:
    """Return a class decorator that registers a task.

    Args:
        name: The name by which studies refer to it.

    Example:
        >>> sorted(tasks)
        ['balanced_classification', 'classification', 'detection', 'embedding', 'multilabel', 'tracking', ...
        >>> task("multilabel")(tasks["multilabel"])
        Traceback (most recent call last):
        ValueError: task 'multilabel' is registered twice
    """

    def register(cls: type[Task]) -> type[Task]:
        tasks.register(name)(cls)
        cls.name = name
        return cls

    return register


def parse_task(entry: Any, where: str = "task") -> Task:
    """Return the task that a study describes.

    Args:
        entry: A name, or a mapping of ``name`` and the task's settings.
        where: The place of the entry, such as ``study.yaml: task``.

    Raises:
        RequestError: The task or a setting is unknown, or a value is not accepted.

    Example:
        >>> parse_task("classification").primary
        'accuracy'
        >>> parse_task({"name": "classification"}).as_dict()
        {'name': 'classification'}
    """
    settings = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(settings, Mapping) or not isinstance(settings.get("name"), str):
        allowed = "a name such as classification, or a mapping such as {name: multilabel, uncertain: ignore}"
        raise RequestError(f"{entry!r} is not a task", where=where, allowed=allowed)
    if settings["name"] not in tasks:
        raise unknown_name("task", settings["name"], tasks, where=where)
    kind = tasks[settings["name"]]
    try:
        return kind.model_validate({key: value for key, value in settings.items() if key != "name"})
    except ValidationError as error:
        raise validation_error(error, where, kind.model_fields) from error
