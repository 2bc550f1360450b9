"""Gates: an exported file must give the outputs of the trained network, on the whole validation set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.examples import Examples, Items
from distillab.deploy.description import ModelDescription
from distillab.deploy.graph import graph_items, logits_from
from distillab.tasks import Classification, Task

MOST_DISAGREEMENT = 0.001
"""Share of predictions that may differ from those of the trained network."""
MOST_DIFFERENCE = 1e-4
"""Largest difference of a logit, relative to the largest logit of the same example."""
BATCHES = (1, 64)
"""Batch sizes at which every file is checked."""

_NOUNS = {
    "predictions": "predictions that differ",
    "logits": "largest relative difference of a logit",
    "probabilities": "largest difference of a probability",
    "cells": "largest relative difference of a raw output",
    "geometry": "largest difference of an anchor",
    "embeddings": "largest difference of a number in an embedding",
    "detections": "detections that differ, weighted by confidence,",
}

RunFile = Callable[[Items, int], tuple[Items, Items | None]]
"""From items as the graph takes them, and a batch size, to probabilities and logits (None if unknown)."""


@dataclass(frozen=True)
class GateResult:
    """One gate of one file.

    Attributes:
        file: Name of the file.
        gate: ``predictions``, the share of examples whose predicted class differs from that of the trained
            network; ``logits``, the largest relative difference; or ``probabilities``, the largest
            difference, for files that give probabilities alone. Detectors have gates of their own
            (:mod:`distillab.deploy.detector_gates`).
        batch: Examples per forward pass.
        examples: Number of validation examples.
        value: What was measured.
        limit: The largest accepted value.

    Example:
        >>> GateResult("model.onnx", "predictions", 1, 500, 0.0, 0.001).passed
        True
    """

    file: str
    gate: str
    batch: int
    examples: int
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """True if the value is accepted."""
        return self.value <= self.limit

    @property
    def text(self) -> str:
        """The result in one sentence."""
        noun = _NOUNS.get(self.gate, f"difference of {self.gate}")
        return (
            f"{noun} from the trained network at batch {self.batch} on {self.examples} validation examples: "
            f"{self.value:.2g}, allowed {self.limit:g}"
        )

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {**asdict(self), "passed": self.passed}


def examples_as_items(examples: Examples, description: ModelDescription) -> Items:
    """Return the items of some examples as the graph takes them: all parts of those that have several."""
    each, _ = examples.each_part()
    return graph_items(each.items(np.arange(len(each))), description)


def gate_outputs(
    file: str,
    run: RunFile,
    items: Items,
    reference: Items,
    task: Task,
    *,
    run_for_logits: RunFile | None = None,
) -> list[GateResult]:
    """Return the gates of a file at every batch size.

    Args:
        file: Its name.
        run: Computes the outputs of the file as it is written.
        items: The validation items as the graph takes them.
        reference: Logits of the trained network, float32 ``[N, classes]``.
        task: The task.
        run_for_logits: Computes the logits of a file that gives probabilities alone, by a graph that is the
            same up to its outputs.
    """
    results = []
    for batch in BATCHES:
        probabilities, logits = run(items, batch)
        n = len(items)
        differing = disagreement(logits_from(probabilities, task), reference, task)
        results.append(GateResult(file, "predictions", batch, n, differing, MOST_DISAGREEMENT))
        has_logits = logits is not None
        if not has_logits and run_for_logits:
            logits = run_for_logits(items, batch)[1]
        if logits is not None:
            value = relative_difference(logits, reference)
            results.append(GateResult(file, "logits", batch, n, value, MOST_DIFFERENCE))
        if not has_logits:
            value = _largest(probabilities - _probabilities(reference, task))
            results.append(GateResult(file, "probabilities", batch, n, value, MOST_DIFFERENCE))
    return results


def disagreement(logits: Items, reference: Items, task: Task) -> float:
    """Return the share of predictions that differ: of classes, or of single labels if there are several.

    Example:
        >>> disagreement(np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]]), Classification())
        1.0
    """
    if isinstance(task, Classification):
        return float((logits.argmax(axis=1) != reference.argmax(axis=1)).mean())
    return float(((logits >= 0) != (reference >= 0)).mean())


def relative_difference(logits: Items, reference: Items) -> float:
    """Return the largest difference of a logit, relative to the largest one of the same example.

    Example:
        >>> relative_difference(np.array([[2.0, 4.2]]), np.array([[2.0, 4.0]]))
        0.05...
    """
    scale = np.maximum(np.abs(reference).max(axis=1, keepdims=True), 1.0)
    return _largest((np.asarray(logits, np.float64) - reference) / scale)


def _largest(differences: Items) -> float:
    largest = np.abs(differences).max()
    return float(largest) if np.isfinite(largest) else float("inf")


def _probabilities(logits: Items, task: Task) -> Items:
    z = np.asarray(logits, np.float64)
    if isinstance(task, Classification):
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        softmax: Items = powers / powers.sum(axis=1, keepdims=True)
        return softmax
    sigmoid: Items = 1 / (1 + np.exp(-z))
    return sigmoid
