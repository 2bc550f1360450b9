"""Which of a teacher's outputs are stored for a view, and how they are written as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.canonical import JsonObject
from distillab.models.outputs import STORABLE, Outputs, OutputShapes
from distillab.training.evaluation import to_half

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ArrayFormat:
    """One array of a record.

    Attributes:
        dtype: Its NumPy dtype.
        width: Numbers per view.
    """

    dtype: str
    width: int

    @property
    def bytes(self) -> int:
        """Bytes per view."""
        return np.dtype(self.dtype).itemsize * self.width


@dataclass(frozen=True)
class CacheFormat:
    """What is stored of a teacher's outputs for each view, all in half precision.

    With ``top_k``, of the logits only the log-probabilities of the k likeliest classes are stored, and that
    of all others together, which the rounded sum of the k would not give where the teacher is sure. It is
    spread evenly over the other classes when they are read (Wu et al., TinyViT, ECCV 2022, section 3.2). Then
    log-probabilities are read, which are the same to every loss that takes a softmax.

    Attributes:
        needs: Which of logits, embedding and attention.
        shapes: Shapes of the outputs.
        top_k: Number of classes whose logits are stored; None for all.

    Example:
        >>> stored = CacheFormat.of({"logits", "maps"}, OutputShapes(classes=10), top_k=3)
        >>> sorted(stored.needs), list(stored.arrays), stored.bytes
        (['logits'], ['top_values', 'top_classes', 'rest'], 22)
    """

    needs: frozenset[str]
    shapes: OutputShapes
    top_k: int | None = None

    @classmethod
    def of(cls, needs: Iterable[str], shapes: OutputShapes, top_k: int | None = None) -> CacheFormat:
        """Return the format for methods with some needs.

        Args:
            needs: Needs of the methods; those that cannot be stored are ignored.
            shapes: Shapes of the outputs.
            top_k: Number of classes whose logits are stored; None, or one that leaves no class out, for all.
        """
        if top_k is not None and top_k >= shapes.classes - 1:
            top_k = None
        return cls(frozenset(needs) & STORABLE, shapes, top_k)

    @property
    def arrays(self) -> dict[str, ArrayFormat]:
        """The arrays of a record, by name."""
        arrays: dict[str, ArrayFormat] = {}
        if "logits" in self.needs and self.top_k is None:
            arrays["logits"] = ArrayFormat("<f2", self.shapes.classes)
        elif "logits" in self.needs and self.top_k is not None:
            arrays["top_values"] = ArrayFormat("<f2", self.top_k)
            arrays["top_classes"] = ArrayFormat("<u2", self.top_k)
            arrays["rest"] = ArrayFormat("<f2", 1)
        if "embedding" in self.needs and self.shapes.embedding is not None:
            arrays["embedding"] = ArrayFormat("<f2", self.shapes.embedding)
        if "attention" in self.needs:
            for stage, (height, width) in enumerate(self.shapes.attention):
                arrays[f"attention{stage}"] = ArrayFormat("<f2", height * width)
        return arrays

    @property
    def bytes(self) -> int:
        """Bytes per view, including its key."""
        return 8 + sum(array.bytes for array in self.arrays.values())

    def as_dict(self) -> JsonObject:
        """Return a JSON form."""
        rest = {} if self.top_k is None else {"rest": "kept"}
        # Outputs of detectors and trackers are not stored: what only they have is always empty.
        of_cells = {"cells", "backbone", "towers", "identities"}
        shapes = {name: value for name, value in asdict(self.shapes).items() if name not in of_cells}
        return {"needs": sorted(self.needs), "shapes": shapes, "top_k": self.top_k, **rest}

    @classmethod
    def from_dict(cls, values: JsonObject) -> CacheFormat:
        """Return the format of a JSON form."""
        shapes = {name: _tuples(value) for name, value in values["shapes"].items()}
        return cls(frozenset(values["needs"]), OutputShapes(**shapes), values["top_k"])

    def encode(self, outputs: Outputs) -> Arrays:
        """Return the outputs for N views as arrays ``[N, width]``."""
        arrays: Arrays = {}
        if "logits" in self.needs and self.top_k is None:
            arrays["logits"] = to_half(outputs.logits)
        elif "logits" in self.needs and self.top_k is not None:
            log_p = outputs.logits.float().log_softmax(dim=1)
            values, classes = log_p.topk(self.top_k, dim=1)
            arrays["top_values"] = to_half(values)
            arrays["top_classes"] = classes.cpu().numpy().astype("<u2")
            arrays["rest"] = to_half(log_p.scatter(1, classes, -math.inf).logsumexp(dim=1, keepdim=True))
        if "embedding" in self.arrays and outputs.embedding is not None:
            arrays["embedding"] = to_half(outputs.embedding)
        if "attention" in self.needs:
            for stage, attention in enumerate(outputs.attention):
                arrays[f"attention{stage}"] = to_half(attention.flatten(1))
        return arrays

    def decode(self, arrays: Mapping[str, npt.NDArray[Any]], device: torch.device) -> Outputs:
        """Return the outputs for N views, float32, from what :meth:`encode` returned.

        Logits that are not stored are empty, ``[N, 0]``.
        """
        n = len(next(iter(arrays.values())))
        logits = torch.zeros((n, 0), device=device)
        if self.top_k is not None and "top_values" in arrays:
            logits = self._spread(arrays["top_values"], arrays["top_classes"], arrays["rest"]).to(device)
        elif "logits" in arrays:
            logits = _as_float32(arrays["logits"], device)
        embedding = _as_float32(arrays["embedding"], device) if "embedding" in arrays else None
        attention: tuple[Tensor, ...] = ()
        if "attention" in self.needs:
            attention = tuple(
                _as_float32(arrays[f"attention{stage}"], device).view(n, *size)
                for stage, size in enumerate(self.shapes.attention)
            )
        return Outputs(logits, embedding, attention=attention)

    def _spread(self, values: npt.NDArray[Any], classes: npt.NDArray[Any], rest: npt.NDArray[Any]) -> Tensor:
        others = self.shapes.classes - values.shape[1]
        each = torch.from_numpy(rest.astype(np.float32)) - math.log(others)
        spread = each.expand(-1, self.shapes.classes).clone()
        stored = torch.from_numpy(values.astype(np.float32))
        return spread.scatter_(1, torch.from_numpy(classes.astype(np.int64)), stored)


def _as_float32(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device).float()


def _tuples(value: Any) -> Any:
    """Lists, as JSON has them, as tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
