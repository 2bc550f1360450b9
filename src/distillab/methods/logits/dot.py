"""Distillation with a momentum of its own for the gradient of the transfer terms."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods.logits import kd  # noqa: F401 - registered before it is wrapped
from distillab.methods.method import Batch, Method, Pair, Requirements, method
from distillab.methods.spec import MethodSpec, build_method, inner_method, method_entry
from distillab.models.outputs import Outputs


def _wrapped(entry: Any) -> MethodSpec:
    spec = inner_method(entry)
    if spec.parts or spec.own or not spec.distils or spec.name == "dot":
        raise RequestError(
            f"{spec.label} cannot be given two momenta",
            allowed="one method of the library that learns from the study's teacher, such as kd or crd",
        )
    return spec


InnerMethod = Annotated[MethodSpec, BeforeValidator(_wrapped), PlainSerializer(method_entry)]


@method("dot", paper="Zhao et al., DOT: a distillation-oriented trainer, ICCV 2023")
class DistillationOrientedTrainer(Method):
    """DOT: another method's terms, the gradients of labels and transfer with a momentum each.

    v <- (m - d) v + grad of a mean_n CE(p_s, y) + decay theta,
    u <- (m + d) u + grad of b T^2 mean_n KL(p_t || p_s), or of another method's transfer terms,
    theta <- theta - rate (v + u).

    m is the recipe's momentum, theta a weight of the student, u and v start at 0. The longer memory lets
    distillation decide the direction. A weight that only one of the two gradients reaches (such as one of a
    connector) has the momentum m, and its weight decay. With d 0 it is stochastic gradient descent as usual.
    The terms are those of the method ``of``: ``{dot: {of: crd}}``, with settings or without; ``kd`` by
    default. The recipe's optimizer is ``sgd`` without Nesterov's momentum.

    Defaults: d 0.075, the authors' for CIFAR-100 and Tiny-ImageNet (0.09 for ImageNet).

    A step has two backward passes.

    Paper: Zhao, Cui, Song and Liang, "DOT: a distillation-oriented trainer", ICCV 2023, algorithm 1.
    """

    class Config(Method.Config):
        """Hyper-parameters.

        Attributes:
            of: The method whose terms are learned.
            delta: d.
        """

        model_config = ConfigDict(arbitrary_types_allowed=True)

        of: InnerMethod = _wrapped("kd")
        delta: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.075

    part: Method

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        self.part = build_method(config.of, pair)

    @classmethod
    def momentum_shift_of(cls, config: Any) -> float:
        """Return d."""
        shift: float = config.delta
        return shift

    @classmethod
    def revision_of(cls, config: Any) -> int:
        """Return the revision, which rises with that of the wrapped method."""
        wrapped: MethodSpec = config.of
        return cls.revision + wrapped.revision - 1

    @classmethod
    def requirements(cls, config: Any) -> Requirements:
        """Return those of the wrapped method."""
        wrapped: MethodSpec = config.of
        return wrapped.requirements

    def network(self, student: nn.Module) -> nn.Module:
        """Return the network that the wrapped method trains."""
        return self.part.network(student)

    def finished(self, network: nn.Module) -> nn.Module:
        """Return the network as the wrapped method leaves it."""
        return self.part.finished(network)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return all terms of the wrapped method, the supervised one first."""
        return self.part.total(student, teacher, batch)
