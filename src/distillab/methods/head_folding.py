"""A teacher's last layer on a student's features, joined by a linear projection that folds into one layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods.method import Method, Pair
from distillab.models.exits import NetworkWithExits


class Transplant(Method):
    """A teacher's last layer on a student's features, by a trained linear projection between them.

    logits = W (P e + b) + c.

    W and c are fixed, P and b are trained. As both are linear, what is evaluated and saved is an ordinary
    student whose own last layer holds W P and W b + c: no parameter more than the plain student.

    Raises:
        RequestError: When built, if the teacher has other classes.
    """

    teacher_weight: Tensor
    teacher_bias: Tensor

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        shapes = self.teacher_shapes_of_same_classes()
        self.projector = nn.Linear(pair.student.embedding or 1, shapes.embedding or 1)
        last = pair.teacher_classifier or nn.Linear(shapes.embedding or 1, shapes.classes)
        self.register_buffer("teacher_weight", last.weight.detach().clone(), persistent=False)
        bias = torch.zeros(shapes.classes) if last.bias is None else last.bias.detach().clone()
        self.register_buffer("teacher_bias", bias, persistent=False)

    def network(self, student: nn.Module) -> nn.Module:
        """Return the student with the teacher's last layer in the place of its own."""
        path = self._last_layer(student)
        self._put(student, path, Graft(self.projector, self.teacher_weight, self.teacher_bias))
        return student

    def finished(self, network: nn.Module) -> nn.Module:
        """Return the student with an ordinary last layer that computes the same."""
        for path, module in list(network.named_modules()):
            if isinstance(module, Graft):
                self._put(network, path, module.folded())
        return network

    def _last_layer(self, student: nn.Module) -> str:
        if isinstance(student, NetworkWithExits):  # whose exits end in layers of the same shape
            return f"network.{self._last_layer(student.network)}"
        shape = (self.pair.student.classes, self.pair.student.embedding)
        found = [
            path
            for path, module in student.named_modules()
            if isinstance(module, nn.Linear) and tuple(module.weight.shape) == shape
        ]
        if not found:
            raise RequestError(f"method {self.name} finds no last linear layer in {type(student).__name__}")
        last: str = found[-1]
        return last

    @staticmethod
    def _put(network: nn.Module, path: str, module: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, module)


class Graft(nn.Linear):
    """A linear layer that is the product of two; only the first is trained, and it belongs to the method."""

    def __init__(self, projector: nn.Linear, weight: Tensor, bias: Tensor) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = projector.in_features, len(bias)
        self._parts = (projector, weight, bias)  # a tuple, so that they do not count as the network's own

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The product, ``[classes, D]``."""
        projector, weight, _ = self._parts
        return weight @ projector.weight

    @property
    def bias(self) -> Tensor:  # type: ignore[override]
        """The logits of an embedding of zeros, ``[classes]``."""
        projector, weight, bias = self._parts
        return F.linear(projector.bias, weight, bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the logits ``[N, classes]`` of embeddings ``[N, D]``."""
        projector, weight, bias = self._parts
        return F.linear(projector(embedding), weight, bias)

    def folded(self) -> nn.Linear:
        """Return an ordinary layer that computes the same."""
        layer = nn.Linear(self.in_features, self.out_features)
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)
        return layer.to(self.weight.device)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.weight if keep_vars else self.weight.detach()
        destination[f"{prefix}bias"] = self.bias if keep_vars else self.bias.detach()
