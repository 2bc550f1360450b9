"""Outputs of a network for examples as they are: without augmentation, in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from distillab.artefacts import StoredLogits
from distillab.data.examples import Examples, Indices
from distillab.modalities import Normalization
from distillab.models import InputSpec, inspect_network
from distillab.models.dry_run import logits_of
from distillab.models.taps import TappedModel
from distillab.tasks import EmbeddingTask, Task, Verification, unit_embeddings
from distillab.training.numerics.config import Precision
from distillab.training.numerics.device import autocast, inference_batch_size


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: Examples,
    normalize: Normalization,
    device: torch.device,
    precision: Precision,
    task: Task | None = None,
) -> StoredLogits:
    """Return the logits of every example, float16 ``[N, classes]``, in order.

    Args:
        model: The network; its mode is restored afterwards.
        images: The examples. Their student transform, if they have one, is applied: a teacher is given
            examples without. An example of several items has the mean of their logits, which is the mean of
            their log-odds.
        normalize: The normalization of the inputs.
        device: Where the network is.
        precision: The precision of the forward pass.
        task: The task, which may store something else than logits.
    """
    if images.parts is not None:
        each, owners = images.each_part()
        return mean_of_parts(predict(model, each, normalize, device, precision), owners)
    training = model.training
    model.eval()
    parts = []
    for output in _forward(model, images, normalize, device, precision):
        logits = logits_of(output)
        parts.append(to_half(task.to_store(logits, *images.shape[1:]) if task else logits))
    model.train(training)
    return np.concatenate(parts)


def mean_of_parts(logits: StoredLogits, owners: Indices) -> StoredLogits:
    """Return the mean logits of each example, float16 ``[N, classes]``.

    Args:
        logits: Those of the items, float16 ``[M, classes]``.
        owners: int64 ``[M]``, the example that each is a part of; every one of the N has a part.

    Example:
        >>> mean_of_parts(np.array([[1, 0], [3, 0], [5, 1]], np.float16), np.array([0, 0, 1])).tolist()
        [[2.0, 0.0], [5.0, 1.0]]
    """
    counts = np.bincount(owners)
    sums = np.zeros((len(counts), logits.shape[1]))
    np.add.at(sums, owners, logits.astype(np.float64))
    means: StoredLogits = (sums / counts[:, None]).astype(np.float16)
    return means


def to_half(values: torch.Tensor) -> StoredLogits:
    """Return a tensor as float16 on the CPU; finite values stay finite (float16 ends at 65504).

    Example:
        >>> to_half(torch.tensor([1.0, 1e9])).tolist()
        [1.0, 65504.0]
    """
    limit = torch.finfo(torch.float16).max
    return values.float().clamp(-limit, limit).half().cpu().numpy()


@dataclass(frozen=True)
class EvaluatedOutputs:
    """What is stored of a network for some test sets, by name.

    Attributes:
        stored: What the task judges: float16 ``[N, classes]``, or more columns in a task that has them, or
            embeddings alone.
        nearest: Positions in the training set of the examples nearest to each test example, int32 ``[N, n]``;
            empty in a task that searches none.
    """

    stored: dict[str, StoredLogits]
    nearest: dict[str, npt.NDArray[np.int32]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Evaluates networks on test sets, as a task judges them.

    Attributes:
        task: The task.
        database: The training set, from which a task may retrieve.
        normalize: The normalization of the inputs.
        device: Where the networks are.
        precision: The precision of the forward pass.

    Example:
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.models import build_model
        >>> images = Examples.of(np.zeros((20, 1, 8, 8), np.uint8), [0, 1] * 10, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> network = build_model("resnet8", classes=2, inputs=InputSpec(1, 8, 8))
        >>> evaluator = Evaluator(EmbeddingTask(), images, normalize, torch.device("cpu"), "fp32")
        >>> found = evaluator.outputs(network, {"test": images})
        >>> found.stored["test"].shape, found.nearest["test"].shape
        ((20, 4), (20, 10))
    """

    task: Task
    database: Examples
    normalize: Normalization
    device: torch.device
    precision: Precision

    @torch.inference_mode()
    def outputs(self, network: nn.Module, sets: Mapping[str, Examples]) -> EvaluatedOutputs:
        """Return what is stored of a network for test sets; its mode is restored afterwards."""
        how = self.normalize, self.device, self.precision
        if isinstance(self.task, Verification):
            return self._embeddings(network, sets)
        if not isinstance(self.task, EmbeddingTask):
            return EvaluatedOutputs(
                {name: predict(network, each, *how, self.task) for name, each in sets.items()}
            )
        info = inspect_network(network, InputSpec(*self.database.student_shape))
        if not sets or info.shapes.embedding is None:
            logits = {name: predict(network, each, *how) for name, each in sets.items()}
            return EvaluatedOutputs(
                {name: self.task.with_retrieved(each, None) for name, each in logits.items()}
            )
        training = network.training
        network.eval()
        with TappedModel(network, {"embedding"}, info.taps) as tapped:
            _, database = self._embed(tapped, self.database)
            found = EvaluatedOutputs({}, {})
            for name, each in sets.items():
                logits_here, queries = self._embed(tapped, each)
                retrieved = self.task.search(queries, each.targets, database, self.database.targets)
                found.stored[name] = self.task.with_retrieved(logits_here, retrieved)
                found.nearest[name] = retrieved.nearest
        network.train(training)
        return found

    def _embeddings(self, network: nn.Module, sets: Mapping[str, Examples]) -> EvaluatedOutputs:
        """Return the embeddings of test sets, of unit length; NaN for a network that has none."""
        info = inspect_network(network, InputSpec(*self.database.student_shape))
        if info.shapes.embedding is None:
            return EvaluatedOutputs(
                {name: np.full((len(each), 1), np.nan, np.float16) for name, each in sets.items()}
            )
        training = network.training
        network.eval()
        with TappedModel(network, {"embedding"}, info.taps) as tapped:
            stored = {name: unit_embeddings(self._embed(tapped, each)[1]) for name, each in sets.items()}
        network.train(training)
        return EvaluatedOutputs(stored)

    def _embed(self, tapped: TappedModel, examples: Examples) -> tuple[StoredLogits, Tensor]:
        """Return the logits and the embeddings of all examples, float32 ``[N, D]``.

        An example of several items has the means of theirs.
        """
        if examples.parts is not None:
            each, owners = examples.each_part()
            logits, of_parts = self._embed(tapped, each)
            sums = torch.zeros(len(examples), of_parts.shape[1], device=of_parts.device)
            sums.index_add_(0, torch.from_numpy(owners).to(of_parts.device), of_parts)
            counts = torch.from_numpy(np.bincount(owners)).to(of_parts.device)
            return mean_of_parts(logits, owners), sums / counts[:, None]
        outputs = list(_forward(tapped, examples, self.normalize, self.device, self.precision))
        embeddings = [each.embedding.float().flatten(1) for each in outputs]
        return np.concatenate([to_half(each.logits) for each in outputs]), torch.cat(embeddings)


def evaluation_digest(task: Task, images: Examples, database: Examples) -> str:
    """Return what decides the stored outputs of a network for a test set, beside the network.

    Example:
        >>> from distillab.tasks import Classification
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("a", "b"))
        >>> evaluation_digest(Classification(), images, images) == images.input_digest
        True
    """
    return f"{images.digest}/{database.digest}" if task.searches else images.input_digest


def _forward(
    model: Callable[[Tensor], Any],
    images: Examples,
    normalize: Normalization,
    device: torch.device,
    precision: Precision,
) -> Iterator[Any]:
    """Yield what a network returns for batches of examples, in order."""
    batch = inference_batch_size(device)
    for start in range(0, len(images), batch):
        positions = np.arange(start, min(start + batch, len(images)))
        inputs = normalize(torch.from_numpy(images.items(positions)).to(device))
        if images.student_transform:
            inputs = images.student_transform(inputs)
        with autocast(device, precision):
            output = model(inputs)
        yield output
