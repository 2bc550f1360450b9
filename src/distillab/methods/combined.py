"""Several methods at once: a weighted sum of their losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from distillab.methods.method import Batch, Method, Need, Pair
from distillab.models.outputs import Outputs


class Combined(Method):
    """w_1 L_1 + sum_i>1 w_i (L_i - S_i): the whole loss of one method, and the transfer terms of others.

    S_i is the supervised term of method i: the labels count once.
    """

    name: ClassVar[str] = "sum"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self, parts: Sequence[tuple[float, str, Method]], pair: Pair) -> None:
        super().__init__(Method.Config(), pair)
        self.weights = [weight for weight, _, _ in parts]
        self.names = [name for _, name, _ in parts]
        self.parts = nn.ModuleList([method for _, _, method in parts])
        kinds = [part.learns_from for part in self._methods()]
        self.learns_from = next((kind for kind in kinds if kind != "none"), "none")

    def network(self, student: nn.Module) -> nn.Module:
        """Return the student as its methods reshape it, one after the other."""
        for part in self._methods():
            student = part.network(student)
        return student

    def finished(self, network: nn.Module) -> nn.Module:
        """Return the network as its methods restore it, the last one first."""
        for part in reversed(self._methods()):
            network = part.finished(network)
        return network

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the first method by their names, those of others as ``name.term``."""
        (weight, _, first), *others = zip(self.weights, self.names, self._methods(), strict=True)
        terms = {term: weight * value for term, value in first.total(student, teacher, batch).items()}
        for weight, name, part in others:
            for term, value in part.transfer(student, teacher, batch).items():
                terms[f"{name}.{term}"] = weight * value
        return terms

    def _methods(self) -> list[Method]:
        return [part for part in self.parts if isinstance(part, Method)]
