"""Distillation on standardized logits, by any method that learns from logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, PlainSerializer
from torch import Tensor

from distillab.errors import RequestError
from distillab.methods.batch import StrongView
from distillab.methods.divergence import in_full_precision
from distillab.methods.logits import kd  # noqa: F401 - registered before it is wrapped
from distillab.methods.logits.mlkd import MultiLevelDistillation
from distillab.methods.method import Batch, Method, Need, Pair, Requirements, method
from distillab.methods.spec import MethodSpec, build_method, inner_method, method_entry
from distillab.models.outputs import Outputs

_EPSILON = 1e-7
SERVED: frozenset[Need] = frozenset({"logits", "labels", "every_label", "groups", "memory", "strong_view"})


def _wrapped(entry: Any) -> MethodSpec:
    spec = inner_method(entry)
    if spec.parts or spec.own or spec.teacher == "none" or not spec.needs <= SERVED:
        raise RequestError(
            f"{spec.label} cannot be given standardized logits",
            allowed="one method of the library that learns from a teacher's logits alone, such as kd or dkd",
        )
    if spec.momentum_shift:
        raise RequestError(
            f"{spec.label} cannot be given standardized logits: it decides how gradients are used",
            allowed="{dot: {of: logit_standardisation}}, the one around the other",
        )
    if spec.name == "logit_standardisation":
        raise RequestError("the logits are standardized already", allowed="the inner method itself")
    if spec.kind.weighs_labels:
        raise RequestError(
            f"{spec.label} cannot be given standardized logits: it weighs labels by logits as they are",
            allowed="a method whose supervised term is a plain mean, such as kd or dkd",
        )
    return spec


Wrapped = Annotated[MethodSpec, BeforeValidator(_wrapped), PlainSerializer(method_entry)]
KD = _wrapped({"kd": {"temperature": 2.0, "kd_weight": 9.0, "ce_weight": 0.1}})


@method(
    "logit_standardisation", paper="Sun et al., Logit standardization in knowledge distillation, CVPR 2024"
)
class LogitStandardization(Method):
    """Logit standardization: another method's terms on logits of mean 0 and standard deviation 1.

    An example's logits ``[C]`` become (z - mean) / (std + 1e-7), with the standard deviation of a sample
    (over C - 1), in student and teacher alike; then another method's terms, such as mean_n KL(p_t || p_s).
    The scale of a network's logits is lost, so that a small student need not reach the teacher's. The
    supervised term is that of the student's logits as they are; so are, in ``mlkd``, the similarities of
    examples and of classes and the choice of examples, as in the authors' program.

    ``of`` names the method, with settings or without: ``{logit_standardisation: {of: {dkd: {beta: 2}}}}``. By
    default it is ``kd`` as the authors have it for resnet32x4 -> resnet8x4: T 2, weight 9, 0.1 of
    cross-entropy. They choose the weight by pair (1 to 18, and T 3 or 4 for some); here it is 9 for all.

    Paper: Sun, Ren, Li, Wang and Cao, "Logit standardization in knowledge distillation", CVPR 2024.
    """

    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})

    class Config(Method.Config):
        """Hyper-parameters.

        Attributes:
            of: The method that learns from the standardized logits.
        """

        model_config = ConfigDict(arbitrary_types_allowed=True)

        of: Wrapped = KD

    part: Method

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.part = build_method(config.of, pair)
        if isinstance(self.part, MultiLevelDistillation):
            self.part.rescale = standardized

    @classmethod
    def revision_of(cls, config: Any) -> int:
        """Return the revision, which rises with that of the wrapped method."""
        wrapped: MethodSpec = config.of
        return cls.revision + wrapped.kind.revision - 1

    @classmethod
    def requirements(cls, config: Any) -> Requirements:
        """Return those of the wrapped method."""
        wrapped: MethodSpec = config.of
        return wrapped.requirements

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the transfer terms of the wrapped method on standardized logits."""
        if isinstance(self.part, MultiLevelDistillation):  # It standardizes what it compares by divergence.
            return self.part.transfer(student, teacher, batch)
        standardized_student = replace(student, logits=standardized(student.logits))
        standardized_teacher = replace(teacher, logits=standardized(teacher.logits))
        return self.part.transfer(standardized_student, standardized_teacher, _standardized_views(batch))

    def supervised(self, student: Outputs, batch: Batch) -> Tensor:
        """Return the supervised term of the wrapped method, on the logits as they are."""
        return self.part.supervised(student, batch)


def _standardized_views(batch: Batch) -> Batch:
    """Return a batch whose outputs for strong views have standardized logits."""
    strong = batch.strong
    if strong is None:
        return batch
    teacher = strong.teacher and replace(strong.teacher, logits=standardized(strong.teacher.logits))
    student = replace(strong.student, logits=standardized(strong.student.logits))
    return replace(batch, strong=StrongView(student, teacher))


def standardized(logits: Tensor) -> Tensor:
    """Return logits ``[N, C]`` of mean 0 and standard deviation 1 in every row, in float32 at least."""
    z = in_full_precision(logits)
    z = z - z.mean(1, keepdim=True)
    return z / (z.std(1, keepdim=True) + _EPSILON)
