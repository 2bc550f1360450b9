"""Which of a teacher's outputs are kept for a view, and how they are written as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.models.outputs import STORABLE, Outputs, OutputShapes
from distillab.training.loop.evaluation import to_half

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Part:
    """One array of a record: ``width`` numbers of ``dtype`` a view."""

    dtype: str
    width: int

    @property
    def bytes(self) -> int:
        """Bytes a view."""
        return np.dtype(self.dtype).itemsize * self.width


@dataclass(frozen=True)
class Kept:
    """What is kept of a teacher: ``needs`` out of logits, embedding and attention, for outputs of ``shapes``.

    Everything is kept in half precision. With ``top_k``, of the logits only the log-probabilities of the k
    likeliest classes are kept, and that of all others together, which their rounded sum would not tell where
    the teacher is sure; it is spread evenly over the other classes when they are read (Wu et al., TinyViT,
    ECCV 2022, section 3.2). What is read is then log-probabilities: the same to every loss that takes a
    softmax.
    """

    needs: frozenset[str]
    shapes: OutputShapes
    top_k: int | None = None

    @classmethod
    def of(cls, needs: Iterable[str], shapes: OutputShapes, top_k: int | None = None) -> Kept:
        """What methods with these needs take from storage; other needs are not the cache's business.
        A ``top_k`` that leaves no class out is none."""
        if top_k is not None and top_k >= shapes.classes - 1:
            top_k = None
        return cls(frozenset(needs) & STORABLE, shapes, top_k)

    @property
    def parts(self) -> dict[str, Part]:
        """The arrays of a record, by name."""
        parts: dict[str, Part] = {}
        if "logits" in self.needs and self.top_k is None:
            parts["logits"] = Part("<f2", self.shapes.classes)
        elif "logits" in self.needs and self.top_k is not None:
            parts["top_values"] = Part("<f2", self.top_k)
            parts["top_classes"] = Part("<u2", self.top_k)
            parts["rest"] = Part("<f2", 1)
        if "embedding" in self.needs and self.shapes.embedding is not None:
            parts["embedding"] = Part("<f2", self.shapes.embedding)
        if "attention" in self.needs:
            for stage, (height, width) in enumerate(self.shapes.attention):
                parts[f"attention{stage}"] = Part("<f2", height * width)
        return parts

    @property
    def bytes(self) -> int:
        """Bytes a view, its key included."""
        return 8 + sum(part.bytes for part in self.parts.values())

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able form, from which :meth:`from_dict` makes it again."""
        rest = {} if self.top_k is None else {"rest": "kept"}
        return {"needs": sorted(self.needs), "shapes": asdict(self.shapes), "top_k": self.top_k, **rest}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Kept:
        """What :meth:`as_dict` described."""
        shapes = {name: _tuples(value) for name, value in values["shapes"].items()}
        return cls(frozenset(values["needs"]), OutputShapes(**shapes), values["top_k"])

    def encode(self, outputs: Outputs) -> Arrays:
        """Outputs of N views as arrays ``[N, width]``."""
        arrays: Arrays = {}
        if "logits" in self.needs and self.top_k is None:
            arrays["logits"] = to_half(outputs.logits)
        elif "logits" in self.needs and self.top_k is not None:
            likely = outputs.logits.float().log_softmax(dim=1)
            values, classes = likely.topk(self.top_k, dim=1)
            arrays["top_values"] = to_half(values)
            arrays["top_classes"] = classes.cpu().numpy().astype("<u2")
            arrays["rest"] = to_half(likely.scatter(1, classes, -math.inf).logsumexp(dim=1, keepdim=True))
        if "embedding" in self.parts and outputs.embedding is not None:
            arrays["embedding"] = to_half(outputs.embedding)
        if "attention" in self.needs:
            for stage, attention in enumerate(outputs.attention):
                arrays[f"attention{stage}"] = to_half(attention.flatten(1))
        return arrays

    def decode(self, arrays: Mapping[str, npt.NDArray[Any]], device: torch.device) -> Outputs:
        """Outputs of N views, float32, from what :meth:`encode` made of them. Logits that are not kept are
        empty, ``[N, 0]``."""
        n = len(next(iter(arrays.values())))
        logits = torch.zeros((n, 0), device=device)
        if self.top_k is not None and "top_values" in arrays:
            logits = self._spread(arrays["top_values"], arrays["top_classes"], arrays["rest"]).to(device)
        elif "logits" in arrays:
            logits = _full(arrays["logits"], device)
        embedding = _full(arrays["embedding"], device) if "embedding" in arrays else None
        attention: tuple[Tensor, ...] = ()
        if "attention" in self.needs:
            attention = tuple(
                _full(arrays[f"attention{stage}"], device).view(n, *size)
                for stage, size in enumerate(self.shapes.attention)
            )
        return Outputs(logits, embedding, attention=attention)

    def _spread(self, values: npt.NDArray[Any], classes: npt.NDArray[Any], rest: npt.NDArray[Any]) -> Tensor:
        others = self.shapes.classes - values.shape[1]
        each = torch.from_numpy(rest.astype(np.float32)) - math.log(others)
        spread = each.expand(-1, self.shapes.classes).clone()
        kept = torch.from_numpy(values.astype(np.float32))
        return spread.scatter_(1, torch.from_numpy(classes.astype(np.int64)), kept)


def _full(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device).float()


def _tuples(value: Any) -> Any:
    """Lists, as JSON has them, as tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
