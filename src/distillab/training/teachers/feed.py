"""The teacher's outputs during training: from the cache, or from a live teacher."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from distillab.modalities import Normalization
from distillab.models.outputs import Outputs
from distillab.models.taps import TappedModel, Taps
from distillab.training.batches import TrainingBatch
from distillab.training.numerics.config import Precision
from distillab.training.numerics.device import autocast
from distillab.training.teachers.cache import CachedOutputs, CacheMissError


class TeacherFeed(Protocol):
    """Returns the teacher's outputs for a training batch.

    Example:
        >>> def silent(batch: TrainingBatch) -> Outputs:
        ...     return Outputs(torch.zeros(len(batch.positions), 10))
        >>> feed: TeacherFeed = silent
    """

    def __call__(self, batch: TrainingBatch) -> Outputs: ...


class CachedTeacher:
    """A teacher whose outputs were computed once for each view of a stream of batches.

    Args:
        outputs: The cached outputs.
        device: Where they are put.
        strong: The cached outputs for strong views, if a method needs them.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.models import OutputShapes
        >>> from distillab.training.recipe import Recipe
        >>> from distillab.training.teachers.cache import CacheFormat, TeacherCache
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> views, cpu = Recipe(views="flip").resolve(images).view_spec, torch.device("cpu")
        >>> stored = CacheFormat.of({"logits"}, OutputShapes(2))
        >>> cache = TeacherCache(Path(tempfile.mkdtemp()), {"weights": "8f0c"}, stored, rows=8)
        >>> CachedTeacher(cache.read(images, views, view_seed=0), cpu)
        <distillab.training.teachers.feed.CachedTeacher object at ...>
    """

    def __init__(
        self, outputs: CachedOutputs, device: torch.device, strong: CachedOutputs | None = None
    ) -> None:
        self._outputs, self._device, self._strong = outputs, device, strong

    def __call__(self, batch: TrainingBatch) -> Outputs:
        """Return the outputs for a batch. Raises CacheMissError if one is not stored."""
        outputs = self._strong if batch.is_strong else self._outputs
        if outputs is None:
            raise CacheMissError("outputs for strong views are not stored")
        return outputs(batch.positions, batch.drawn_in, self._device)


class LiveTeacher:
    """A teacher that computes its outputs, in evaluation mode and without gradients.

    It serves methods that need feature maps, and streams that are too large to store.

    Args:
        model: The network; it is moved to ``device`` and its parameters are frozen.
        taps: Where its embedding and feature maps are read.
        needs: Which outputs are returned.
        device: Where it computes.
        precision: The precision of its forward passes.

    Attributes:
        device: Where it computes.
        classifier: Its last linear layer, or None.

    Example:
        >>> from distillab.models import InputSpec, build_model, inspect_network
        >>> inputs = InputSpec(1, 8, 8)
        >>> network = build_model("resnet8", classes=3, inputs=inputs)
        >>> taps = inspect_network(network, inputs).taps
        >>> teacher = LiveTeacher(network, taps, {"logits"}, torch.device("cpu"), "fp32")
        >>> teacher.forward(torch.zeros(2, 1, 8, 8)).logits.shape
        torch.Size([2, 3])
    """

    def __init__(
        self, model: nn.Module, taps: Taps, needs: Iterable[str], device: torch.device, precision: Precision
    ) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.classifier = taps.classifier_of(self.model)
        self._tapped = TappedModel(self.model, needs, taps)
        self.device, self._precision = device, precision

    @torch.no_grad()
    def __call__(self, batch: TrainingBatch) -> Outputs:
        """Return the outputs for a batch."""
        return self.forward(batch.inputs)

    @torch.inference_mode()
    def query(self, views: Tensor, normalize: Normalization) -> Outputs:
        """Return the outputs, without gradients, for views ``[N, C, H, W]`` in the dtype of their pool."""
        return self.forward(normalize(views))

    def forward(self, inputs: Tensor) -> Outputs:
        """Return the outputs for normalized inputs, float32 ``[N, C, H, W]``."""
        with autocast(self.device, self._precision):
            return self._tapped(inputs)
