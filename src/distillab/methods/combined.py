"""Several methods at once: a sum of their losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from distillab.methods.method import Batch, Method, Need, Pair
from distillab.models.outputs import Outputs


class Combined(Method):
    """w_1 L_1 + sum_i>1 w_i (L_i - ce_i): the first method is whole, the others add what they transfer.

    Every method calls its loss on the labels ``ce``, so that the labels count once.
    """

    name: ClassVar[str] = "sum"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self, parts: Sequence[tuple[float, str, Method]], pair: Pair) -> None:
        super().__init__(Method.Config(), pair)
        self.weights = [weight for weight, _, _ in parts]
        self.names = [name for _, name, _ in parts]
        self.parts = nn.ModuleList([method for _, _, method in parts])

    def network(self, student: nn.Module) -> nn.Module:
        """The student as its methods reshape it, one after the other."""
        for part in self._methods():
            student = part.network(student)
        return student

    def finished(self, network: nn.Module) -> nn.Module:
        """The network as the last of its methods leaves it."""
        for part in reversed(self._methods()):
            network = part.finished(network)
        return network

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms: those of the first method by their names, those of others as ``name.term``."""
        terms: dict[str, Tensor] = {}
        for place, (weight, name, part) in enumerate(
            zip(self.weights, self.names, self._methods(), strict=True)
        ):
            for term, value in part(student, teacher, batch).items():
                if place == 0:
                    terms[term] = weight * value
                elif term != "ce":
                    terms[f"{name}.{term}"] = weight * value
        return terms

    def _methods(self) -> list[Method]:
        return [part for part in self.parts if isinstance(part, Method)]
